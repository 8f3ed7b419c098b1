"""Raw images and point clouds of messages as arrays."""

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from sceneminer.data.adapters.mcap_messages import Cloud, Picture
from sceneminer.data.log import Points
from sceneminer.data.media import MAX_IMAGE_PIXELS, decode_image, media_error, resize_image
from sceneminer.geometry.pose import pose_from_quat, transform

_CHANNELS = {
    "rgb8": (0, 1, 2),
    "bgr8": (2, 1, 0),
    "8UC3": (2, 1, 0),
    "rgba8": (0, 1, 2),
    "bgra8": (2, 1, 0),
    "mono8": (0, 0, 0),
    "8UC1": (0, 0, 0),
    "mono16": (0, 0, 0),
}
_PIXEL_BYTES = {"rgb8": 3, "bgr8": 3, "8UC3": 3, "rgba8": 4, "bgra8": 4, "mono8": 1, "8UC1": 1, "mono16": 2}
_YUV = {"uyvy": 1, "yuv422": 1, "yuyv": 0, "yuv422_yuy2": 0, "yuv422_yuyv": 0}
"""Where brightness stands in its pairs of bytes."""
_BAYER = {"rggb": 0, "grbg": 1, "gbrg": 2, "bggr": 3}
"""Where red stands in each cell of 2×2: left to right, top to bottom."""


def is_raw_encoding(encoding: str) -> bool:
    """Whether a raw image of that encoding is read."""
    return encoding in _CHANNELS or encoding in _YUV or _bayer_of(encoding) is not None


def picture_pixels(picture: Picture, name: str, size: tuple[int, int] | None) -> UInt8[ndarray, "h w 3"]:
    """RGB of an image message, resized as a whole to ``size`` (width, height) if given; MediaError names the file."""
    if not picture.encoding:
        return decode_image(bytes(picture.data), name, size=size)
    rgb = _raw_pixels(picture, name)
    return rgb if size is None else resize_image(rgb, size)


def _raw_pixels(picture: Picture, name: str) -> UInt8[ndarray, "h w 3"]:
    encoding, width, height = picture.encoding, picture.width, picture.height
    if not is_raw_encoding(encoding):
        expected = ", ".join((*_CHANNELS, *_YUV, "bayer_*8", "bayer_*16"))
        raise media_error("unsupported", name, f"expected an image of {expected}; found {encoding!r:.40}")
    if width * height > MAX_IMAGE_PIXELS:
        raise media_error("too_large", name, f"expected at most {MAX_IMAGE_PIXELS} pixels, found {width}×{height}")
    bayer = _bayer_of(encoding)
    each = _PIXEL_BYTES.get(encoding, 2 if encoding in _YUV else bayer[1] if bayer else 0)
    if not width or not height or picture.step < width * each or len(picture.data) < picture.step * height:
        found = f"found {len(picture.data)} bytes in rows of {picture.step}"
        raise media_error("broken_file", name, f"expected an image of {width}×{height} in {encoding}, {found}")
    rows = np.frombuffer(picture.data, np.uint8, picture.step * height).reshape(height, picture.step)
    values = rows[:, : width * each].reshape(height, width, each)
    if encoding in _YUV:
        return _yuv_pixels(values, _YUV[encoding])
    if bayer is not None:
        return _demosaiced(values[..., _high_byte(picture, bayer[1])], bayer[0])
    if encoding == "mono16":
        values = values[..., _high_byte(picture, 2)][..., None]
    return np.ascontiguousarray(values[..., _CHANNELS[encoding]])


def _high_byte(picture: Picture, each: int) -> int:
    return 0 if each == 1 or picture.big_endian else 1


def _bayer_of(encoding: str) -> tuple[int, int] | None:
    """Where red stands, and bytes a pixel."""
    pattern, bits = encoding[6:10], encoding[10:]
    if not encoding.startswith("bayer_") or pattern not in _BAYER or bits not in ("8", "16"):
        return None
    return _BAYER[pattern], int(bits) // 8


def _demosaiced(mosaic: UInt8[ndarray, "h w"], red: int) -> UInt8[ndarray, "h w 3"]:
    """Every cell of 2×2 takes its one red, its one blue and the mean of its two greens: simple, and half as sharp."""
    height, width = mosaic.shape
    even = np.pad(mosaic, ((0, height % 2), (0, width % 2)), "reflect" if min(height, width) > 1 else "edge")
    cells = [even[i::2, j::2].astype(np.uint16) for i in (0, 1) for j in (0, 1)]
    greens = [cells[k] for k in range(4) if k not in (red, 3 - red)]
    rgb = np.stack([cells[red], (greens[0] + greens[1]) // 2, cells[3 - red]], -1).astype(np.uint8)
    return rgb.repeat(2, 0).repeat(2, 1)[:height, :width]


def _yuv_pixels(pairs: UInt8[ndarray, "h w 2"], bright: int) -> UInt8[ndarray, "h w 3"]:
    """4:2:2 in BT.601's narrow range (ITU-R BT.601-7), as OpenCV reads UYVY and YUY2."""
    width = pairs.shape[1]
    chroma = pairs[..., 1 - bright].astype(np.float32) - 128
    if width % 2:
        chroma = np.concatenate([chroma, chroma[:, -2:-1] if width > 1 else chroma], 1)
    u, v = (chroma[:, k::2].repeat(2, 1)[:, :width] for k in (0, 1))
    y = 1.164 * (pairs[..., bright].astype(np.float32) - 16)
    rgb = np.stack([y + 1.596 * v, y - 0.392 * u - 0.813 * v, y + 2.017 * u], -1)
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def cloud_points(cloud: Cloud, name: str) -> Points:
    """x, y, z, and intensity and ring where there are; points that are not finite are left out (no return)."""
    columns = {key: _column(cloud, offset, kind, name) for key, offset, kind in cloud.fields}
    lacking = [key for key in "xyz" if key not in columns]
    if lacking:
        found = ", ".join(columns) or "no fields"
        raise media_error("unsupported", name, f"expected points with x, y and z; found {found:.80}")
    xyz = np.stack([columns[key].astype(np.float64) for key in "xyz"], -1)
    if cloud.origin is not None:
        xyz = transform(pose_from_quat(np.array(cloud.origin.translation_m), np.array(cloud.origin.quat_wxyz)), xyz)
    finite = np.all(np.isfinite(xyz), -1)
    bright = columns.get("intensity", np.zeros(cloud.count)).astype(np.float64)
    ring = columns.get("ring")
    return Points(
        xyz_m=xyz[finite],
        intensity=np.nan_to_num(bright[finite], posinf=0.0, neginf=0.0),
        ring=None if ring is None else np.clip(np.nan_to_num(ring[finite]), -1, 2**15).astype(np.int64),
    )


def _column(cloud: Cloud, offset: int, kind: str, name: str) -> Float[ndarray, "n"]:
    dtype = np.dtype((">" if cloud.big_endian else "<") + kind)
    if offset + dtype.itemsize > cloud.stride:
        raise media_error("broken_file", name, f"expected fields within {cloud.stride} bytes, found one at {offset}")
    if cloud.count == 0:
        return np.zeros(0)
    return np.ndarray((cloud.count,), dtype, cloud.data, offset, (cloud.stride,)).astype(np.float64)
