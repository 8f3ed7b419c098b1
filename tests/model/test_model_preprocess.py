"""Resizing and input sizes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sceneminer.model.preprocess import Preprocessing, patchify, resize_images

HALF = (0.5, 0.5, 0.5)


@pytest.mark.parametrize("resample", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(224, 400), (50, 30), (300, 330)])
def test_resizing_is_pils_within_two_levels(resample, size):
    pixels = np.random.default_rng(0).integers(0, 256, (180, 320, 3)).astype(np.uint8)
    code = Image.Resampling.BICUBIC if resample == "bicubic" else Image.Resampling.BILINEAR
    expected = np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), code)).astype(int)
    ours = resize_images(torch.from_numpy(pixels).permute(2, 0, 1)[None], size, resample=resample)
    difference = np.abs(ours[0].permute(1, 2, 0).numpy().astype(int) - expected)
    assert difference.max() <= 2 and (difference > 0).mean() < 0.02


@pytest.mark.parametrize(
    ("width_px", "height_px", "patch_px", "expected"),
    [
        (1600, 900, 16, (224, 400)),
        (1600, 900, 32, (224, 384)),
        (1600, 900, 14, (224, 392)),
        (1550, 2048, 16, (288, 224)),
        (512, 512, 16, (224, 224)),
        (10_000, 10, 16, (224, 896)),
    ],
)
def test_input_size_keeps_the_aspect(width_px, height_px, patch_px, expected):
    assert Preprocessing(224, patch_px, HALF, HALF).input_size(width_px, height_px) == expected


@given(st.integers(1, 5000), st.integers(1, 5000), st.sampled_from([8, 14, 16, 32]))
def test_input_size_is_whole_patches_with_the_short_side_as_configured(width_px, height_px, patch_px):
    size_px = 224
    height, width = Preprocessing(size_px, patch_px, HALF, HALF).input_size(width_px, height_px)
    assert height % patch_px == 0 and width % patch_px == 0
    assert min(height, width) == size_px
    if max(width_px, height_px) <= 4 * min(width_px, height_px):
        assert abs(width / height / (width_px / height_px) - 1) <= patch_px / size_px


def test_patches_are_rows_of_pixels_with_colours_last():
    image = torch.arange(3 * 4 * 6).reshape(1, 3, 4, 6).float()
    patches = patchify(image, 2)
    assert patches.shape == (1, 6, 12)
    second = [image[0, c, y, x] for y in (0, 1) for x in (2, 3) for c in range(3)]
    assert patches[0, 1].tolist() == second
