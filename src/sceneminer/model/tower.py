"""Vision-language towers: one frozen pass turns an image into an embedding that text can search, and patch tokens.

Everything about transformers is in this file, imported when a tower is loaded: it costs seconds.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional

from sceneminer.model.errors import CheckpointError
from sceneminer.model.fingerprint import FingerprintValue, fingerprint_of, module_state
from sceneminer.model.preprocess import Preprocessing, Resample, patchify, read_json, read_preprocessing
from sceneminer.model.text import TextTokenizer, load_tokenizer

NumericMode = Literal["fp32", "bf16"]
MODEL_TYPES = ("clip", "siglip", "siglip2")
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_HUB_FILES = ["*.json", "*.txt", "model*.safetensors", "tower/*.json", "tower/*.txt", "tower/model*.safetensors"]
# Texts are encoded this many at a time.
_TEXT_BATCH = 32


@dataclass(frozen=True, eq=False)
class ImageFeatures:
    """What one pass makes of a batch of images, in fp32."""

    embeddings: Float[Tensor, "b e"]
    """Unit length, in the tower's text space."""
    patches: Float[Tensor, "b gh gw d"]
    """The last hidden state at each patch, as the tower leaves it."""


@runtime_checkable
class Tower(Protocol):
    """A frozen image and text encoder with one joint space."""

    name: str
    space: str
    """Names the text space: embeddings of two towers compare only where it is equal."""
    embed_dim: int
    patch_dim: int
    patch_px: int
    logit_scale: float
    """What cosines are multiplied by before a softmax or sigmoid, as trained."""
    resample: Resample
    """How whoever decodes images should resize them."""

    def input_size(self, width_px: int, height_px: int) -> tuple[int, int]:
        """(height, width) that a whole image of this size is resized to."""
        ...

    def encode_images(self, images: UInt8[Tensor, "b 3 h w"]) -> ImageFeatures:
        """RGB images at their ``input_size``, in one pass."""
        ...

    def encode_texts(self, texts: list[str]) -> Float[Tensor, "n e"]:
        """Unit-length text embeddings."""
        ...

    def fingerprint_state(self) -> Mapping[str, FingerprintValue]:
        """All that decides what ``encode_images`` returns: weights, preprocessing, numeric mode."""
        ...


class TransformersTower(nn.Module):
    """A CLIP, SigLIP or SigLIP 2 model from transformers; frozen, always in eval mode."""

    def __init__(
        self,
        model: nn.Module,
        tokenizer: TextTokenizer,
        *,
        name: str,
        folder: Path,
        reference: str,
        preprocessing: Preprocessing,
        dtype: NumericMode,
    ):
        super().__init__()
        config: Any = model.config
        self.name, self.folder, self.reference, self.dtype = name, folder, reference, dtype
        self.model_type: str = config.model_type
        self.preprocessing, self.tokenizer = preprocessing, tokenizer
        self.patch_px, self.patch_dim = preprocessing.patch_px, int(config.vision_config.hidden_size)
        self.resample: Resample = preprocessing.resample
        self.embed_dim = int(config.projection_dim if self.model_type == "clip" else self.patch_dim)
        # Hashed before the cast, so that a tower names one space in every numeric mode.
        self.space = f"{self.model_type}:{fingerprint_of(_text_state(model))[:8]}"
        self.logit_scale = float(model.logit_scale.detach().float().exp())  # type: ignore[union-attr,operator]
        self.model = model.to(_DTYPES[dtype]).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "TransformersTower":
        """Stays in eval mode: dropout in a frozen tower would change every stream."""
        return super().train(False)

    def input_size(self, width_px: int, height_px: int) -> tuple[int, int]:
        return self.preprocessing.input_size(width_px, height_px)

    # no_grad, not inference_mode: a trunk in training must be able to save these outputs for its backward pass.
    @torch.no_grad()
    def encode_images(self, images: UInt8[Tensor, "b 3 h w"]) -> ImageFeatures:
        """Embeddings and patch tokens of RGB images in one pass.

        Height and width are multiples of ``patch_px`` (ValueError otherwise); position embeddings are
        interpolated where the grid is not the one the tower was trained on.
        """
        b, _, height, width = images.shape
        if height % self.patch_px or width % self.patch_px:
            raise ValueError(f"expected image sides in multiples of {self.patch_px} px, found {width}×{height}")
        rows, columns = height // self.patch_px, width // self.patch_px
        pixels = self.preprocessing.normalise(images).to(_DTYPES[self.dtype])
        model: Any = self.model
        if self.model_type == "siglip2":
            shapes = torch.tensor([[rows, columns]], device=images.device).expand(b, 2)
            whole = torch.ones(b, rows * columns, dtype=torch.int32, device=images.device)
            out = model.get_image_features(
                patchify(pixels, self.patch_px), pixel_attention_mask=whole, spatial_shapes=shapes
            )
        else:
            out = model.get_image_features(pixels, interpolate_pos_encoding=True)
        patches = out.last_hidden_state[:, 1:] if self.model_type == "clip" else out.last_hidden_state
        return ImageFeatures(
            embeddings=functional.normalize(out.pooler_output.float(), dim=-1),
            patches=patches.float().reshape(b, rows, columns, self.patch_dim),
        )

    @torch.no_grad()
    def encode_texts(self, texts: list[str]) -> Float[Tensor, "n e"]:
        """Unit-length embeddings; texts too long for the tower are cut, as in its training."""
        device = next(self.model.parameters()).device
        ids = self.tokenizer.encode(texts).to(device)
        model: Any = self.model
        out = torch.zeros(len(texts), self.embed_dim, device=device)
        for length in self._text_lengths(ids).unique().tolist():
            rows = (self._text_lengths(ids) == length).nonzero()[:, 0]
            for part in rows.split(_TEXT_BATCH):
                out[part] = model.get_text_features(ids[part, :length]).pooler_output.float()
        return functional.normalize(out, dim=-1)

    def _text_lengths(self, ids: Int[Tensor, "n length"]) -> Int[Tensor, "n"]:
        """How much of each row to compute: CLIP's text side is causal, so that padding after the end adds nothing
        but time; rows are cut to 16, 32 or all tokens. SigLIP was trained with its padding in view."""
        whole = torch.full((len(ids),), ids.shape[1], device=ids.device)
        if self.model_type != "clip" or ids.shape[1] <= 32:
            return whole
        used = (ids == self.tokenizer.end).int().argmax(-1) + 1
        return torch.where(used <= 16, 16, torch.where(used <= 32, 32, whole))

    def fingerprint_state(self) -> Mapping[str, FingerprintValue]:
        state: dict[str, FingerprintValue] = {
            k: v for k, v in module_state(self.model).items() if k.startswith(("vision_model.", "visual_projection."))
        }
        p = self.preprocessing
        activation = str(self.model.config.vision_config.hidden_act)  # type: ignore[union-attr]
        state |= {"numeric_mode": self.dtype, "model_type": self.model_type, "activation": activation}
        state |= {"mean": p.mean, "std": p.std, "resample": p.resample, "patch_px": p.patch_px}
        return state | {"image_size_px": p.image_size_px}


def _text_state(model: nn.Module) -> dict[str, FingerprintValue]:
    return {k: v for k, v in module_state(model).items() if k.startswith(("text_model.", "text_projection."))}


def resolve_folder(name_or_folder: str | Path) -> Path:
    """The folder of that path, or else of that name on the Hugging Face hub (cache first, then download).

    Only JSON, text and safetensors files are fetched. CheckpointError where there is neither.
    """
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        return folder
    name = str(name_or_folder)
    if not _HUB_NAME.fullmatch(name):
        raise CheckpointError(f"expected a model folder or a hub name owner/model, found {name!r}: no such folder")
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=_HUB_FILES, local_files_only=True))
    except (LocalEntryNotFoundError, ValueError):
        pass  # not in the cache: ask the hub
    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=_HUB_FILES))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"expected {name!r} to be a folder or to be on the hub, found neither: {line}") from None


def load_tower(name_or_folder: str | Path, *, dtype: NumericMode = "fp32") -> TransformersTower:
    """A CLIP, SigLIP or SigLIP 2 tower in transformers' own layout, from a folder or by hub name.

    Weights come from safetensors only and no code from the folder runs. CheckpointError says what is missing or
    of the wrong kind: another model type, no tokenizer, no safetensors, weights that do not match the config.
    """
    if dtype not in _DTYPES:
        raise ValueError(f"expected numeric mode fp32 or bf16, found {dtype!r}")
    folder = resolve_folder(name_or_folder)
    model_type = read_json(folder / "config.json").get("model_type")
    if model_type not in MODEL_TYPES:
        raise CheckpointError(f"expected a tower of type {', '.join(MODEL_TYPES)} in {folder}, found {model_type!r}")
    _require_safetensors(folder)
    model = _load_model(folder, str(model_type))
    config: Any = model.config
    patch_px = int(config.vision_config.patch_size)
    size_px = _native_size(config.vision_config, patch_px)
    text = config.text_config
    return TransformersTower(
        model,
        load_tokenizer(
            folder, model_type=str(model_type), length=text.max_position_embeddings, vocab_size=text.vocab_size
        ),
        # A folder's place on this machine is nobody's business: only its last part becomes the name.
        name=folder.name if Path(name_or_folder).expanduser().is_dir() else str(name_or_folder),
        folder=folder,
        reference=str(name_or_folder),
        preprocessing=read_preprocessing(folder, image_size_px=size_px, patch_px=patch_px),
        dtype=dtype,
    )


def _native_size(vision: Any, patch_px: int) -> int:
    if hasattr(vision, "image_size"):
        return int(vision.image_size)
    return round(vision.num_patches**0.5) * patch_px


def _require_safetensors(folder: Path) -> None:
    if any(folder.glob("model*.safetensors")):
        return
    others = sorted(p.name for p in folder.iterdir() if p.suffix in {".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack"})
    found = ", ".join(others) + " (pickled weights are never opened)" if others else "none"
    raise CheckpointError(f"expected model.safetensors in {folder}, found {found}")


def _model_class(model_type: str) -> Any:
    import transformers

    return {"clip": transformers.CLIPModel, "siglip": transformers.SiglipModel, "siglip2": transformers.Siglip2Model}[
        model_type
    ]


def _load_model(folder: Path, model_type: str) -> nn.Module:
    try:
        with _quiet():
            model, info = _model_class(model_type).from_pretrained(
                folder,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported, and refused below by name
            )
    except Exception as error:  # transformers and safetensors raise many kinds for one fact: these weights do not load
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"expected {folder} to hold a {model_type} model, found: {line}") from None
    for kind, what in (("missing_keys", "is missing"), ("mismatched_keys", "has the wrong shape")):
        if info[kind]:
            first = sorted(key if isinstance(key, str) else str(key[0]) for key in info[kind])[0]
            raise CheckpointError(f"expected all weights of {folder}, found that {first} {what} ({len(info[kind])} do)")
    for name, tensor in model.named_parameters():
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"expected finite weights in {folder}, found NaN or infinity in {name}")
    return model


def make_weights(folder: Path, *, seed: int) -> None:
    """Random weights for the tower that ``config.json`` in the folder describes, written beside it."""
    from transformers import AutoConfig

    with _quiet():
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _model_class(config.model_type)(config)
    with _quiet():
        model.save_pretrained(folder)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bars and advice: what goes wrong is raised here, in one line."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
