"""People, what they push and ride, and dogs."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sceneminer.data.synth.mesh import RGB, Soup, ball, box, drawn_rgb, joined, moved, quad, tube, vec
from sceneminer.data.synth.mesh_car import AMBER, CLEAR, DARK, RED, quad_facing

Size = tuple[float, float, float]
PHASES = 16
"""Steps of a walk cycle that are told apart."""
SKIN: tuple[RGB, ...] = ((0.87, 0.68, 0.56), (0.76, 0.55, 0.42), (0.58, 0.40, 0.29), (0.36, 0.24, 0.17))
HAIR: tuple[RGB, ...] = (
    (0.07, 0.06, 0.05),
    (0.22, 0.14, 0.08),
    (0.45, 0.32, 0.18),
    (0.5, 0.5, 0.5),
    (0.12, 0.09, 0.08),
)
STEEL: RGB = (0.3, 0.31, 0.32)


@dataclass(frozen=True)
class Pose:
    """Joint angles in radians, forward positive; knees bend back."""

    thigh: tuple[float, float] = (0.0, 0.0)
    knee: tuple[float, float] = (0.05, 0.05)
    arm: tuple[float, float] = (0.05, 0.05)
    elbow: tuple[float, float] = (0.2, 0.2)
    lean: float = 0.03
    hip_drop: float = 0.0


SITTING = Pose((1.45, 1.45), (1.45, 1.45), (0.5, 0.5), (0.7, 0.7), 0.0)
RIDING = Pose((1.25, 0.75), (1.5, 0.9), (0.95, 0.95), (0.25, 0.25), 0.35)


def walking(phase: int, *, swing: float = 0.42) -> Pose:
    """A step of the walk cycle, ``phase`` of PHASES."""
    angle = 2 * np.pi * phase / PHASES
    left, right = swing * np.sin(angle), -swing * np.sin(angle)
    knees = (0.1 + 0.55 * max(0.0, np.cos(angle)), 0.1 + 0.55 * max(0.0, -np.cos(angle)))
    return Pose((left, right), knees, (0.75 * right, 0.75 * left), (0.35, 0.35), 0.05)


def figure(height_m: float, rgb: RGB, rgb2: RGB, *, variant: int, pose: Pose, hat: RGB | None = None) -> Soup:
    """A clothed person of a height, hips above the origin, feet at z = 0 when standing."""
    rng = np.random.default_rng(variant)
    h, broad = height_m, float(rng.uniform(0.9, 1.15))
    skin, hair = SKIN[int(rng.integers(len(SKIN)))], HAIR[int(rng.integers(len(HAIR)))]
    skirt, long_hair, bag = rng.random() < 0.18, rng.random() < 0.4, rng.random() < 0.35
    bag_rgb: RGB = drawn_rgb(rng, 0.05, 0.6)
    hip = np.array([0.0, 0.0, 0.51 * h - pose.hip_drop])
    up = np.array([np.sin(pose.lean), 0.0, np.cos(pose.lean)])
    chest, neck = hip + up * 0.20 * h, hip + up * 0.315 * h
    parts = [
        ball(
            hip + vec(0, 0, 0.02 * h),
            (0.068 * h, 0.093 * h * broad, 0.075 * h),
            "cloth",
            rgb2,
            part="cloth",
            fine=False,
        ),
        tube(hip, neck, (0.075 * h * broad, 0.10 * h), "cloth", rgb, sides=8, part="cloth"),
        ball(chest + up * 0.06 * h, (0.072 * h, 0.118 * h * broad, 0.10 * h), "cloth", rgb, part="cloth"),
        tube(neck, neck + up * 0.05 * h, 0.032 * h, "skin", skin, sides=6),
        ball(neck + up * 0.10 * h, (0.058 * h, 0.047 * h, 0.066 * h), "skin", skin),
    ]
    crown = neck + up * 0.118 * h + vec(-0.012 * h, 0, 0)
    if hat is None:
        parts.append(ball(crown, (0.058 * h, 0.052 * h, 0.056 * h), "cloth", hair, fine=False))
        if long_hair:
            back = neck + up * 0.06 * h + vec(-0.045 * h, 0, 0)
            parts.append(ball(back, (0.03 * h, 0.05 * h, 0.075 * h), "cloth", hair, fine=False))
    else:
        parts.append(ball(crown + vec(0, 0, 0.012 * h), (0.068 * h, 0.062 * h, 0.05 * h), "plastic", hat))
    for k, side in enumerate((1, -1)):
        parts += _leg(hip, side, pose.thigh[k], pose.knee[k], h, (rgb2, skin, skirt))
        parts += _arm(neck, side, pose, k, (h, broad), (rgb, skin))
    if skirt:
        hem = hip - vec(0, 0, 0.20 * h)
        parts.append(tube(hem, hip + vec(0, 0, 0.03 * h), (0.13 * h, 0.085 * h), "cloth", rgb2, sides=8, part="cloth"))
    if bag and hat is None:
        pack = chest + up * 0.05 * h + vec(-0.105 * h, 0, 0)
        parts.append(box((0.09 * h, 0.17 * h, 0.22 * h), pack, "cloth", bag_rgb, part="cloth", top=(0.8, 0.8)))
    return joined(parts)


def _leg(hip: np.ndarray, side: int, thigh: float, knee: float, h: float, look: tuple[RGB, RGB, bool]) -> list[Soup]:
    trousers, skin, bare = look
    top = hip + vec(0, side * 0.055 * h, 0)
    mid = top + 0.245 * h * np.array([np.sin(thigh), 0, -np.cos(thigh)])
    shin = thigh - knee
    foot = mid + 0.235 * h * np.array([np.sin(shin), 0, -np.cos(shin)])
    material, rgb = ("skin", skin) if bare else ("cloth", trousers)
    shoe = moved(box((0.145 * h, 0.052 * h, 0.04 * h), (0.03 * h, 0, 0), "cloth", DARK), foot, pitch_rad=-shin * 0.6)
    return [
        tube(top, mid, (0.054 * h, 0.04 * h), "cloth", trousers, sides=6, part="cloth"),
        tube(mid, foot, (0.04 * h, 0.028 * h), material, rgb, sides=6),
        shoe,
    ]


def _arm(
    neck: np.ndarray, side: int, pose: Pose, k: int, build: tuple[float, float], look: tuple[RGB, RGB]
) -> list[Soup]:
    (h, broad), (sleeve, skin) = build, look
    angle = pose.arm[k] + pose.lean
    top = neck + vec(0, side * 0.125 * h * broad, -0.035 * h)
    elbow = top + 0.16 * h * np.array([np.sin(angle), side * 0.10, -np.cos(angle)])
    angle += pose.elbow[k]
    hand = elbow + 0.155 * h * np.array([np.sin(angle), 0.0, -np.cos(angle)])
    return [
        tube(top, elbow, (0.035 * h, 0.028 * h), "cloth", sleeve, sides=6, part="cloth"),
        tube(elbow, hand, (0.026 * h, 0.02 * h), "skin", skin, sides=5),
        ball(hand, (0.026 * h, 0.02 * h, 0.03 * h), "skin", skin, fine=False),
    ]


def person(size: Size, rgb: RGB, rgb2: RGB, *, category: str, variant: int, phase: int | None, standing: bool) -> Soup:
    """A person by nuScenes category; ``phase`` is the step of the walk, None for somebody who stands still."""
    kind = category.split(".")[-1]
    l, _, h = size
    pose = Pose() if phase is None else walking(phase)
    if kind == "stroller":
        return _stroller(size, rgb, rgb2)
    if kind == "wheelchair":
        return _wheelchair(size, rgb, rgb2, variant)
    if kind == "personal_mobility":
        return _kick_scooter(size, rgb, rgb2, variant)
    if not standing:
        seated = figure(h / 0.78, rgb, rgb2, variant=variant, pose=SITTING)
        return moved(seated, (-0.1 * l, 0, -0.26 * h / 0.78))
    hat: RGB | None = None
    parts = []
    if kind == "construction_worker":
        hat = ((0.9, 0.75, 0.1), (0.92, 0.92, 0.9), (0.85, 0.4, 0.1), (0.2, 0.35, 0.7))[variant % 4]
        parts = [_reflective_band(h, 0.66), _reflective_band(h, 0.74)]
    elif kind == "police_officer":
        hat = (0.06, 0.07, 0.12)
        parts = [_reflective_band(h, 0.70)] if variant % 2 else []
    return joined([figure(0.985 * h, rgb, rgb2, variant=variant, pose=pose, hat=hat), *parts])


def _reflective_band(h: float, share: float) -> Soup:
    z = share * h
    return tube(
        (0, 0, z - 0.012 * h),
        (0, 0, z + 0.012 * h),
        0.105 * h,
        "retroreflector",
        (0.8, 0.8, 0.78),
        sides=10,
        caps=False,
    )


def _wheel(x: float, y: float | int, radius_m: float, *, width_m: float = 0.04, rgb: RGB = DARK) -> list[Soup]:
    """A thin spoked wheel: a ring of short tubes and four spokes."""
    angle = np.linspace(0, 2 * np.pi, 13)
    rim = np.stack([x + radius_m * np.cos(angle), np.full(13, y), radius_m + radius_m * np.sin(angle)], -1)
    rim[:, 2] += width_m / 2
    parts = [tube(a, b, width_m / 2, "tyre", rgb, sides=4, caps=False) for a, b in pairwise(rim)]
    parts += [tube(rim[k], rim[k + 6], 0.008, "metal", STEEL, sides=3, caps=False) for k in (0, 2, 4)]
    return parts


def bicycle(size: Size, rgb: RGB, *, rider: tuple[RGB, RGB] | None, variant: int) -> Soup:
    """A bicycle, ridden or not."""
    l, w, _ = size
    r = 0.175 * l
    rear, front = -l / 2 + r, l / 2 - r
    saddle, bars = np.array([-0.14 * l, 0, 0.53 * l]), np.array([0.23 * l, 0, 0.57 * l])
    crank, head = np.array([-0.04 * l, 0, r]), np.array([0.21 * l, 0, 0.47 * l])
    parts = _wheel(rear, 0, r) + _wheel(front, 0, r)
    for a, b in ((crank, saddle), (crank, head), (saddle - vec(0, 0, 0.06 * l), head), (crank, [rear, 0, r])):
        parts.append(tube(a, b, 0.022, "car_paint", rgb, sides=5, caps=False))
    parts.append(tube(saddle - vec(0, 0, 0.06 * l), [rear, 0, r], 0.014, "car_paint", rgb, sides=4, caps=False))
    parts.append(tube([front, 0, r], bars, 0.018, "metal", STEEL, sides=5, caps=False))
    parts.append(tube(bars + vec(0, w / 2, 0), bars - vec(0, w / 2, 0), 0.016, "metal", DARK, sides=5))
    parts.append(box((0.24, 0.13, 0.06), saddle + vec(0, 0, 0.02), "plastic", DARK))
    parts.append(box((0.03, 0.05, 0.05), (-0.24 * l, 0, 0.45 * l), "retroreflector", RED, part="tail_lamp"))
    parts.append(box((0.04, 0.06, 0.06), bars + vec(0.05, 0, -0.05), "head_lamp", CLEAR, part="head_lamp"))
    if rider is not None:
        parts.append(_on_saddle(rider, variant, saddle, 1.74 if variant % 3 else 1.62))
    return joined(parts)


def motorcycle(size: Size, rgb: RGB, *, rider: tuple[RGB, RGB] | None, variant: int) -> Soup:
    """A motorcycle or scooter, ridden or not."""
    l, w, _ = size
    r = 0.15 * l
    rear, front = -l / 2 + r, l / 2 - r
    parts: list[Soup] = []
    for x in (rear, front):
        parts.append(tube((x, -0.06, r), (x, 0.06, r), r, "tyre", DARK, sides=12))
        parts.append(tube((x, -0.065, r), (x, 0.065, r), 0.55 * r, "metal", STEEL, sides=8))
    parts.append(ball((0.10 * l, 0, 0.37 * l), (0.16 * l, 0.16, 0.08 * l), "car_paint", rgb, part="body"))
    parts.append(box((0.32 * l, 0.24, 0.17 * l), (0.0, 0, 0.22 * l), "engine_hood", STEEL))
    parts.append(box((0.34 * l, 0.24, 0.05 * l), (-0.2 * l, 0, 0.36 * l), "plastic", DARK, top=(0.9, 0.8)))
    parts.append(ball((-0.36 * l, 0, 0.36 * l), (0.12 * l, 0.11, 0.05 * l), "car_paint", rgb, part="body"))
    parts.append(tube((front, 0, r), (0.22 * l, 0, 0.46 * l), 0.05, "chrome", STEEL, sides=6))
    parts.append(tube((0.20 * l, w / 2, 0.49 * l), (0.20 * l, -w / 2, 0.49 * l), 0.02, "metal", DARK, sides=5))
    parts.append(ball((0.27 * l, 0, 0.42 * l), (0.07, 0.10, 0.10), "head_lamp", CLEAR, part="head_lamp", fine=False))
    if variant % 2:
        screen = np.array([[0.27, -0.18, 0.44], [0.27, 0.18, 0.44], [0.20, 0.14, 0.58], [0.20, -0.14, 0.58]])
        parts.append(quad(screen * [l, 1, l], "car_glass", DARK))
    parts.append(box((0.04, 0.16, 0.07), (-0.46 * l, 0, 0.36 * l), "tail_lamp", RED, part="tail_lamp"))
    parts.append(quad_facing(-0.485 * l, (0, 0.28 * l), (0.2, 0.14), "plastic", (0.8, 0.8, 0.75), part="plate"))
    for side in (1, -1):
        turn = "indicator_left" if side > 0 else "indicator_right"
        parts.append(box((0.05, 0.05, 0.05), (-0.44 * l, side * 0.16, 0.34 * l), "tail_lamp", AMBER, part=turn))
    if rider is not None:
        saddle = np.array([-0.14 * l, 0, 0.38 * l])
        parts.append(_on_saddle(rider, variant, saddle, 1.74, helmet=True))
    return joined(parts)


def _on_saddle(
    look: tuple[RGB, RGB], variant: int, saddle: np.ndarray, height_m: float, *, helmet: bool = False
) -> Soup:
    hats: tuple[RGB, ...] = ((0.1, 0.1, 0.11), (0.75, 0.75, 0.73), (0.6, 0.1, 0.1), (0.15, 0.25, 0.5))
    hat = hats[variant % 4] if helmet or variant % 5 < 3 else None
    body = figure(height_m, look[0], look[1], variant=variant, pose=RIDING, hat=hat)
    return moved(body, saddle - vec(0, 0, 0.47 * height_m))


def _stroller(size: Size, rgb: RGB, rgb2: RGB) -> Soup:
    l, w, h = size
    parts: list[Soup] = []
    for x in (-0.3 * l, 0.38 * l):
        for y in (-0.4 * w, 0.4 * w):
            parts += [tube((x, y - 0.025, 0.11 * l), (x, y + 0.025, 0.11 * l), 0.11 * l, "tyre", DARK, sides=8)]
    parts.append(
        box((0.62 * l, 0.8 * w, 0.26 * h), (0.06 * l, 0, 0.48 * h), "cloth", rgb, part="cloth", top=(1.15, 1.1))
    )
    parts.append(ball((-0.08 * l, 0, 0.68 * h), (0.28 * l, 0.44 * w, 0.26 * h), "cloth", rgb, part="cloth"))
    parts.append(ball((0.14 * l, 0, 0.64 * h), (0.08, 0.07, 0.09), "skin", SKIN[0], fine=False))
    for y in (-0.4 * w, 0.4 * w):
        parts.append(tube((0.3 * l, y, 0.15 * h), (-0.48 * l, y, 0.98 * h), 0.015, "metal", STEEL, sides=5))
        parts.append(tube((-0.3 * l, y, 0.15 * h), (0.1 * l, y, 0.5 * h), 0.015, "metal", STEEL, sides=5))
    parts.append(tube((-0.48 * l, -0.4 * w, 0.98 * h), (-0.48 * l, 0.4 * w, 0.98 * h), 0.02, "plastic", rgb2, sides=5))
    return joined(parts)


def _wheelchair(size: Size, rgb: RGB, rgb2: RGB, variant: int) -> Soup:
    l, w, _ = size
    parts: list[Soup] = []
    for y in (-0.46 * w, 0.46 * w):
        parts += _wheel(-0.14 * l, y, 0.29)
        parts.append(
            tube((0.3 * l, y * 0.8 - 0.02, 0.08), (0.3 * l, y * 0.8 + 0.02, 0.08), 0.08, "tyre", DARK, sides=8)
        )
    parts.append(box((0.45, 0.78 * w, 0.06), (0, 0, 0.48), "cloth", DARK))
    parts.append(box((0.05, 0.78 * w, 0.45), (-0.22, 0, 0.72), "cloth", DARK))
    seated = figure(1.7, rgb, rgb2, variant=variant, pose=SITTING)
    parts.append(moved(seated, (-0.1, 0, 0.53 - 0.51 * 1.7)))
    return joined(parts)


def _kick_scooter(size: Size, rgb: RGB, rgb2: RGB, variant: int) -> Soup:
    l, w, h = size
    parts: list[Soup] = []
    for x in (-0.42 * l, 0.42 * l):
        parts.append(tube((x, -0.03, 0.1), (x, 0.03, 0.1), 0.1, "tyre", DARK, sides=10))
    parts.append(box((0.8 * l, 0.15, 0.05), (0, 0, 0.15), "metal", STEEL))
    parts.append(tube((0.42 * l, 0, 0.1), (0.33 * l, 0, 1.05), 0.022, "metal", DARK, sides=6))
    parts.append(tube((0.33 * l, -0.42 * w, 1.05), (0.33 * l, 0.42 * w, 1.05), 0.018, "plastic", DARK, sides=5))
    pose = Pose((0.1, -0.1), (0.1, 0.1), (0.75, 0.75), (0.55, 0.55), 0.06)
    rider = figure(h - 0.19, rgb, rgb2, variant=variant, pose=pose)
    return joined([*parts, moved(rider, (-0.1 * l, 0, 0.18))])


def dog(size: Size, rgb: RGB, *, variant: int, phase: int | None) -> Soup:
    """A dog; its legs swing with the phase."""
    l, w, h = size
    swing = 0.0 if phase is None else 0.5 * np.sin(2 * np.pi * phase / PHASES)
    parts = [
        ball(
            (-0.05 * l, 0, 0.62 * h),
            (0.33 * l, 0.36 * w, 0.2 * h),
            "cloth",
            rgb,
            part="cloth",
            lumps=0.06,
            seed=variant,
        )
    ]
    parts.append(tube((0.2 * l, 0, 0.66 * h), (0.34 * l, 0, 0.85 * h), (0.16 * h, 0.12 * h), "cloth", rgb, sides=6))
    parts.append(ball((0.36 * l, 0, 0.86 * h), (0.13 * l, 0.26 * w, 0.13 * h), "cloth", rgb, fine=False))
    parts.append(box((0.14 * l, 0.2 * w, 0.09 * h), (0.44 * l, 0, 0.82 * h), "cloth", rgb))
    parts.append(tube((-0.34 * l, 0, 0.7 * h), (-0.5 * l, 0, 0.95 * h), (0.05 * h, 0.025 * h), "cloth", rgb, sides=5))
    for k, (x, side) in enumerate(((0.18, 1), (0.18, -1), (-0.27, -1), (-0.27, 1))):
        reach = swing * (1 if k % 2 == 0 else -1) * 0.4 * h
        foot = (x * l + reach, side * 0.24 * w, 0.0)
        parts.append(tube((x * l, side * 0.24 * w, 0.6 * h), foot, (0.08 * h, 0.05 * h), "cloth", rgb, sides=5))
        if k < 2:
            parts.append(
                tube(
                    (0.33 * l, side * 0.16 * w, 0.9 * h),
                    (0.32 * l, side * 0.18 * w, 1.0 * h),
                    (0.05 * h, 0.01),
                    "cloth",
                    rgb,
                    sides=4,
                )
            )
    return joined(parts)
