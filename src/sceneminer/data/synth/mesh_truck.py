"""Large vehicles: lorries, buses, trailers, construction machines, ambulances."""

import numpy as np

from sceneminer.data.synth.mesh import RGB, Soup, ball, box, joined, tube
from sceneminer.data.synth.mesh_car import AMBER, CLEAR, DARK, GLASS, PLATE, RED, quad_facing, quad_side, wheels

Size = tuple[float, float, float]
STEEL: RGB = (0.32, 0.33, 0.34)


def _cab(size: Size, at_x_m: float, rgb: RGB, *, base_m: float) -> list[Soup]:
    """A forward-control cab whose front lies at ``at_x_m``."""
    l, w, h = size
    x = at_x_m - l / 2
    height = h - base_m
    body = box((l, w, height), (x, 0, base_m + height / 2), "car_paint", rgb, part="body", top=(0.86, 0.95))
    glass_z = base_m + 0.68 * height
    out = [body, quad_facing(at_x_m + 0.012, (0, base_m + 0.16 * height), (0.5, 0.11), "plastic", PLATE, part="plate")]
    lean = 0.14 * l / 2 * 0.68
    front = box((0.04, 0.86 * w, 0.36 * height), (at_x_m - lean, 0, glass_z), "car_glass", GLASS, part="glass")
    out.append(front)
    out.append(box((0.06, 0.72 * w, 0.16 * height), (at_x_m, 0, base_m + 0.33 * height), "plastic", DARK))
    out.append(box((0.12, w, 0.12 * height), (at_x_m - 0.03, 0, base_m + 0.06 * height), "plastic", (0.2, 0.2, 0.21)))
    for side in (1, -1):
        window = quad_side(side * (w / 2 + 0.003), (x, glass_z), (0.62 * l, 0.3 * height), "car_glass", GLASS)
        out.append(window)
        lamp = (at_x_m, side * 0.4 * w, base_m + 0.2 * height)
        out.append(box((0.05, 0.14 * w, 0.12 * height), lamp, "head_lamp", CLEAR, part="head_lamp"))
        turn = "indicator_left" if side > 0 else "indicator_right"
        lamp = (at_x_m - 0.03, side * 0.48 * w, base_m + 0.33 * height)
        out.append(box((0.06, 0.04 * w, 0.08 * height), lamp, "head_lamp", AMBER, part=turn))
        mirror = (at_x_m + 0.0, side * (w / 2 + 0.09), base_m + 0.7 * height)
        out.append(box((0.08, 0.16, 0.34), mirror, "plastic", DARK))
    return out


def _rear_lamps(x_m: float, width_m: float, z_m: float) -> list[Soup]:
    out = [quad_facing(x_m - 0.02, (0, z_m - 0.02), (0.5, 0.12), "plastic", PLATE, part="plate")]
    for side in (1, -1):
        turn = "indicator_left" if side > 0 else "indicator_right"
        lamp = (x_m, side * 0.42 * width_m, z_m)
        out.append(box((0.04, 0.13 * width_m, 0.14), lamp, "tail_lamp", RED, part="tail_lamp"))
        lamp = (x_m, side * 0.32 * width_m, z_m)
        out.append(box((0.04, 0.06 * width_m, 0.14), lamp, "tail_lamp", AMBER, part=turn))
    return out


def truck(size: Size, rgb: RGB, rgb2: RGB, *, kind: str, variant: int) -> Soup:
    """A lorry: box, curtain, tipper, tank or flat bed behind a cab."""
    l, w, h = size
    radius = min(0.5, 0.17 * h)
    cab_l, base = min(2.2, 0.3 * l), 0.8 * radius
    cab_h = h if h < 2.6 else max(0.78 * h, 2.3)
    parts = _cab((cab_l, w * 0.95, min(cab_h, h)), l / 2, rgb, base_m=base)
    bed_l, bed_z = l - cab_l - 0.15, 2.05 * radius
    x = -l / 2 + bed_l / 2
    parts.append(box((l * 0.94, w * 0.5, 0.25), (-0.02 * l, 0, radius + 0.15), "metal", DARK))
    load_h = h - bed_z
    if kind == "box" and variant % 6 == 0:
        kind = "tank"
    if kind in ("box", "delivery"):
        parts.append(box((bed_l, w, load_h), (x, 0, bed_z + load_h / 2), "metal", rgb2, part="cargo"))
    elif kind == "tipper":
        wall = box((bed_l, w, 0.62 * load_h), (x, 0, bed_z + 0.31 * load_h), "metal", rgb2, part="body", top=(1, 1.0))
        parts += [
            wall,
            ball(
                (x, 0, bed_z + 0.6 * load_h),
                (0.46 * bed_l, 0.44 * w, 0.4 * load_h),
                "soil",
                (0.4, 0.33, 0.25),
                lumps=0.1,
                seed=variant,
            ),
        ]
    elif kind == "tank":
        z, r = bed_z + load_h / 2, load_h / 2
        tank = tube((x - bed_l / 2, 0, z), (x + bed_l / 2, 0, z), r, "metal", rgb2, sides=16)
        parts.append(tank)
    else:
        parts.append(box((bed_l, w, 0.16), (x, 0, bed_z + 0.08), "wood", (0.35, 0.27, 0.2)))
        parts.append(box((0.1, w, load_h), (x + bed_l / 2, 0, bed_z + load_h / 2), "metal", STEEL))
        for k in range(3):
            crate = np.random.default_rng(variant + k).uniform(0.5, 1.0)
            at = (x + bed_l * (0.3 - 0.3 * k), 0, bed_z + 0.16 + 0.36 * load_h * crate)
            parts.append(box((0.26 * bed_l, 0.8 * w, 0.72 * load_h * crate), at, "wood", (0.5, 0.4, 0.28)))
    for side in (1, -1):
        guard = quad_side(side * w * 0.49, (x + 0.1 * bed_l, radius * 1.1), (0.5 * bed_l, 0.5 * radius), "metal", STEEL)
        parts.append(guard)
    parts += _rear_lamps(-l / 2, w, bed_z - 0.18)
    axles = (0.13, 0.80) if l < 8 else (0.11, 0.74, 0.86)
    return joined([*parts, *wheels((l, w, h), axles, radius_m=radius, arches=False)])


def bus(size: Size, rgb: RGB, rgb2: RGB, *, bendy: bool = False) -> Soup:
    """A city bus with a window band, a stripe and a destination sign; a bendy section ends in its bellows."""
    l, w, h = size
    base, radius = 0.32, 0.48
    front = 0.93 * l if bendy else l
    sections = [(l / 2, front)]
    parts: list[Soup] = []
    for x1, length in sections:
        x = x1 - length / 2
        body_h = h - base - 0.12
        hull = box(
            (length, w, body_h), (x, 0, base + body_h / 2), "car_paint", rgb, part="body", skip="lr", top=(0.992, 1)
        )
        parts.append(hull)
        for side in (1, -1):
            middle = (x, base + body_h / 2)
            parts.append(quad_side(side * w / 2, middle, (length, body_h), "car_paint", rgb, part="bus_side"))
            band = (x, base + 0.16 * body_h)
            parts.append(quad_side(side * (w / 2 + 0.004), band, (length, 0.10 * body_h), "car_paint", rgb2))
        parts.append(box((0.4 * length, 0.6 * w, 0.2), (x - 0.1 * length, 0, h - 0.1), "plastic", (0.6, 0.6, 0.6)))
    if bendy:
        bellows = (0.07 * l, 0.92 * w, 0.88 * (h - base))
        parts.append(box(bellows, (-0.465 * l, 0, base + 0.45 * (h - base)), "cloth", DARK))
    parts.append(quad_facing(l / 2 + 0.01, (0, 0.56 * h), (0.9 * w, 0.40 * h), "car_glass", GLASS, part="glass"))
    parts.append(quad_facing(l / 2 + 0.02, (0, 0.86 * h), (0.7 * w, 0.09 * h), "plastic", DARK, part="sign"))
    parts.append(quad_facing(-l / 2 - 0.01, (0, 0.66 * h), (0.75 * w, 0.26 * h), "car_glass", GLASS, part="glass"))
    for side in (1, -1):
        lamp = (l / 2, side * 0.4 * w, 0.22 * h)
        parts.append(box((0.06, 0.13 * w, 0.07 * h), lamp, "head_lamp", CLEAR, part="head_lamp"))
        turn = "indicator_left" if side > 0 else "indicator_right"
        lamp = (l / 2, side * 0.47 * w, 0.29 * h)
        parts.append(box((0.06, 0.05 * w, 0.05 * h), lamp, "head_lamp", AMBER, part=turn))
        parts.append(box((0.3, 0.12, 0.3), (l / 2 - 0.1, side * (w / 2 + 0.06), 0.75 * h), "plastic", DARK))
    parts += _rear_lamps(-l / 2, w, 0.3 * h)
    axles = (0.24, 0.78) if bendy else (0.2, 0.76)
    return joined([*parts, *wheels((l, w, h), axles, radius_m=radius)])


def trailer(size: Size, rgb: RGB, rgb2: RGB, *, variant: int) -> Soup:
    """A semi-trailer box, or an open utility trailer when it is small."""
    l, w, h = size
    radius = min(0.5, 0.2 * h)
    floor = 2.05 * radius
    if l > 5.0 or variant % 3:
        parts = [box((l, w, h - floor), (0, 0, (h + floor) / 2), "metal", rgb, part="cargo")]
    else:
        parts = [box((l, w, 0.5 * (h - floor)), (0, 0, floor + 0.25 * (h - floor)), "metal", rgb, part="body")]
        parts.append(ball((0, 0, floor + 0.4 * (h - floor)), (0.45 * l, 0.45 * w, 0.6 * (h - floor)), "cloth", rgb2))
    parts.append(box((0.9 * l, 0.5 * w, 0.2), (0, 0, floor - 0.15), "metal", DARK))
    parts.append(box((0.12, 0.3, floor - 0.1), (0.32 * l, 0, (floor - 0.1) / 2), "metal", STEEL))
    parts += _rear_lamps(-l / 2, w, floor - 0.12)
    axles = (0.74, 0.85) if l > 6 else (0.6,)
    return joined([*parts, *wheels((l, w, h), axles, radius_m=radius, arches=False)])


def construction_vehicle(size: Size, rgb: RGB, rgb2: RGB, *, kind: str) -> Soup:
    """An excavator, a wheel loader, a roller or a concrete mixer."""
    match kind:
        case "excavator":
            return _excavator(size, rgb)
        case "loader":
            return _loader(size, rgb)
        case "roller":
            return _roller(size, rgb)
        case "mixer":
            return _mixer(size, rgb, rgb2)
        case _:
            raise ValueError(f"expected excavator, loader, roller or mixer, found {kind!r}")


def _roller(size: Size, rgb: RGB) -> Soup:
    l, w, h = size
    r = 0.24 * h
    parts = [tube((x, -0.46 * w, r), (x, 0.46 * w, r), r, "metal", STEEL, sides=18) for x in (-0.34 * l, 0.34 * l)]
    parts.append(box((0.7 * l, 0.7 * w, 0.22 * h), (0, 0, 0.46 * h), "engine_hood", rgb, part="body", top=(0.94, 0.94)))
    for x in (-0.2 * l, 0.12 * l):
        for y in (-0.33 * w, 0.33 * w):
            parts.append(tube((x, y, 0.5 * h), (x, y, 0.95 * h), 0.035, "metal", DARK, sides=5))
    parts.append(box((0.42 * l, 0.82 * w, 0.05 * h), (-0.04 * l, 0, 0.97 * h), "car_paint", rgb, part="body"))
    parts.append(box((0.16 * l, 0.4 * w, 0.16 * h), (-0.1 * l, 0, 0.62 * h), "plastic", DARK))
    return joined([*parts, box((l, 0.2 * w, 0.08 * h), (0, 0, 0.4 * h), "metal", DARK)])


def _excavator(size: Size, rgb: RGB) -> Soup:
    l, w, h = size
    back = -0.5 * l
    parts = []
    for side in (1, -1):
        track = box(
            (0.56 * l, 0.22 * w, 0.26 * h), (back + 0.3 * l, side * 0.39 * w, 0.13 * h), "metal", DARK, top=(0.86, 1)
        )
        parts.append(track)
    house = box(
        (0.42 * l, 0.92 * w, 0.3 * h), (back + 0.21 * l, 0, 0.45 * h), "car_paint", rgb, part="body", top=(0.94, 0.96)
    )
    cab = box(
        (0.2 * l, 0.38 * w, 0.42 * h),
        (back + 0.36 * l, 0.27 * w, 0.72 * h),
        "car_glass",
        GLASS,
        part="glass",
        top=(0.8, 0.9),
    )
    roof = box((0.18 * l, 0.38 * w, 0.04 * h), (back + 0.36 * l, 0.27 * w, 0.94 * h), "car_paint", rgb, part="body")
    knee, wrist, bucket = (0.12 * l, -0.1 * w, 0.96 * h), (0.43 * l, -0.1 * w, 0.62 * h), (0.40 * l, -0.1 * w, 0.2 * h)
    hip = (back + 0.42 * l, -0.1 * w, 0.5 * h)
    arm = [tube(hip, knee, (0.075 * h, 0.06 * h), "car_paint", rgb, sides=4, part="body")]
    arm.append(tube(knee, wrist, (0.06 * h, 0.045 * h), "car_paint", rgb, sides=4, part="body"))
    arm.append(tube(wrist, bucket, 0.03 * h, "metal", STEEL, sides=6))
    arm.append(
        tube((hip[0] + 0.05 * l, -0.1 * w, 0.4 * h), (0.0, -0.1 * w, 0.78 * h), 0.02 * h, "chrome", STEEL, sides=6)
    )
    scoop = box((0.16 * l, 0.42 * w, 0.22 * h), (0.41 * l, -0.1 * w, 0.13 * h), "metal", STEEL, top=(0.6, 1))
    return joined([*parts, house, cab, roof, *arm, scoop])


def _loader(size: Size, rgb: RGB) -> Soup:
    l, w, h = size
    parts = [box((0.42 * l, 0.6 * w, 0.3 * h), (-0.27 * l, 0, 0.45 * h), "engine_hood", rgb, part="body")]
    parts.append(
        box((0.22 * l, 0.55 * w, 0.45 * h), (0.0, 0, 0.72 * h), "car_glass", GLASS, part="glass", top=(0.8, 0.85))
    )
    parts.append(box((0.22 * l, 0.55 * w, 0.05 * h), (0.0, 0, 0.97 * h), "car_paint", rgb, part="body"))
    parts.append(box((0.3 * l, 0.5 * w, 0.2 * h), (0.1 * l, 0, 0.38 * h), "car_paint", rgb, part="body"))
    for side in (1, -1):
        arm = tube(
            (0.05 * l, side * 0.28 * w, 0.55 * h),
            (0.38 * l, side * 0.28 * w, 0.22 * h),
            0.06 * h,
            "car_paint",
            rgb,
            sides=4,
            part="body",
        )
        parts.append(arm)
    parts.append(box((0.16 * l, w, 0.3 * h), (0.42 * l, 0, 0.15 * h), "metal", STEEL, top=(0.5, 1)))
    return joined([*parts, *wheels((l, 0.95 * w, h), (0.32, 0.8), radius_m=0.22 * h, arches=False)])


def _mixer(size: Size, rgb: RGB, rgb2: RGB) -> Soup:
    l, w, h = size
    radius = min(0.5, 0.15 * h)
    parts = _cab((0.24 * l, 0.95 * w, 0.8 * h), l / 2, rgb, base_m=0.8 * radius)
    parts.append(box((0.9 * l, 0.5 * w, 0.25), (-0.05 * l, 0, 2 * radius), "metal", DARK))
    a, b, c = (0.2 * l, 0, 0.5 * h), (-0.12 * l, 0, 0.62 * h), (-0.46 * l, 0, 0.85 * h)
    drum = [
        tube(a, b, (0.12 * h, 0.3 * h), "metal", rgb2, sides=14),
        tube(b, c, (0.3 * h, 0.13 * h), "metal", rgb2, sides=14),
    ]
    parts.append(box((0.08 * l, 0.3 * w, 0.3 * h), (-0.45 * l, 0, 0.6 * h), "metal", STEEL))
    parts += _rear_lamps(-l / 2, w, 2 * radius)
    return joined([*parts, *drum, *wheels((l, w, h), (0.13, 0.72, 0.84), radius_m=radius, arches=False)])


def light_bar(x_m: float, z_m: float, width_m: float) -> Soup:
    """Blue and red beacons across a roof."""
    half = (0.22, width_m / 2, 0.12)
    blue = box(half, (x_m, width_m / 4, z_m), "plastic", (0.08, 0.15, 0.7), part="beacon")
    return joined([blue, box(half, (x_m, -width_m / 4, z_m), "plastic", (0.7, 0.05, 0.05), part="beacon")])


def ambulance(size: Size, rgb: RGB, rgb2: RGB) -> Soup:
    """A box ambulance with a stripe and beacons."""
    l, w, h = size
    parts = _cab((0.34 * l, 0.9 * w, 0.78 * h), l / 2, rgb, base_m=0.3)
    top = h - 0.12
    parts.append(box((0.68 * l, w, top - 0.45), (-0.16 * l, 0, (top + 0.45) / 2), "car_paint", rgb, part="body"))
    for side in (1, -1):
        parts.append(
            quad_side(side * (w / 2 + 0.005), (-0.16 * l, 0.45 * h), (0.68 * l, 0.13 * h), "retroreflector", rgb2)
        )
        window = quad_side(side * (w / 2 + 0.006), (-0.05 * l, 0.72 * h), (0.2 * l, 0.16 * h), "car_glass", GLASS)
        parts.append(window)
    parts.append(quad_facing(-l / 2 - 0.01, (0, 0.7 * h), (0.6 * w, 0.22 * h), "car_glass", GLASS, part="glass"))
    parts.append(light_bar(0.12 * l, h - 0.06, 0.8 * w))
    parts += _rear_lamps(-l / 2, w, 0.32 * h)
    return joined([*parts, *wheels((l, w, h), (0.17, 0.78), radius_m=0.34)])
