"""Images of a Log as files have them: copied as they are where that is a JPEG or PNG, encoded anew where not."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from PIL import Image, UnidentifiedImageError

from sceneminer.data.log import Log, Series
from sceneminer.data.media import IMAGE_SUFFIXES, MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS, MediaRoot, media_error

QUALITY = 95
"""Of JPEGs made here, from frames of videos and the like."""


@dataclass(frozen=True)
class EncodedImage:
    """One image in a file's bytes."""

    data: bytes
    kind: Literal["jpeg", "png"]
    width_px: int
    height_px: int

    @property
    def suffix(self) -> str:
        return ".jpg" if self.kind == "jpeg" else ".png"


@runtime_checkable
class _HasFiles(Protocol):
    """A LogStore whose series name image files under a root."""

    media: MediaRoot


def encoded_image(log: Log, series: Series, i: int) -> EncodedImage:
    """One image of a camera; MediaError where it is unusable. Files are not decoded: only their headers are read."""
    name = series.files[i]
    store = log.store
    if series.video_index is None and isinstance(store, _HasFiles) and Path(name).suffix.lower() in IMAGE_SUFFIXES:
        return _checked(store.media.read_bytes(name, limit=MAX_IMAGE_BYTES), name)
    pixels = Image.fromarray(store.read_image(series, i))
    out = io.BytesIO()
    pixels.save(out, "JPEG", quality=QUALITY)
    return EncodedImage(out.getvalue(), "jpeg", pixels.width, pixels.height)


def _checked(data: bytes, name: str) -> EncodedImage:
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            kind, width, height = image.format, image.width, image.height
    except Image.DecompressionBombError as error:
        raise media_error("too_large", name, f"expected at most {MAX_IMAGE_PIXELS} pixels, found many more") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise media_error("broken_file", name, f"expected a JPEG or PNG image, found {type(error).__name__}") from error
    if width * height > MAX_IMAGE_PIXELS:
        raise media_error("too_large", name, f"expected at most {MAX_IMAGE_PIXELS} pixels, found {width}×{height}")
    return EncodedImage(data, "png" if kind == "PNG" else "jpeg", width, height)
