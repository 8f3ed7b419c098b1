"""The scene model: images in, streams and signals out. Frozen, in eval mode, the same bits every time."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from sceneminer.labels.prompts import BACKGROUND_PROMPTS, TAG_NEGATIVES, TAG_PROMPTS
from sceneminer.model.checkpoint import copy_tower, is_scene_model, read_document, read_weights, write_checkpoint
from sceneminer.model.config import ModelConfig, parse_config
from sceneminer.model.errors import CheckpointError
from sceneminer.model.fingerprint import head_fingerprint, stream_fingerprint
from sceneminer.model.geometry import LiftPoints
from sceneminer.model.heads import EmbedHead, Signal, TagsHead, build_head
from sceneminer.model.initial import initialise, initialise_head
from sceneminer.model.lift import Lift
from sceneminer.model.stream import STREAM_PARTS, Stream, mean_embedding, round_stream
from sceneminer.model.temporal import TemporalBev
from sceneminer.model.tokens import SceneTokens, pool_patches
from sceneminer.model.tower import ImageFeatures, NumericMode, Tower, load_tower, resolve_folder

TRUNK = ("lift", "temporal", "scene_tokens")


@dataclass(frozen=True)
class Provenance:
    """What trained weights were trained on, and under which terms."""

    training_data: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()


class SceneModel(nn.Module):
    """A tower, a trunk and heads.

    Every method works one clip (or frame) at a time, so that what a call returns for a clip does not depend on how
    many others were in it. ``encode`` alone runs a batch as it comes: pad it to a fixed shape.
    """

    def __init__(
        self,
        tower: Tower,
        config: ModelConfig | None = None,
        *,
        heads: Sequence[nn.Module] | None = None,
        provenance: Provenance | None = None,
    ):
        """An untrained trunk around the tower; ``heads`` are the embedding and the tags unless given."""
        super().__init__()
        config = config or ModelConfig()
        self.config, self.tower = replace(config, tower=tower.name), tower
        self.provenance = provenance or Provenance()
        c = self.config
        self.lift = Lift(
            patch_dim=tower.patch_dim,
            width=c.bev_width,
            distance_bins=c.distance_bins,
            grid=c.grid,
            heights_m=c.heights_m,
        )
        self.temporal = TemporalBev(frames=c.frames_per_clip, width=c.bev_width, grid=c.grid)
        self.scene_tokens = SceneTokens(
            patch_dim=tower.patch_dim,
            embed_dim=tower.embed_dim,
            bev_width=c.bev_width,
            count=c.token_count,
            width=c.token_width,
            layers=c.token_layers,
            grid=c.grid,
            bev_token_grid=c.bev_token_grid,
        )
        for name in TRUNK:
            initialise(self.get_submodule(name), seed=c.seed)
        self.heads = nn.ModuleDict()
        for head in default_heads(tower, c) if heads is None else heads:
            self.add_head(head)
        self.requires_grad_(False).eval()

    def add_head(self, head: nn.Module) -> None:
        """Add or replace the head of one signal; ValueError where it reads more than the stream."""
        name, reads = str(head.name), tuple(head.reads)  # type: ignore[arg-type]
        outside = [part for part in reads if part not in STREAM_PARTS]
        if outside:
            raise ValueError(f"expected head {name} to read {' or '.join(STREAM_PARTS)}, found {', '.join(outside)}")
        self.heads[name] = head.requires_grad_(False).eval()

    def with_heads(self, heads: Sequence[nn.Module]) -> "SceneModel":
        """The same tower and trunk, shared, with these heads instead; the model itself keeps its own."""
        other = copy.copy(self)
        other._modules = self._modules | {"heads": nn.ModuleDict()}
        for head in heads:
            other.add_head(head)
        return other

    def encode(self, images: UInt8[Tensor, "b 3 h w"]) -> ImageFeatures:
        """Embeddings and patch tokens of images at the tower's ``input_size``, in one pass."""
        return self.tower.encode_images(images)

    def pool(self, patches: Float[Tensor, "n gh gw d"]) -> Float[Tensor, "n ty tx d"]:
        """Patch tokens on ``config.image_token_grid``: what the queries read, and what is worth keeping of an image."""
        return pool_patches(patches, self.config.image_token_grid)

    def lift_frames(
        self,
        patches: Float[Tensor, "f v _ _ d"] | Sequence[Float[Tensor, "f _ _ d"]],
        valid: Bool[Tensor, "f v"],
        points: Sequence[LiftPoints],
    ) -> Float[Tensor, "f ch y x"]:
        """The BEV of each frame: ``bev_width`` channels and an observed mask.

        ``patches`` are one tensor, or one a camera where image shapes differ; ``points`` is one entry a frame
        (``geometry.sample_points``). A frame no calibrated camera sees is all zero.
        """
        frames, views = valid.shape
        per_view = patches.unbind(1) if isinstance(patches, Tensor) else list(patches)
        if len(per_view) != views or len(points) != frames or any(len(p) != frames for p in per_view):
            raise ValueError(f"expected patches and points of {frames} frames × {views} views as in valid")
        return torch.stack([self.lift([p[f] for p in per_view], valid[f], points[f]) for f in range(frames)])

    def make_stream(
        self,
        *,
        embeddings: Float[Tensor, "c t v e"],
        patches: Float[Tensor, "c t v gh gw d"],
        valid: Bool[Tensor, "c t v"],
        rays: Float[Tensor, "c t v ty tx 3"] | None,
        bev: Float[Tensor, "c t ch y x"],
        last_from_frame: Float[Tensor, "c t 4 4"],
    ) -> Stream:
        """The streams of clips of ``frames_per_clip`` frames, oldest first, ``frame_period_us`` apart.

        patches: at any resolution, or already ``pool``-ed (cameras of different shape must be). rays: on
        ``image_token_grid``, in each frame's ego (``geometry.token_rays``), NaN or None where unknown. bev: from
        ``lift_frames``, zero for a missing frame. last_from_frame: ``geometry.ego_motion``, NaN where unknown.
        Images where ``valid`` is false may hold anything.
        """
        c, t, v = valid.shape
        ty, tx = self.config.image_token_grid
        if t != self.config.frames_per_clip:
            raise ValueError(f"expected {self.config.frames_per_clip} frames a clip, found {t}")
        if rays is None:
            rays = patches.new_full((c, t, v, ty, tx, 3), torch.nan)
        age_s = torch.arange(t - 1, -1, -1, device=patches.device) * (self.config.frame_period_us / 1e6)
        parts = []
        for i in range(c):
            pooled = self.pool(patches[i].flatten(0, 1)).unflatten(0, (t, v))
            fused = self.temporal(bev[i : i + 1], last_from_frame[i : i + 1])
            tokens = self.scene_tokens(
                embeddings=embeddings[i : i + 1],
                patches=pooled[None],
                valid=valid[i : i + 1],
                rays=rays[i : i + 1],
                age_s=age_s,
                bev=fused,
                last_from_frame=last_from_frame[i : i + 1],
            )
            parts.append(round_stream(tokens, mean_embedding(embeddings[i : i + 1], valid[i : i + 1])))
        return Stream(torch.cat([p.tokens for p in parts]), torch.cat([p.embedding for p in parts]))

    def signals(self, stream: Stream, *, names: Sequence[str] | None = None) -> dict[str, Signal]:
        """Each head's signal (or those named): ``embedding`` [c e], unit length; ``tags`` [c 20], in [0, 1];
        ``forecast``, where the model has it, a mapping of tensors (``model.forecast``)."""
        wanted = list(self.heads) if names is None else list(names)
        unknown = [name for name in wanted if name not in self.heads]
        if unknown:
            raise ValueError(f"expected heads among {', '.join(self.heads)}; found {', '.join(unknown)}")
        clips = [stream[i : i + 1] for i in range(max(len(stream), 1))]
        return {name: _joined([self.heads[name](clip) for clip in clips]) for name in wanted}

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a checkpoint; the tower goes with it where its weights are under 100 MB, else its name does."""
        folder = Path(folder)
        source = getattr(self.tower, "folder", None)
        local = source is not None and copy_tower(source, folder)
        document: dict[str, Any] = {
            "model": self.config.document(),
            "tower": {"path": "tower"} if local else {"name": getattr(self.tower, "reference", self.tower.name)},
            "space": self.tower.space,
            "heads": [head.document() for head in self.heads.values()],  # type: ignore[operator]
            "stream_fingerprint": stream_fingerprint(self),
            "head_fingerprints": {name: head_fingerprint(head) for name, head in self.heads.items()},
            "training_data": list(self.provenance.training_data),
            "licences": list(self.provenance.licences),
        }
        write_checkpoint(folder, document, self._own_weights())

    @classmethod
    def from_pretrained(
        cls,
        name_or_folder: str | Path,
        *,
        numeric_mode: NumericMode | None = None,
        tower: Tower | None = None,
        config: ModelConfig | None = None,
        check: bool = True,
    ) -> "SceneModel":
        """A saved scene model, or an untrained trunk around a plain CLIP or SigLIP folder or hub name.

        ``numeric_mode`` defaults to the checkpoint's (fp32 for a plain tower); another mode is another stream.
        ``tower`` replaces the one the checkpoint names; ``config`` shapes the trunk around a plain tower. Without
        ``check`` the weights need not be those that the checkpoint's own fingerprints name: for ``verify`` alone.
        CheckpointError says what is wrong with the folder.
        """
        folder = resolve_folder(name_or_folder)
        if not is_scene_model(folder):
            config = config or ModelConfig()
            mode = numeric_mode or config.numeric_mode
            return cls(tower or load_tower(name_or_folder, dtype=mode), replace(config, numeric_mode=mode))
        document = read_document(folder)
        saved = parse_config(document["model"])
        mode = numeric_mode or saved.numeric_mode
        tower = tower or load_tower(_tower_of(document["tower"], folder), dtype=mode)
        dims = {"embed_dim": tower.embed_dim, "token_width": saved.token_width}
        model = cls(
            tower,
            replace(saved, numeric_mode=mode),
            heads=[build_head(head, **dims) for head in document["heads"]],
            provenance=Provenance(tuple(document["training_data"]), tuple(document["licences"])),
        )
        own = model._own_weights()
        for name, tensor in read_weights(folder, own).items():
            own[name].copy_(tensor)
        if check and mode == saved.numeric_mode:
            _check_fingerprints(model, document, folder)
        # Under its own name: the tower inside a checkpoint folder has none.
        model.config = replace(model.config, tower=saved.tower)
        return model

    def _own_weights(self) -> dict[str, Tensor]:
        return {k: v.data for k, v in self.state_dict().items() if not k.startswith("tower.")}


def default_heads(tower: Tower, config: ModelConfig) -> list[nn.Module]:
    """Untrained: the embedding and the 20 tags as the tower alone sees them."""
    embed = EmbedHead(embed_dim=tower.embed_dim, token_width=config.token_width)
    tags = TagsHead(
        prompts=TAG_PROMPTS,
        contrasts={tag: TAG_NEGATIVES[tag] + BACKGROUND_PROMPTS for tag in TAG_PROMPTS},
        embed_dim=tower.embed_dim,
        token_width=config.token_width,
        logit_scale=tower.logit_scale,
    )
    for head in (embed, tags):
        initialise_head(head, seed=config.seed)
    return [embed, tags.embed_prompts(tower)]


def _joined(parts: Sequence[Signal]) -> Signal:
    """Signals of single clips as one of all: tensors, or mappings of them."""
    if isinstance(parts[0], Tensor):
        return torch.cat(parts)  # type: ignore[arg-type]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}  # type: ignore[index]


def _tower_of(entry: Mapping[str, Any], folder: Path) -> str | Path:
    if entry.get("path") == "tower":
        return folder / "tower"
    if isinstance(entry.get("name"), str):
        return str(entry["name"])
    raise CheckpointError(f"expected tower as a path 'tower' or a name in {folder / 'config.json'}, found {entry!r}")


def _check_fingerprints(model: SceneModel, document: Mapping[str, Any], folder: Path) -> None:
    found = {"stream": stream_fingerprint(model)} | {k: head_fingerprint(h) for k, h in model.heads.items()}
    expected = {"stream": document["stream_fingerprint"]} | document["head_fingerprints"]
    wrong = [name for name in sorted({*found, *expected}) if found.get(name) != expected.get(name)]
    if wrong:
        name = wrong[0]
        raise CheckpointError(
            f"expected fingerprint {str(expected.get(name))[:12]} for {name} as {folder / 'config.json'} says, "
            f"found {str(found.get(name))[:12]}: weights, tower or preprocessing have changed"
        )
