"""Reading images and files of other people: inside a root, with limits, never unpickled."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image, UnidentifiedImageError

from sceneminer.data.errors import DataError, Issue, IssueKind, MediaError

MAX_IMAGE_PIXELS = 64_000_000
MAX_IMAGE_BYTES = 128 * 2**20
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
_FORMATS = ("JPEG", "PNG")


@dataclass(frozen=True)
class MediaRoot:
    """A folder of media. Names resolve under it; one that leaves it, by ``..`` or by a link, is refused by name."""

    folder: Path

    def path(self, name: str) -> Path:
        """The real path of a media name; MediaError if it escapes or does not exist."""
        if not name or "\0" in name or Path(name).is_absolute():
            # Issues name nothing by an absolute path, not even what a table says.
            subject = name.replace("\0", "?").lstrip("/") or "(no name)"
            raise media_error("escaping_path", subject, "expected a relative file name inside the media root")
        root = self.folder.resolve()
        try:
            target = (root / name).resolve()
            exists = target.is_file()
        except (OSError, RuntimeError, ValueError) as error:  # too long, a loop of links, no UTF-8
            reason = f"expected a readable path, found {type(error).__name__}"
            raise media_error("broken_file", name.encode(errors="replace").decode(), reason) from error
        if not target.is_relative_to(root):
            raise media_error("escaping_path", name, "expected a file inside the media root, found one outside")
        if not exists:
            raise media_error("missing_file", name, "expected a file, found none")
        return target

    def holds(self, folder: str) -> bool:
        """Whether a folder lies inside the root, links followed."""
        try:
            return (self.folder / folder).resolve().is_relative_to(self.folder.resolve())
        except (OSError, RuntimeError, ValueError):
            return False

    def read_bytes(self, name: str, *, limit: int) -> bytes:
        path = self.path(name)
        size = path.stat().st_size
        if size > limit:
            raise media_error("too_large", name, f"expected at most {limit} bytes, found {size}")
        try:
            return path.read_bytes()
        except OSError as error:
            raise media_error("broken_file", name, f"expected a readable file, found {error.strerror}") from error

    def read_image(self, name: str, *, size: tuple[int, int] | None = None) -> UInt8[ndarray, "h w 3"]:
        """One JPEG or PNG as RGB, resized as a whole to ``size`` (width, height) if given."""
        return decode_image(self.read_bytes(name, limit=MAX_IMAGE_BYTES), name, size=size)


def decode_image(data: bytes, name: str, *, size: tuple[int, int] | None = None) -> UInt8[ndarray, "h w 3"]:
    """RGB pixels of an encoded image; MediaError names the file. Large JPEGs are decoded at reduced scale first."""
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > MAX_IMAGE_PIXELS:
                found = f"found {image.width}×{image.height}"
                raise media_error("too_large", name, f"expected at most {MAX_IMAGE_PIXELS} pixels, {found}")
            if size is not None:
                image.draft("RGB", size)
            rgb = _eight_bits(image).convert("RGB")
            if size is not None and rgb.size != size:
                rgb = rgb.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
            return np.asarray(rgb)
    except MediaError:
        raise
    except Image.DecompressionBombError as error:
        raise media_error("too_large", name, f"expected at most {MAX_IMAGE_PIXELS} pixels, found many more") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        reason = f"expected a JPEG or PNG image, found {type(error).__name__}"
        raise media_error("broken_file", name, reason) from error


def resize_image(
    image: UInt8[ndarray, "h w 3"], size: tuple[int, int], *, resample: Literal["bicubic", "bilinear"] = "bicubic"
) -> UInt8[ndarray, "h2 w2 3"]:
    """The whole image at another (width, height), antialiased."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    how = Image.Resampling.BICUBIC if resample == "bicubic" else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(image).resize(size, how))


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey (thermal cameras) by its high byte; Pillow's own conversion would clip nearly all of it to white."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8))


def existing_folder(path: Path | str, what: str) -> Path:
    """The path if it is a folder; DataError says what was expected."""
    folder = Path(path)
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise DataError(f"expected {what} at {folder}, found {found} there")
    return folder


def outside_issue(subject: str, folder: str, count: int) -> Issue:
    """What is said on opening where a whole folder of media is a link out of the media root."""
    reason = f"expected {folder} inside the media root, found a link out of it; name where it leads as --media-root"
    return Issue("escaping_path", subject, reason, count)


def is_text(name: str) -> bool:
    """Whether a file name can be written into tables: Linux allows any bytes in names."""
    return name.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in name)


def media_error(kind: IssueKind, name: str, reason: str) -> MediaError:
    return MediaError(Issue(kind, name, reason))
