"""What stands on pavements and in yards: trees, hedges, masts, signs, lights, shelters; a mesh for every Prop kind."""

import numpy as np

from sceneminer.data.synth.mesh import RGB, Soup, ball, box, disc, fitted, joined, quad, soup_of, toned, tube
from sceneminer.data.synth.mesh_building import advert_column, billboard, building
from sceneminer.data.synth.mesh_car import DARK
from sceneminer.data.synth.scene import Prop, Style

BARK: RGB = (0.25, 0.19, 0.14)
STEEL: RGB = (0.42, 0.43, 0.44)
GREY: RGB = (0.55, 0.56, 0.57)


def leaves(
    centre: np.ndarray, radii: np.ndarray, count: int, size_m: float, rgb: RGB, rng: np.random.Generator
) -> Soup:
    """Leaf clusters as loose triangles in the shell of an ellipsoid, shaded as if they were its surface."""
    way = rng.normal(size=(count, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    at = centre + way * radii * rng.uniform(0.80, 1.10, (count, 1))
    spread = rng.normal(size=(count, 3, 3))
    spread *= size_m * rng.uniform(0.7, 1.3, (count, 1, 1)) / np.linalg.norm(spread, axis=-1, keepdims=True)
    normal = np.repeat((way / radii)[:, None], 3, 1) + 0.12 * rng.normal(size=(count, 3, 3)) / radii.mean()
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    soup = soup_of(at[:, None] + spread, "foliage", rgb, part="foliage", normal=normal)
    tint = rng.normal(1.0, 0.12, (count, 1)) * (1 + rng.normal(0, 0.05, (count, 3)))
    inner = 0.75 + 0.25 * np.clip(way[:, 2:] + 0.4, 0, 1)
    np.clip(soup.rgb * tint * inner, 0.01, 1.0, out=soup.rgb, casting="unsafe")
    return soup


def olive(rgb: RGB) -> RGB:
    """Leaves are less green than palettes are."""
    grey = 0.35 * rgb[0] + 0.5 * rgb[1] + 0.15 * rgb[2]
    return (rgb[0] + 0.25 * (grey - rgb[0]), rgb[1] + 0.25 * (grey - rgb[1]), rgb[2] + 0.25 * (grey - rgb[2]))


def tree(prop: Prop) -> Soup:
    """A trunk with limbs under lumpy crowns, or a conifer."""
    rng = np.random.default_rng(prop.variant)
    l, _, h = prop.size_lwh_m
    conifer = rng.random() < 0.14
    lean = rng.normal(0, 0.02, 2) * h
    radius = 0.016 * h + 0.05
    rgb = olive(prop.rgb)
    dark: RGB = toned(rgb, 0.78)
    if conifer:
        parts = [tube((0, 0, 0), (0, 0, 0.9 * h), (radius, 0.02), "bark", BARK, sides=6, part="bark", caps=False)]
        for k, z in enumerate(np.linspace(0.2, 0.86, 7)):
            r = 0.46 * l * (1.05 - z) / 0.85
            parts.append(
                tube(
                    (0, 0, z * h),
                    (0, 0, min(0.99, z + 0.2) * h),
                    (r, 0.02),
                    "foliage",
                    dark,
                    sides=9,
                    part="foliage",
                    caps=False,
                )
            )
            parts.append(
                leaves(
                    np.array([0, 0, (z + 0.05) * h]), np.array([r, r, 0.07 * h]), 26 - 2 * k, 0.16 * l, prop.rgb, rng
                )
            )
        return joined(parts)
    fork = h * float(rng.uniform(0.30, 0.42))
    top = np.array([lean[0], lean[1], fork])
    parts = [tube((0, 0, 0), top, (radius * 1.25, radius * 0.8), "bark", BARK, sides=7, part="bark", caps=False)]
    crowns = int(rng.integers(4, 7))
    for k in range(crowns):
        angle = 2 * np.pi * k / crowns + float(rng.uniform(-0.4, 0.4))
        high = k == crowns - 1
        reach = 0.0 if high else 0.25 * l * float(rng.uniform(0.8, 1.1))
        z = h * (0.80 if high else float(rng.uniform(0.52, 0.70)))
        centre = np.array([reach * np.cos(angle) + lean[0], reach * np.sin(angle) + lean[1], z])
        r = np.array([0.27, 0.27, 0.0]) * l * rng.uniform(0.85, 1.1)
        r[2] = min(0.20 * h, h - z) * float(rng.uniform(0.9, 1.0))
        parts.append(tube(top, centre, (radius * 0.55, 0.02), "bark", BARK, sides=5, part="bark", caps=False))
        core = ball(centre, 0.84 * r, "foliage", dark, part="foliage", lumps=0.2, seed=prop.variant + k, fine=True)
        parts += [core, leaves(centre, r, 108, 0.12 * float(r.mean()) + 0.09, rgb, rng)]
    return joined(parts)


def bush(prop: Prop) -> Soup:
    """A round shrub, or (longer than wide) a cut hedge."""
    rng = np.random.default_rng(prop.variant)
    l, w, h = prop.size_lwh_m
    rgb = olive(prop.rgb)
    dark: RGB = toned(rgb, 0.78)
    if l < 2.2 * w:
        core = ball(
            (0, 0, 0.45 * h),
            (0.42 * l, 0.42 * w, 0.45 * h),
            "foliage",
            dark,
            part="foliage",
            lumps=0.1,
            seed=prop.variant,
        )
        centre, radii = np.array([0, 0, 0.45 * h]), np.array([0.47 * l, 0.47 * w, 0.5 * h])
        return joined([core, leaves(centre, radii, 130, 0.06 * l + 0.03, rgb, rng)])
    core = box((l, 0.88 * w, 0.94 * h), (0, 0, 0.47 * h), "foliage", rgb, part="foliage", top=(1.0, 0.9))
    n = int(min(75 * l * h, 340))
    side = rng.integers(0, 3, n)
    at = rng.uniform(-0.5, 0.5, (n, 3)) * [l, w, h]
    at[side == 0, 1], at[side == 1, 1], at[side == 2, 2] = 0.48 * w, -0.48 * w, 0.49 * h
    at[:, 2] += 0.5 * h
    normal = np.zeros((n, 3))
    normal[side == 0, 1], normal[side == 1, 1], normal[side == 2, 2] = 1, -1, 1
    normal = np.repeat((normal + 0.25 * rng.normal(size=(n, 3)))[:, None], 3, 1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    spread = rng.normal(size=(n, 3, 3)) * 0.07
    cut = soup_of(at[:, None] + spread, "foliage", rgb, part="foliage", normal=normal)
    np.clip(cut.rgb * rng.normal(1.0, 0.17, (n, 1)), 0.01, 1.0, out=cut.rgb, casting="unsafe")
    return joined([core, cut])


def planter(prop: Prop) -> Soup:
    rng = np.random.default_rng(prop.variant)
    l, w, h = prop.size_lwh_m
    tub = box((l, w, 0.6 * h), (0, 0, 0.3 * h), "concrete", GREY, top=(1.0, 1.0))
    plants = leaves(np.array([0, 0, 0.68 * h]), np.array([0.42 * l, 0.42 * w, 0.3 * h]), 70, 0.1, prop.rgb, rng)
    return joined([tub, plants])


def street_lamp(prop: Prop) -> Soup:
    """A mast whose arm reaches along +x; the head glows at night."""
    arm, _, h = prop.size_lwh_m
    rgb = prop.rgb
    parts = [tube((0, 0, 0), (0, 0, 0.94 * h), (0.09, 0.055), "metal", rgb, sides=8)]
    parts.append(tube((0, 0, 0), (0, 0, 0.8), 0.12, "metal", rgb, sides=8))
    parts.append(tube((0, 0, 0.94 * h), (0.8 * arm, 0, h - 0.05), (0.05, 0.04), "metal", rgb, sides=6))
    parts.append(box((0.65, 0.26, 0.1), (arm - 0.3, 0, h - 0.05), "metal", rgb))
    parts.append(box((0.5, 0.2, 0.03), (arm - 0.3, 0, h - 0.115), "plastic", (0.9, 0.9, 0.85), part="street_lamp"))
    return joined(parts)


def traffic_light(prop: Prop) -> Soup:
    """A pole with a housing of three lamps below its top; the lamps look along +x."""
    _, _, h = prop.size_lwh_m
    z = h - 0.6 - prop.pose[2]
    parts = [tube((0, 0, 0), (0, 0, h), 0.07, "metal", (0.22, 0.23, 0.23), sides=8)]
    parts.append(box((0.22, 0.34, 1.02), (0.19, 0, z), "plastic", (0.05, 0.05, 0.05)))
    parts.append(quad(_upright(0.16, 0.62, z, 1.3), "plastic", (0.04, 0.04, 0.04)))
    for part, dz, rgb in (
        ("signal_red", 0.32, (0.5, 0.03, 0.03)),
        ("signal_amber", 0.0, (0.5, 0.3, 0.02)),
        ("signal_green", -0.32, (0.02, 0.4, 0.2)),
    ):
        parts.append(disc((0.31, 0, z + dz), (1, 0, 0), 0.125, "signal_lamp", rgb, part=part, sides=12))
        hood = [[0.31, -0.15, z + dz + 0.06], [0.5, -0.13, z + dz + 0.12], [0.5, 0.13, z + dz + 0.12]]
        hood += [[0.31, 0.15, z + dz + 0.06]]
        parts.append(quad(np.array(hood), "plastic", (0.05, 0.05, 0.05)))
    return joined(parts)


def _upright(x: float, width_m: float, z: float, height_m: float) -> np.ndarray:
    w, h = width_m / 2, height_m / 2
    return np.array([[x, -w, z - h], [x, w, z - h], [x, w, z + h], [x, -w, z + h]])


def sign(prop: Prop) -> Soup:
    """A sign on a pole, its face along +x; uv of the face is kind + (0..1, 0..1) for the shader."""
    _, w, h = prop.size_lwh_m
    z = h - w / 2
    parts = [tube((-0.03, 0, 0), (-0.03, 0, h - 0.1), 0.032, "metal", GREY, sides=6)]
    angles = {"stop_sign": np.pi / 8 + np.arange(8) * np.pi / 4, "yield_sign": np.pi * np.array([-0.5, 1 / 6, 5 / 6])}
    angle = angles.get(prop.kind, np.arange(16) * np.pi / 8)
    rim = np.stack([np.cos(angle), np.sin(angle)], -1)
    code = {"stop_sign": 10.0, "yield_sign": 20.0, "speed_sign": 30.0}[prop.kind]
    for x, part, material, rgb in ((0.03, "sign", "sign_face", prop.rgb), (0.02, "plain", "metal", GREY)):
        i = np.arange(1, len(rim) - 1)
        flat = np.stack([np.broadcast_to(rim[0], (len(i), 2)), rim[i], rim[i + 1]], 1)
        xyz = np.concatenate([np.full((len(i), 3, 1), x), flat * w / 2 + [0, z]], -1)
        parts.append(soup_of(xyz, material, rgb, part=part, uv=flat * 0.5 + 0.5 + [code, 0]))
    return joined(parts)


def street_sign(prop: Prop) -> Soup:
    _, w, h = prop.size_lwh_m
    pole = tube((0, 0, 0), (0, 0, h), 0.03, "metal", GREY, sides=6)
    return joined([pole, box((0.03, w, 0.2), (0, 0, h - 0.12), "sign_face", prop.rgb, part="sign")])


def bus_shelter(prop: Prop) -> Soup:
    """A roof, glass back and side, a bench; open along +x."""
    l, w, h = prop.size_lwh_m
    parts = [box((l + 0.2, w, 0.12), (0.05, 0, h - 0.06), "metal", prop.rgb)]
    for y in (-w / 2 + 0.05, w / 2 - 0.05):
        parts += [tube((x, y, 0), (x, y, h - 0.1), 0.04, "metal", prop.rgb, sides=6) for x in (-l / 2, 0.35 * l)]
    parts.append(box((0.03, 0.9 * w, 0.75 * h), (-l / 2, 0, 0.5 * h), "window", (0.35, 0.4, 0.42), part="glass"))
    poster = quad(
        _upright(-l / 2 + 0.05, 1.2, 0.52 * h, 1.7) + np.array([0, 0.3 * w, 0]),
        "plastic",
        prop.rgb,
        part="billboard",
        uv=np.array([[0, 0], [1, 0], [1, 1], [0, 1]]),
    )
    parts.append(poster)
    parts.append(box((0.38, 0.6 * w, 0.07), (-l / 2 + 0.3, -0.1 * w, 0.5), "wood", (0.4, 0.3, 0.2)))
    parts += [box((0.06, 0.06, 0.5), (-l / 2 + 0.3, y * w, 0.25), "metal", STEEL) for y in (-0.35, 0.15)]
    return joined(parts)


def bench(prop: Prop) -> Soup:
    l, w, h = prop.size_lwh_m
    parts = [box((0.75 * l, w, 0.06), (0.1 * l, 0, 0.5 * h), "wood", prop.rgb)]
    parts += [box((0.05, w, 0.12), (-0.42 * l, 0, z * h), "wood", prop.rgb) for z in (0.72, 0.92)]
    for y in (-0.42 * w, 0.42 * w):
        parts.append(box((0.7 * l, 0.06, 0.5 * h), (0.1 * l, y, 0.25 * h), "metal", STEEL))
        parts.append(box((0.06, 0.06, h), (-0.45 * l, y, 0.5 * h), "metal", STEEL))
    return joined(parts)


def small_box(prop: Prop) -> Soup:
    """Litter bin, letter box, cabinet."""
    l, w, h = prop.size_lwh_m
    if prop.kind == "bin":
        parts = [tube((0, 0, 0), (0, 0, 0.85 * h), 0.46 * l, "metal", prop.rgb, sides=12)]
        return joined([*parts, tube((0, 0, 0.85 * h), (0, 0, h), (0.5 * l, 0.3 * l), "metal", DARK, sides=12)])
    dark: RGB = toned(prop.rgb, 0.6)
    parts = [
        box((l, w, 0.9 * h), (0, 0, 0.45 * h), "metal", prop.rgb),
        box((l, w, 0.1 * h), (0, 0, 0.95 * h), "metal", dark),
    ]
    slot = _upright(
        l / 2 + 0.004,
        0.6 * w,
        0.72 * h if prop.kind == "mailbox" else 0.45 * h,
        0.05 if prop.kind == "mailbox" else 0.7 * h,
    )
    return joined([*parts, quad(slot, "metal", dark)])


def hydrant(prop: Prop) -> Soup:
    l, _, h = prop.size_lwh_m
    parts = [tube((0, 0, 0), (0, 0, 0.75 * h), 0.28 * l, "metal", prop.rgb, sides=8)]
    parts.append(ball((0, 0, 0.78 * h), (0.3 * l, 0.3 * l, 0.22 * h), "metal", prop.rgb, fine=False))
    return joined([*parts, tube((0, -0.5 * l, 0.55 * h), (0, 0.5 * l, 0.55 * h), 0.14 * l, "metal", GREY, sides=8)])


def fence(prop: Prop) -> Soup:
    """Boards between posts, or a low wall."""
    l, w, h = prop.size_lwh_m
    if prop.variant % 3 == 0:
        wall = box((l, w * 1.6, 0.7 * h), (0, 0, 0.35 * h), "brick", (0.45, 0.3, 0.25), part="bricks")
        return joined([wall, box((l, 2.2 * w, 0.06), (0, 0, 0.72 * h), "concrete", GREY)])
    parts = [box((0.09, 0.09, h), (x, 0, h / 2), "wood", prop.rgb) for x in (-l / 2, l / 2)]
    parts += [box((l, 0.05, 0.09), (0, -0.03, z * h), "wood", prop.rgb) for z in (0.25, 0.8)]
    for x in np.arange(-l / 2 + 0.12, l / 2, 0.24):
        parts.append(box((0.17, 0.025, 0.88 * h), (x, 0.03, 0.48 * h), "wood", prop.rgb, skip="u"))
    return joined(parts)


def prop_mesh(prop: Prop, style: Style) -> Soup:
    """A Prop's mesh in its own frame; raises ValueError for a kind it does not know."""
    match prop.kind:
        case "building":
            return building(prop, style)
        case "tree":
            return fitted(tree(prop), prop.size_lwh_m)
        case "shrub" | "hedge":
            return bush(prop)
        case "planter":
            return planter(prop)
        case "street_lamp":
            return street_lamp(prop)
        case "traffic_light":
            return traffic_light(prop)
        case "stop_sign" | "yield_sign" | "speed_sign":
            return sign(prop)
        case "street_sign":
            return street_sign(prop)
        case "bus_shelter":
            return bus_shelter(prop)
        case "bench":
            return bench(prop)
        case "bin" | "mailbox" | "cabinet":
            return small_box(prop)
        case "hydrant":
            return hydrant(prop)
        case "fence":
            return fence(prop)
        case "billboard":
            return billboard(prop)
        case "advert_column":
            return advert_column(prop)
        case _:
            raise ValueError(f"expected a kind of Prop that has a mesh, found {prop.kind!r}")
