"""nuScenes base maps: one road mask a location, 10 pixels a metre, up to 1.2 gigapixels."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image, PngImagePlugin

from sceneminer.data.adapters.nuscenes_cache import through_cache
from sceneminer.data.media import media_error

PIXELS_PER_M = 10
MAX_BASEMAP_PIXELS = 2_000_000_000
"""Far above the limit for camera images: only files that map.json names are read under it, and one a location."""
_STRIP_ROWS = 1024


def read_basemap_window(
    path: Path, name: str, center_xy_m: tuple[float, float], *, half_extent_m: float = 50.0
) -> UInt8[ndarray, "y x"]:
    """The mask around a point of the world, north up, 255 on roads, 0 elsewhere and outside the map.

    A PNG can only be decoded from its top: the first read of a map takes seconds and as many bytes as it has pixels.
    It leaves one bit a pixel in the cache, of which later reads map just their window.
    """
    bits = _open_bits(path, name)
    height, width = bits.shape[0], bits.shape[1] * 8
    half = round(half_extent_m * PIXELS_PER_M)
    column = round(center_xy_m[0] * PIXELS_PER_M) - half
    row = height - round(center_xy_m[1] * PIXELS_PER_M) - half
    window = np.zeros((2 * half, 2 * half), np.uint8)
    top, bottom = np.clip([row, row + 2 * half], 0, height)
    left, right = np.clip([column, column + 2 * half], 0, width)
    if bottom > top and right > left:
        first = left // 8
        part = np.unpackbits(bits[top:bottom, first : -(-right // 8)], axis=1)
        part = part[:, left - first * 8 : right - first * 8]
        window[top - row : bottom - row, left - column : right - column] = part * 255
    return window


def _open_bits(path: Path, name: str) -> ndarray:
    """The mask as packed bits [rows, columns / 8], memory-mapped from the cache."""
    return through_cache("basemap", [path], make=lambda: _decode(path, name), write=_write, read=_read)


def _write(bits: ndarray, work: Path) -> None:
    np.save(work / "mask.npy", bits)


def _read(entry: Path) -> ndarray:
    return np.load(entry / "mask.npy", mmap_mode="r", allow_pickle=False)


def _decode(path: Path, name: str) -> ndarray:
    try:
        # Not Image.open, whose own limit is global: the size is checked here, before any pixel is decoded.
        with path.open("rb") as file, PngImagePlugin.PngImageFile(file) as image:
            width, height = image.size
            if width * height > MAX_BASEMAP_PIXELS:
                found = f"found {width}×{height}"
                raise media_error("too_large", name, f"expected at most {MAX_BASEMAP_PIXELS} pixels, {found}")
            bits = np.zeros((height, -(-width // 8)), np.uint8)
            for top in range(0, height, _STRIP_ROWS):
                strip = image.crop((0, top, width, min(top + _STRIP_ROWS, height))).convert("L")
                bits[top : top + _STRIP_ROWS] = np.packbits(np.asarray(strip) > 0, axis=1)
            return bits
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise media_error("broken_file", name, f"expected a PNG mask, found {type(error).__name__}") from error
