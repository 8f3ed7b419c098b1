"""What the interference benchmark reads: clips as the scene tokens read them, their labels, and texts about them.

Real clips come from a folder of two safetensors files (``read_bench_data``), made-up ones from ``make_toy_data``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Float16, Int, Int8
from torch import Tensor
from torch.nn import functional

from sceneminer.data.errors import DataError

_INPUT = "inputs."


@dataclass(frozen=True, eq=False)
class BenchClips:
    """Of ``n`` clips."""

    inputs: Mapping[str, Tensor]
    """What ``SceneTokens.forward`` reads, by keyword and clip first: ``embeddings`` [n t v e], ``patches``
    [n t v ty tx d], ``valid`` [n t v], ``rays`` [n t v ty tx 3], ``bev`` [n ch y x] ..., in fp16 where they are
    features. All but ``age_s``."""
    embedding: Float16[Tensor, "n e"]
    """Mean image embedding, as in the stream."""
    tags: Int8[Tensor, "n k"]
    """1, 0 or -1 (unknown), in the order of the tags head."""
    risk: Float[Tensor, "n"]
    """What the new head learns, in [0, 1]."""
    captions: Float[Tensor, "n e"]
    """A text about each clip, unit length, in the tower's text space."""

    def __len__(self) -> int:
        return len(self.embedding)

    def __getitem__(self, index: slice | Int[Tensor, "b"]) -> "BenchClips":
        inputs = {name: value[index] for name, value in self.inputs.items()}
        return BenchClips(inputs, self.embedding[index], self.tags[index], self.risk[index], self.captions[index])


@dataclass(frozen=True, eq=False)
class BenchData:
    """Clips to fine-tune on, and others to measure siblings by."""

    train: BenchClips
    val: BenchClips
    truth: Bool[Tensor, "q n"]
    """Which caption of ``val`` is true of which of its clips."""
    age_s: Float[Tensor, "t"]
    prompts: Float[Tensor, "k e"]
    """One text for each tag, for a tags head made from nothing; empty where a checkpoint has its own."""


def save_bench_data(folder: Path, data: BenchData) -> None:
    """Write ``train.safetensors`` and ``val.safetensors``."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    shared = {"age_s": data.age_s, "prompts": data.prompts}
    for name, clips, extra in (("train", data.train, shared), ("val", data.val, {"truth": data.truth})):
        plain = {"embedding": clips.embedding, "tags": clips.tags, "risk": clips.risk, "captions": clips.captions}
        tensors = {f"{_INPUT}{key}": value for key, value in clips.inputs.items()} | plain | extra
        save_file({key: value.contiguous() for key, value in tensors.items()}, folder / f"{name}.safetensors")


def read_bench_data(folder: Path) -> BenchData:
    """What ``save_bench_data`` wrote, or anybody with the same names; DataError says what is missing or broken."""
    train, val = (_read(folder / f"{name}.safetensors") for name in ("train", "val"))
    try:
        clips = [_clips(tensors) for tensors in (train, val)]
        prompts = train.get("prompts", torch.zeros(0, clips[0].embedding.shape[1]))
        return BenchData(clips[0], clips[1], val["truth"].bool(), train["age_s"].float(), prompts.float())
    except KeyError as error:
        raise DataError(f"expected a tensor {error} in the benchmark's data in {folder}, found none") from None


def _read(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise DataError(f"expected {path.name} in {path.parent}, found none")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(f"expected {path} to be a whole safetensors file, found {error}") from None
    for name, tensor in tensors.items():
        # Geometry is NaN where it is unknown.
        features = not name.startswith(_INPUT) or name.removeprefix(_INPUT) in ("embeddings", "patches", "bev")
        if features and tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise DataError(f"expected finite numbers in {path}, found NaN or infinity in {name}")
    return tensors


def _clips(tensors: Mapping[str, Tensor]) -> BenchClips:
    inputs = {name.removeprefix(_INPUT): value for name, value in tensors.items() if name.startswith(_INPUT)}
    plain = {name: tensors[name] for name in ("embedding", "tags", "risk", "captions")}
    counts = {name: len(value) for name, value in {**inputs, **plain}.items()}
    if len(set(counts.values())) != 1:
        raise DataError(f"expected as many clips in every tensor, found {counts}")
    return BenchClips(
        inputs,
        plain["embedding"].half(),
        plain["tags"].to(torch.int8),
        plain["risk"].float(),
        plain["captions"].float(),
    )


def make_toy_data(
    seed: int, *, train: int = 1200, val: int = 300, tags: int = 20, patch_dim: int = 64, embed_dim: int = 64
) -> BenchData:
    """Made-up clips of two Frames of six cameras with 2 × 3 patches each, and a 5 × 5 BEV.

    A tag is a direction in patch space that shows in some patches of a clip and, more weakly and with neighbours mixed
    in, in the mean embedding. Risk is how near something is (a direction in the BEV) times how fast ego is (one in the
    patches), more where tag 1 is. Tags 2 and 3 say that ego is fast and that something is near, so that a stream
    trained for tags knows a little of both, and risk wants more.
    """
    rng = torch.Generator().manual_seed(seed)
    count = train + val

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng)

    texts = functional.normalize(draw(tags, embed_dim), dim=-1)
    looks = functional.normalize(draw(tags + 1, patch_dim), dim=-1)
    near_look = functional.normalize(draw(16), dim=-1)
    share = torch.linspace(0.06, 0.35, tags)
    there = torch.rand(count, tags, generator=rng) < share
    near, fast = torch.rand(count, generator=rng), torch.rand(count, generator=rng)
    there[:, 2], there[:, 3] = fast > 0.75, near > 0.75
    risk = (near**2 * fast * (1.0 + there[:, 1].float())).clamp(max=1.0)
    shown = (torch.rand(count, 2, 6, 2, 3, tags, generator=rng) < 0.15) & there[:, None, None, None, None]
    patches = 5.0 * shown.float() @ looks[:tags] + draw(count, 2, 6, 2, 3, patch_dim)
    patches += 6.0 * (fast - 0.5)[:, None, None, None, None, None] * looks[tags]
    bev = torch.cat([draw(count, 16, 5, 5), torch.ones(count, 1, 5, 5)], 1)
    bev[:, :16, 2:4, 2] += 4.0 * (near - 0.5)[:, None, None] * near_look[:, None]
    confused = texts + 0.8 * texts.roll(1, 0)
    mean = functional.normalize(there.float() @ confused + 0.5 * draw(count, embed_dim) * embed_dim**-0.5, dim=-1)
    rays = functional.normalize(draw(6, 2, 3, 3), dim=-1).expand(count, 2, 6, 2, 3, 3)
    each = mean[:, None, None] + 0.5 * draw(count, 2, 6, embed_dim) * embed_dim**-0.5
    inputs = {"embeddings": each.half(), "patches": patches.half()}
    inputs |= {"valid": torch.ones(count, 2, 6, dtype=torch.bool), "rays": rays}
    captions, named = _captions(there, texts, rng)
    clips = BenchClips(
        inputs | {"bev": bev.half(), "last_from_frame": torch.eye(4).expand(count, 2, 4, 4)},
        mean.half(),
        there.to(torch.int8),
        risk,
        captions,
    )
    truth = (named[train:, None] & ~there[None, train:]).sum(-1) == 0
    return BenchData(clips[:train], clips[train:], truth, torch.tensor([0.5, 0.0]), texts)


def _captions(there: Tensor, texts: Tensor, rng: torch.Generator) -> tuple[Float[Tensor, "n e"], Bool[Tensor, "n k"]]:
    """Of up to four tags of each clip, the rarer the likelier; a clip without any says its background."""
    order = (torch.rand(there.shape, generator=rng) + there.float().mean(0)).masked_fill(~there, torch.inf).argsort(-1)
    named = torch.zeros_like(there).scatter(1, order[:, :4], True) & there
    said = named.float() @ texts + 0.1 * texts.mean(0) * ~named.any(-1, keepdim=True)
    return functional.normalize(said, dim=-1), named
