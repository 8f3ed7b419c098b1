"""Raw images of recordings in every encoding that is read."""

import numpy as np
import pytest
from adapter_case import GREEN, RED
from video_tree import two_tone

from sceneminer.data.adapters.mcap_messages import Picture
from sceneminer.data.adapters.mcap_pixels import is_raw_encoding, picture_pixels
from sceneminer.data.errors import MediaError

PIXELS = two_tone(16, 6)
GREY = np.arange(96, dtype=np.uint8).reshape(6, 16)


def read(encoding: str, rows: np.ndarray, *, width: int = 16, big_endian: bool = False, padding: int = 0) -> np.ndarray:
    data = np.pad(rows, ((0, 0), (0, padding)), constant_values=99)
    picture = Picture(
        "front", data.tobytes(), encoding, width=width, height=len(rows), step=data.shape[1], big_endian=big_endian
    )
    return picture_pixels(picture, "a.mcap", None)


def mosaic(pattern: str) -> np.ndarray:
    cell = np.array(["rgb".index(letter) for letter in pattern]).reshape(2, 2)
    return np.take_along_axis(PIXELS, np.tile(cell, (3, 8))[..., None], 2)[..., 0]


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(
    ("encoding", "order"),
    [("rgb8", (0, 1, 2)), ("bgr8", (2, 1, 0)), ("8UC3", (2, 1, 0)), ("rgba8", (0, 1, 2, 0)), ("bgra8", (2, 1, 0, 0))],
)
def test_colours_keep_their_order(encoding, order, padding):
    np.testing.assert_array_equal(read(encoding, PIXELS[..., order].reshape(6, -1), padding=padding), PIXELS)


@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
def test_grey_is_grey(encoding):
    np.testing.assert_array_equal(read(encoding, GREY), np.repeat(GREY[..., None], 3, 2))


@pytest.mark.parametrize("big_endian", [False, True])
def test_sixteen_bits_keep_their_high_byte(big_endian):
    values = (GREY.astype(np.uint16) * 256 + 77).astype(">u2" if big_endian else "<u2")
    rows = values.view(np.uint8).reshape(6, -1)
    np.testing.assert_array_equal(read("mono16", rows, big_endian=big_endian), np.repeat(GREY[..., None], 3, 2))


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_patterns_give_their_colours(pattern):
    rows = mosaic(pattern)
    np.testing.assert_array_equal(read(f"bayer_{pattern}8", rows), PIXELS)
    wide = rows.astype("<u2") * 256
    np.testing.assert_array_equal(read(f"bayer_{pattern}16", wide.view(np.uint8).reshape(6, -1)), PIXELS)
    odd = read(f"bayer_{pattern}8", rows[:5, :15], width=15)
    np.testing.assert_array_equal(odd, PIXELS[:5, :15])


@pytest.mark.parametrize(("encoding", "bright"), [("uyvy", 1), ("yuv422", 1), ("yuyv", 0), ("yuv422_yuy2", 0)])
@pytest.mark.parametrize("width", [16, 15])
def test_yuv_gives_the_colours_back(encoding, bright, width):
    r, g, b = np.moveaxis(PIXELS.astype(float), -1, 0)
    y = 16 + 0.257 * r + 0.504 * g + 0.098 * b
    u = 128 - 0.148 * r - 0.291 * g + 0.439 * b
    v = 128 + 0.439 * r - 0.368 * g - 0.071 * b
    pairs = np.zeros((6, 16, 2), np.uint8)
    pairs[..., bright] = np.rint(y)
    pairs[:, ::2, 1 - bright], pairs[:, 1::2, 1 - bright] = np.rint(u[:, ::2]), np.rint(v[:, 1::2])
    found = read(encoding, pairs[:, :width].reshape(6, -1), width=width)
    np.testing.assert_allclose(found[0, 0], RED, atol=3)
    np.testing.assert_allclose(found[0, width - 1], GREEN, atol=3)


@pytest.mark.parametrize("encoding", ["32FC1", "16UC1", "bayer_rgbg8", "bayer_rggb12", "nv12", "?", "rgb8; jpeg"])
def test_other_encodings_are_refused_by_name(encoding):
    assert not is_raw_encoding(encoding)
    with pytest.raises(MediaError) as caught:
        read(encoding, GREY)
    assert caught.value.issue.kind == "unsupported" and encoding in caught.value.issue.reason
