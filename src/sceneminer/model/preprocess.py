"""From decoded pixels to what a tower eats: the whole image resized once, never cropped."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from sceneminer.model.errors import CheckpointError

Resample = Literal["bicubic", "bilinear"]

# PIL's resampling codes as preprocessor_config.json stores them.
_RESAMPLE: dict[int, Resample] = {2: "bilinear", 3: "bicubic"}
# A panorama is squeezed to this aspect rather than allowed to make the sequence arbitrarily long.
_MAX_ASPECT = 4


@dataclass(frozen=True)
class Preprocessing:
    """How one tower wants its images."""

    image_size_px: int
    """Length of the shorter side, a multiple of ``patch_px``."""
    patch_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resample: Resample = "bicubic"

    def input_size(self, width_px: int, height_px: int) -> tuple[int, int]:
        """(height, width) in pixels that an image of this size is resized to, whole.

        The shorter side becomes ``image_size_px``, the longer keeps the aspect (at most 4:1) to the nearest
        multiple of ``patch_px``. ValueError where a side is not positive.
        """
        if width_px <= 0 or height_px <= 0:
            raise ValueError(f"expected a positive image size, found {width_px}×{height_px}")
        short = self.image_size_px // self.patch_px
        aspect = min(max(width_px, height_px) / min(width_px, height_px), _MAX_ASPECT)
        long = max(short, round(self.image_size_px * aspect / self.patch_px))
        rows, columns = (short, long) if width_px >= height_px else (long, short)
        return rows * self.patch_px, columns * self.patch_px

    def normalise(self, images: UInt8[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Pixels to the tower's range, in fp32."""
        mean = torch.tensor(self.mean, device=images.device)[:, None, None]
        std = torch.tensor(self.std, device=images.device)[:, None, None]
        return (images.float() / 255.0 - mean) / std


def resize_images(
    images: UInt8[Tensor, "b 3 h w"], size: tuple[int, int], *, resample: Resample = "bicubic"
) -> UInt8[Tensor, "b 3 h2 w2"]:
    """Whole images resized to ``size`` (height, width) with antialiasing, as PIL does it (to two grey levels)."""
    if images.shape[-2:] == torch.Size(size):
        return images
    # torch's uint8 kernel is a port of PIL's fixed-point one; elsewhere PIL's two rounded passes are taken one by one.
    if images.device.type == "cpu":
        return functional.interpolate(images, size=size, mode=resample, antialias=True)
    for target in ((images.shape[-2], size[1]), size):
        resized = functional.interpolate(images.float(), size=target, mode=resample, antialias=True)
        images = resized.round().clamp(0, 255).to(torch.uint8)
    return images


def patchify(images: Float[Tensor, "b 3 h w"], patch_px: int) -> Float[Tensor, "b n d"]:
    """Square patches in reading order, each flattened row by row with colours last (SigLIP 2 NaFlex)."""
    b, c, h, w = images.shape
    grid = images.reshape(b, c, h // patch_px, patch_px, w // patch_px, patch_px)
    return grid.permute(0, 2, 4, 3, 5, 1).reshape(b, -1, patch_px * patch_px * c)


def read_preprocessing(folder: Path, *, image_size_px: int, patch_px: int) -> Preprocessing:
    """Mean, standard deviation and resampling from a tower folder; CheckpointError where they make no sense."""
    values = _image_processor(folder)
    for name in ("do_rescale", "do_normalize"):
        if values.get(name, True) is not True:
            raise CheckpointError(f"expected {name} true in the image processor of {folder.name}, found false")
    factor = values.get("rescale_factor", 1 / 255)
    if not isinstance(factor, float) or abs(factor * 255 - 1) > 1e-3:
        raise CheckpointError(f"expected rescale_factor 1/255 in the image processor of {folder.name}, found {factor}")
    code = values.get("resample", 3)
    if code not in _RESAMPLE:
        raise CheckpointError(f"expected resample 2 (bilinear) or 3 (bicubic) in {folder.name}, found {code!r}")
    return Preprocessing(
        # Towers whose size is no multiple of the patch (384 at 14) ignore the remainder; so their input drops it.
        image_size_px=image_size_px // patch_px * patch_px,
        patch_px=patch_px,
        mean=_three_numbers(values, "image_mean", folder),
        std=_three_numbers(values, "image_std", folder),
        resample=_RESAMPLE[code],
    )


def read_json(path: Path) -> dict[str, Any]:
    """One JSON object from a checkpoint folder; CheckpointError names the file where it is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"expected {path.name} in {path.parent}, found none") from None
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"expected {path} to hold JSON, found {error}") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"expected {path} to hold a JSON object, found {type(value).__name__}")
    return value


def _image_processor(folder: Path) -> dict[str, Any]:
    if (folder / "preprocessor_config.json").exists():
        return read_json(folder / "preprocessor_config.json")
    if (folder / "processor_config.json").exists():
        nested = read_json(folder / "processor_config.json").get("image_processor")
        if isinstance(nested, dict):
            return nested
    raise CheckpointError(f"expected preprocessor_config.json in {folder}, found none")


def _three_numbers(values: dict[str, Any], name: str, folder: Path) -> tuple[float, float, float]:
    numbers = values.get(name)
    if not isinstance(numbers, list) or len(numbers) != 3 or not all(isinstance(n, float | int) for n in numbers):
        raise CheckpointError(f"expected three numbers as {name} in the image processor of {folder}, found {numbers!r}")
    if name == "image_std" and min(numbers) <= 0:
        raise CheckpointError(f"expected a positive image_std in {folder}, found {numbers}")
    return float(numbers[0]), float(numbers[1]), float(numbers[2])
