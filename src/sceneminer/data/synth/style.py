"""Styles of towns: test towns look unlike training towns, and far towns unlike both."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from sceneminer.data.synth.scene import Split, Style

Range = tuple[float, float]
Rgb = tuple[float, float, float]
Facade = Literal["brick", "plaster", "concrete"]


@dataclass(frozen=True)
class StyleRanges:
    """What the towns of a split are drawn from; every number is uniform between its two ends."""

    lane_width_m: Range
    block_m: Range
    curvature: Range
    building_height_m: Range
    building_hue: Range
    """Turns around the colour circle (0 red, 1/3 green); may pass 1."""
    building_saturation: Range
    building_value: Range
    facades: tuple[Facade, ...]
    """Drawn with equal chance; naming one twice doubles it."""
    tree_hue: Range
    tree_density: Range
    asphalt_value: Range
    paint_wear: Range
    yellow_center_share: float
    traffic_density: Range
    pedestrian_density: Range
    parked_density: Range


_TRAIN = StyleRanges(
    lane_width_m=(3.1, 3.6),
    block_m=(85.0, 125.0),
    curvature=(0.0, 0.6),
    building_height_m=(8.0, 20.0),
    building_hue=(0.0, 0.14),
    building_saturation=(0.08, 0.45),
    building_value=(0.40, 0.80),
    facades=("brick", "brick", "plaster", "concrete"),
    tree_hue=(0.24, 0.32),
    tree_density=(0.3, 1.0),
    asphalt_value=(0.24, 0.36),
    paint_wear=(0.05, 0.55),
    yellow_center_share=0.75,
    traffic_density=(0.6, 1.2),
    pedestrian_density=(0.5, 1.2),
    parked_density=(0.35, 0.8),
)
_TEST = StyleRanges(
    lane_width_m=(2.95, 3.4),
    block_m=(75.0, 110.0),
    curvature=(0.25, 0.8),
    building_height_m=(12.0, 26.0),
    building_hue=(0.04, 0.16),
    building_saturation=(0.05, 0.40),
    building_value=(0.45, 0.88),
    facades=("brick", "plaster", "plaster", "concrete"),
    tree_hue=(0.20, 0.29),
    tree_density=(0.2, 0.9),
    asphalt_value=(0.28, 0.42),
    paint_wear=(0.2, 0.7),
    yellow_center_share=0.6,
    traffic_density=(0.7, 1.4),
    pedestrian_density=(0.6, 1.4),
    parked_density=(0.45, 0.9),
)
_FAR = StyleRanges(
    lane_width_m=(2.8, 3.1),
    block_m=(70.0, 92.0),
    curvature=(0.6, 1.0),
    building_height_m=(18.0, 40.0),
    building_hue=(0.48, 0.74),
    building_saturation=(0.03, 0.22),
    building_value=(0.50, 0.88),
    facades=("plaster", "concrete", "concrete"),
    tree_hue=(0.12, 0.22),
    tree_density=(0.05, 0.4),
    asphalt_value=(0.36, 0.52),
    paint_wear=(0.45, 0.9),
    yellow_center_share=0.15,
    traffic_density=(0.9, 1.6),
    pedestrian_density=(0.9, 1.8),
    parked_density=(0.6, 1.0),
)
STYLE_RANGES: MappingProxyType[Split, StyleRanges] = MappingProxyType(
    {"train": _TRAIN, "val": _TRAIN, "test": _TEST, "far": _FAR}
)
"""Validation towns look like training towns: only their layout is new."""

PALETTE_COLORS = 6
TREE_SATURATION: Range = (0.35, 0.6)
TREE_VALUE: Range = (0.28, 0.48)


def draw_style(split: Split, rng: np.random.Generator) -> Style:
    """Draw what a town of this split looks like; every parameter lies within ``STYLE_RANGES[split]``."""
    ranges = STYLE_RANGES[split]

    def draw(low_high: Range) -> float:
        return float(rng.uniform(*low_high))

    def draw_building() -> Rgb:
        return rgb_from_hsv(draw(ranges.building_hue), draw(ranges.building_saturation), draw(ranges.building_value))

    gray, tint = draw(ranges.asphalt_value), float(rng.uniform(-0.015, 0.015))
    return Style(
        lane_width_m=draw(ranges.lane_width_m),
        block_m=draw(ranges.block_m),
        curvature=draw(ranges.curvature),
        building_height_m=draw(ranges.building_height_m),
        building_rgb=tuple(draw_building() for _ in range(PALETTE_COLORS)),
        facade=ranges.facades[int(rng.integers(len(ranges.facades)))],
        tree_rgb=rgb_from_hsv(draw(ranges.tree_hue), draw(TREE_SATURATION), draw(TREE_VALUE)),
        tree_density=draw(ranges.tree_density),
        asphalt_rgb=(gray + tint, gray, gray - tint),
        paint_wear=draw(ranges.paint_wear),
        yellow_center_line=bool(rng.random() < ranges.yellow_center_share),
        traffic_density=draw(ranges.traffic_density),
        pedestrian_density=draw(ranges.pedestrian_density),
        parked_density=draw(ranges.parked_density),
    )


def rgb_from_hsv(hue: float, saturation: float, value: float) -> Rgb:
    """Red, green and blue of a colour; all of them lie between 0 and 1, the hue in turns."""
    # red is strongest at hue 0, green at 1/3, blue at 2/3: distance on the circle, in sixths, from each
    distance = np.array([_circle(hue * 6.0), _circle(hue * 6.0 - 2.0), _circle(hue * 6.0 - 4.0)])
    strength = np.clip(2.0 - distance, 0.0, 1.0)
    red, green, blue = value * (1.0 - saturation * (1.0 - strength))
    return float(red), float(green), float(blue)


def _circle(sixths: float) -> float:
    return abs((sixths + 3.0) % 6.0 - 3.0)
