"""Colours that an object shows: the scene graph's name, where the picture's pixels bear it out."""

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from sceneminer.data.synth.catalog import PALETTE, color_name
from sceneminer.data.synth.scene import MATERIAL_ID, Actor

_BODY = tuple(MATERIAL_ID[name] for name in ("car_paint", "engine_hood"))
_LOAD = MATERIAL_ID["metal"]
_CLOTH = MATERIAL_ID["cloth"]
GREYS = frozenset({"white", "black", "silver", "grey"})
LEAST_COLOR_PX = 30
_DARK = 0.22
"""Mean of red, green and blue below which clothes are dark."""
_COLOURED = frozenset(
    {
        "car",
        "van",
        "pickup",
        "truck",
        "large truck",
        "delivery van",
        "trailer",
        "semi-trailer",
        "bus",
        "bendy bus",
        "vehicle",
        "excavator",
        "construction vehicle",
        "machine",
    }
)
_COLOURED |= {"motorcycle", "moped", "two-wheeler", "bin"}
_DRESSED = frozenset({"person", "child", "worker", "cyclist"})


def look_of(
    actor: Actor,
    kind: str,
    rgb: UInt8[ndarray, "n 3"],
    material: UInt8[ndarray, "n"],
    *,
    dark: bool,
    scale: float,
) -> tuple[str, ...]:
    """Names of what it looks like: its main colour, or its clothes; empty where the pixels do not show it."""
    if kind in _COLOURED:
        return _paint(actor, rgb, material, dark=dark, scale=scale)
    if kind in _DRESSED:
        return _clothes(actor, rgb, material, dark=dark, scale=scale)
    return ()


def colors_of(actor: Actor, kind: str) -> tuple[str, ...]:
    """The colour that a kind shows from any side, without a picture; empty where that depends on the view."""
    if kind in _COLOURED and actor.category not in ("vehicle.truck", "vehicle.trailer"):
        return (color_name(actor.rgb),)
    if kind in _DRESSED and max(float(np.mean(c)) for c in (actor.rgb, actor.rgb2)) < _DARK:
        return ("dark clothes",)
    return ()


def _paint(actor: Actor, rgb: ndarray, material: ndarray, *, dark: bool, scale: float) -> tuple[str, ...]:
    body, load = (material == _BODY[0]) | (material == _BODY[1]), material == _LOAD
    if actor.category == "vehicle.trailer":
        body, load = load, np.zeros_like(load)
    has_load = actor.category == "vehicle.truck"
    part, paint = (body, actor.rgb)
    if has_load and load.sum() > body.sum():
        part, paint = load, actor.rgb2
    other = (body | load).sum() - part.sum() if has_load else 0
    if part.sum() * scale < LEAST_COLOR_PX or (has_load and part.sum() < 1.6 * other):
        return ()
    name = color_name(paint)
    return (name,) if _bears_out(name, rgb[part], dark=dark) else ()


def _clothes(actor: Actor, rgb: ndarray, material: ndarray, *, dark: bool, scale: float) -> tuple[str, ...]:
    cloth = material == _CLOTH
    if cloth.sum() * scale < LEAST_COLOR_PX:
        return ()
    light = [float(np.mean(c)) for c in (actor.rgb, actor.rgb2)]
    found: list[str] = []
    if not dark and max(light) < _DARK:
        found.append("dark clothes")
    if not dark and min(light) > 0.55:
        found.append("light clothes")
    top = color_name(actor.rgb)
    if (
        top not in GREYS
        and cloth.sum() * scale >= 1.5 * LEAST_COLOR_PX
        and _bears_out(top, rgb[cloth], dark=dark, half=True)
    ):
        found.append(top)
    return tuple(found)


def _bears_out(name: str, seen: ndarray, *, dark: bool, half: bool = False) -> bool:
    """Whether enough pixels show the colour: its hue, or for greys, no hue and a fitting lightness."""
    pixels = seen.astype(np.float64) / 255.0
    r, g, b = pixels.T
    hue = np.stack([r - g, (r + g) / 2 - b], -1)
    light = pixels.mean(-1)
    if name in GREYS:
        if dark:
            return False
        level = float(np.median(light))
        return {"white": level > 0.5, "silver": level > 0.35, "grey": 0.12 < level < 0.62, "black": level < 0.33}[name]
    pr, pg, pb = PALETTE[name]
    want = np.array([pr - pg, (pr + pg) / 2 - pb])
    strength = np.linalg.norm(hue, axis=-1) + 1e-6
    along = hue @ want / np.linalg.norm(want) / strength
    fits = (along > 0.75) & (strength > (0.10 if dark else 0.06)) & (light > 0.06)
    return float(fits.mean()) > (0.22 if half else 0.45)
