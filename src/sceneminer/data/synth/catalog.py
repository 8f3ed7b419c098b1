"""What the town's actors look like: body styles with real sizes and their spread, and one palette for all of them.

Sizes follow the published mean boxes of nuScenes classes and makers' data sheets. Colours come from one table that all
classes share, because descriptions name colours and no class may be known by its colour.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

Rgb = tuple[float, float, float]

PALETTE: dict[str, Rgb] = {
    "white": (0.92, 0.92, 0.90),
    "black": (0.06, 0.06, 0.07),
    "silver": (0.72, 0.73, 0.75),
    "grey": (0.40, 0.41, 0.43),
    "red": (0.68, 0.10, 0.10),
    "blue": (0.12, 0.25, 0.60),
    "light blue": (0.45, 0.66, 0.85),
    "dark green": (0.10, 0.30, 0.17),
    "green": (0.30, 0.60, 0.25),
    "yellow": (0.92, 0.78, 0.15),
    "orange": (0.92, 0.45, 0.10),
    "brown": (0.36, 0.23, 0.14),
    "beige": (0.80, 0.72, 0.56),
    "purple": (0.40, 0.20, 0.48),
    "pink": (0.87, 0.52, 0.62),
}
"""Named colours as sRGB in 0 to 1."""

COLOR_NAMES = tuple(PALETTE)
_TABLE = np.array([PALETTE[name] for name in COLOR_NAMES])


@dataclass(frozen=True)
class Body:
    """One body style: mean length, width, height in metres, their relative spread, and how common it is."""

    name: str
    size_lwh_m: tuple[float, float, float]
    spread: float
    share: float


BODIES: dict[str, tuple[Body, ...]] = {
    "vehicle.car": (
        Body("hatchback", (4.10, 1.78, 1.48), 0.04, 0.24),
        Body("sedan", (4.65, 1.83, 1.46), 0.03, 0.24),
        Body("suv", (4.62, 1.90, 1.70), 0.04, 0.22),
        Body("estate", (4.70, 1.83, 1.50), 0.03, 0.10),
        Body("van", (5.15, 1.96, 2.05), 0.05, 0.12),
        Body("pickup", (5.35, 1.95, 1.85), 0.03, 0.08),
    ),
    "vehicle.truck": (
        Body("box", (7.20, 2.42, 3.20), 0.09, 0.45),
        Body("flatbed", (7.00, 2.40, 2.80), 0.09, 0.20),
        Body("tipper", (7.60, 2.48, 3.10), 0.05, 0.15),
        Body("delivery", (6.00, 2.10, 2.75), 0.05, 0.20),
    ),
    "vehicle.bus.rigid": (Body("city", (11.9, 2.55, 3.15), 0.03, 0.7), Body("coach", (12.4, 2.55, 3.55), 0.03, 0.3)),
    "vehicle.bus.bendy": (Body("front", (9.6, 2.55, 3.15), 0.02, 1.0),),
    "vehicle.trailer": (Body("box", (7.8, 2.50, 3.60), 0.08, 0.6), Body("small", (3.4, 1.75, 1.6), 0.12, 0.4)),
    "vehicle.construction": (
        Body("excavator", (6.3, 2.50, 3.00), 0.06, 0.5),
        Body("loader", (6.0, 2.45, 3.05), 0.06, 0.3),
        Body("roller", (4.4, 1.90, 2.80), 0.06, 0.2),
    ),
    "vehicle.emergency.ambulance": (Body("van", (6.1, 2.10, 2.75), 0.03, 1.0),),
    "vehicle.emergency.police": (
        Body("sedan", (4.80, 1.88, 1.55), 0.03, 0.6),
        Body("suv", (4.9, 1.95, 1.8), 0.03, 0.4),
    ),
    "vehicle.motorcycle": (
        Body("motorcycle", (2.15, 0.80, 1.45), 0.05, 0.6),
        Body("scooter", (1.85, 0.72, 1.40), 0.04, 0.4),
    ),
    "vehicle.bicycle": (Body("city", (1.78, 0.60, 1.15), 0.04, 0.6), Body("road", (1.72, 0.50, 1.05), 0.03, 0.4)),
    "human.pedestrian.adult": (Body("adult", (0.62, 0.62, 1.73), 0.06, 1.0),),
    "human.pedestrian.child": (Body("child", (0.46, 0.46, 1.25), 0.10, 1.0),),
    "human.pedestrian.construction_worker": (Body("worker", (0.66, 0.64, 1.77), 0.05, 1.0),),
    "human.pedestrian.police_officer": (Body("officer", (0.66, 0.64, 1.78), 0.05, 1.0),),
    "human.pedestrian.stroller": (Body("stroller", (0.95, 0.58, 1.08), 0.06, 1.0),),
    "human.pedestrian.wheelchair": (Body("wheelchair", (1.05, 0.68, 1.35), 0.05, 1.0),),
    "human.pedestrian.personal_mobility": (
        Body("kick_scooter", (1.15, 0.62, 1.80), 0.05, 0.8),
        Body("segway", (0.7, 0.64, 1.9), 0.04, 0.2),
    ),
    "animal": (Body("dog", (0.85, 0.34, 0.60), 0.16, 1.0),),
    "movable_object.trafficcone": (Body("cone", (0.38, 0.38, 0.75), 0.12, 1.0),),
    "movable_object.barrier": (
        Body("plastic", (0.50, 2.00, 1.00), 0.08, 0.6),
        Body("board", (0.45, 2.40, 1.10), 0.06, 0.4),
    ),
    "movable_object.pushable_pullable": (
        Body("bin", (0.70, 0.62, 1.08), 0.08, 0.7),
        Body("cart", (1.0, 0.6, 1.0), 0.08, 0.3),
    ),
    "movable_object.debris": (Body("box", (0.6, 0.5, 0.35), 0.25, 0.6), Body("tyre", (0.65, 0.65, 0.22), 0.10, 0.4)),
    "static_object.bicycle_rack": (Body("rack", (4.2, 1.7, 1.15), 0.15, 1.0),),
}
"""Body styles by nuScenes category."""

_VEHICLE: dict[str, float | int] = {
    "white": 22,
    "black": 18,
    "silver": 12,
    "grey": 16,
    "blue": 9,
    "red": 8,
    "light blue": 2,
    "dark green": 3,
}
_VEHICLE |= {"green": 1.5, "yellow": 3, "orange": 2.5, "brown": 3, "beige": 3, "purple": 1, "pink": 0.5}
_CLOTHES: dict[str, float | int] = {
    "white": 12,
    "black": 18,
    "silver": 3,
    "grey": 13,
    "blue": 13,
    "red": 8,
    "light blue": 6,
    "dark green": 5,
}
_CLOTHES |= {"green": 4, "yellow": 4, "orange": 4, "brown": 5, "beige": 6, "purple": 4, "pink": 5}
_BRIGHT: dict[str, float | int] = {
    "yellow": 22,
    "orange": 26,
    "white": 14,
    "red": 12,
    "blue": 8,
    "green": 6,
    "grey": 6,
    "black": 3,
    "beige": 3,
}
_MARKED: dict[str, float | int] = {
    "white": 40,
    "blue": 15,
    "black": 14,
    "silver": 8,
    "yellow": 10,
    "red": 6,
    "light blue": 4,
    "green": 3,
}
_HI_VIS: dict[str, float | int] = {"yellow": 38, "orange": 38, "blue": 8, "white": 5, "grey": 5, "red": 3, "green": 3}

_COLORS: dict[str, dict[str, float | int]] = {
    "vehicle.bus.rigid": {**_VEHICLE, "yellow": 10, "red": 16, "green": 8, "light blue": 6},
    "vehicle.construction": _BRIGHT,
    "vehicle.emergency.ambulance": _MARKED,
    "vehicle.emergency.police": _MARKED,
    "human.pedestrian.construction_worker": _HI_VIS,
    "movable_object.trafficcone": {"orange": 70, "red": 15, "yellow": 10, "green": 3, "white": 2},
    "movable_object.barrier": {"white": 30, "orange": 28, "red": 22, "yellow": 8, "grey": 12},
    "animal": {"brown": 35, "black": 25, "beige": 20, "white": 12, "grey": 8},
}


@dataclass(frozen=True)
class Look:
    """Size, colours and detail seed of one actor."""

    size_lwh_m: tuple[float, float, float]
    rgb: Rgb
    rgb2: Rgb
    variant: int


def color_name(rgb: Rgb) -> str:
    """The palette's name for a colour (sRGB, 0 to 1): the nearest entry, lightness weighed less than hue."""
    gap = _opponent(np.asarray(rgb, np.float64)) - _opponent(_TABLE)
    return COLOR_NAMES[int(np.argmin(np.sum(gap**2, -1)))]


def _opponent(rgb: np.ndarray) -> np.ndarray:
    r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    return np.stack([0.6 * (r + g + b) / 3, r - g, (r + g) / 2 - b], -1)


def body_style(category: str, variant: int) -> str:
    """Name of the body style that a variant stands for."""
    bodies = BODIES[category]
    return bodies[variant % len(bodies)].name


def draw_look(category: str, rng: np.random.Generator, *, style: str | None = None, color: str | None = None) -> Look:
    """A body style, a size with spread, and two colours of the palette for one actor of a nuScenes category."""
    bodies = BODIES[category]
    share = np.array([body.share * (style is None or body.name == style) for body in bodies])
    k = int(rng.choice(len(bodies), p=share / share.sum()))
    common = rng.normal(0.0, bodies[k].spread)
    scale = 1.0 + np.clip(0.7 * common + 0.5 * rng.normal(0.0, bodies[k].spread, 3), -0.25, 0.25)
    length, width, height = (round(float(x), 3) for x in np.array(bodies[k].size_lwh_m) * scale)
    if category.startswith("vehicle."):
        width = min(width, 2.6)
    people = category.startswith("human.")
    table = _COLORS.get(category, _CLOTHES if people else _VEHICLE)
    rgb = draw_color(table if color is None else {color: 1.0}, rng)
    rgb2 = draw_color(_CLOTHES if people else _VEHICLE, rng)
    variant = int(rng.integers(1 << 20)) * len(bodies) + k
    return Look((length, width, height), rgb, rgb2, variant)


def draw_color(weights: Mapping[str, float | int], rng: np.random.Generator) -> Rgb:
    """A shade of one palette entry, drawn by weight; it keeps the entry's name."""
    weight = np.array([weights.get(name, 0.3) if len(weights) > 1 else weights.get(name, 0.0) for name in COLOR_NAMES])
    name = COLOR_NAMES[int(rng.choice(len(weight), p=weight / weight.sum()))]
    for _ in range(20):
        shade = np.clip(np.array(PALETTE[name]) * rng.normal(1.0, 0.10) + rng.normal(0.0, 0.025, 3), 0.02, 0.97)
        rgb = (round(float(shade[0]), 3), round(float(shade[1]), 3), round(float(shade[2]), 3))
        if color_name(rgb) == name:
            return rgb
    return PALETTE[name]
