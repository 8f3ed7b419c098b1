"""Styles: every town lies within its split's ranges, and far towns lie elsewhere than training towns."""

import colorsys
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sceneminer.data.synth.style import STYLE_RANGES, StyleRanges, draw_style, rgb_from_hsv

UNIFORM = [f.name for f in fields(StyleRanges) if f.name not in ("facades", "yellow_center_share")]
OF_STYLE = [
    name for name in UNIFORM if not name.startswith(("building_hue", "building_sat", "building_val", "tree_hue"))
]


@pytest.mark.parametrize("split", ["train", "val", "test", "far"])
def test_every_parameter_lies_within_its_declared_range(split):
    ranges = STYLE_RANGES[split]
    for seed in range(40):
        style = draw_style(split, np.random.default_rng(seed))
        for name in OF_STYLE:
            value = np.mean(style.asphalt_rgb) if name == "asphalt_value" else getattr(style, name)
            low, high = getattr(ranges, name)
            assert low <= value <= high, (name, value)
        assert style.facade in ranges.facades
        for rgb in style.building_rgb:
            hue, saturation, value = colorsys.rgb_to_hsv(*rgb)
            assert ranges.building_hue[0] - 1e-6 <= hue <= ranges.building_hue[1] + 1e-6
            assert ranges.building_saturation[0] - 1e-6 <= saturation <= ranges.building_saturation[1] + 1e-6
            assert ranges.building_value[0] - 1e-6 <= value <= ranges.building_value[1] + 1e-6
        hue = colorsys.rgb_to_hsv(*style.tree_rgb)[0]
        assert ranges.tree_hue[0] - 1e-6 <= hue <= ranges.tree_hue[1] + 1e-6


def test_far_is_shifted_at_least_as_much_as_test_in_every_parameter():
    assert STYLE_RANGES["val"] == STYLE_RANGES["train"]

    def middle(split, name):
        return sum(getattr(STYLE_RANGES[split], name)) / 2

    for name in UNIFORM:
        if name == "building_saturation":  # greyer in all of them; the hue is what moves
            continue
        train, test, far = (middle(split, name) for split in ("train", "test", "far"))
        assert test != train, name
        assert abs(far - train) > abs(test - train), name
        assert (far - train) * (test - train) > 0 or name in ("tree_density",), name
    for name in ("curvature", "building_hue", "tree_hue", "asphalt_value"):
        assert getattr(STYLE_RANGES["far"], name)[0] >= getattr(STYLE_RANGES["train"], name)[1] or (
            getattr(STYLE_RANGES["far"], name)[1] <= getattr(STYLE_RANGES["train"], name)[0]
        ), f"{name}: far towns must not look like any training town"


@given(st.floats(0.0, 2.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_colours_agree_with_the_standard_library(hue, saturation, value):
    assert rgb_from_hsv(hue, saturation, value) == pytest.approx(colorsys.hsv_to_rgb(hue, saturation, value), abs=1e-9)


def test_the_same_generator_gives_the_same_style():
    assert draw_style("test", np.random.default_rng(3)) == draw_style("test", np.random.default_rng(3))
    assert draw_style("test", np.random.default_rng(3)) != draw_style("test", np.random.default_rng(4))
