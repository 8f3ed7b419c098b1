"""Cones, barriers, bins, debris and bicycle racks; and the choice of a mesh by nuScenes category."""

import numpy as np
from numpy import ndarray

from sceneminer.data.synth.catalog import BODIES, body_style
from sceneminer.data.synth.mesh import (
    RGB,
    Soup,
    ball,
    box,
    disc,
    drawn_rgb,
    fitted,
    joined,
    moved,
    quad,
    stretched,
    toned,
    tube,
)
from sceneminer.data.synth.mesh_car import DARK, car, quad_side
from sceneminer.data.synth.mesh_person import PHASES, bicycle, dog, motorcycle, person
from sceneminer.data.synth.mesh_truck import ambulance, bus, construction_vehicle, light_bar, trailer, truck
from sceneminer.data.synth.scene import Actor

Size = tuple[float, float, float]
WHITE: RGB = (0.85, 0.85, 0.83)
CAR_STYLES = {
    "hatchback": "hatch",
    "sedan": "sedan",
    "suv": "suv",
    "estate": "estate",
    "van": "van",
    "pickup": "pickup",
}


def cone(size: Size, rgb: RGB) -> Soup:
    """A traffic cone with two reflecting bands on a square foot."""
    l, _, h = size
    parts = [box((l, l, 0.05 * h), (0, 0, 0.025 * h), "plastic", DARK)]
    for low, high, band in ((0.05, 0.35, 0), (0.35, 0.52, 1), (0.52, 0.66, 0), (0.66, 0.80, 1), (0.80, 1.0, 0)):
        r0, r1 = (0.40 * l * (1.08 - z) for z in (low, high))
        look = ("retroreflector", WHITE) if band else ("plastic", rgb)
        parts.append(tube((0, 0, low * h), (0, 0, high * h), (r0, r1), *look, sides=12, caps=high == 1.0))
    return joined(parts)


def barrier(size: Size, rgb: RGB, *, variant: int) -> Soup:
    """A water-filled element, or a striped board on two feet; long along y."""
    l, w, h = size
    if body_style("movable_object.barrier", variant) == "plastic":
        base = box((l, w, 0.25 * h), (0, 0, 0.125 * h), "plastic", rgb)
        neck = box((l, w, 0.3 * h), (0, 0, 0.4 * h), "plastic", rgb, top=(0.5, 1.0))
        return joined([base, neck, box((0.5 * l, w, 0.45 * h), (0, 0, 0.775 * h), "plastic", rgb, top=(0.8, 1.0))])
    parts = []
    for z, k in ((0.84 * h, 0), (0.48 * h, 1)):
        board = box((0.05, w, (0.30, 0.2)[k] * h), (0, 0, z), "sign_face", rgb, part="stripes")
        parts.append(board)
    for y in (-0.38 * w, 0.38 * w):
        parts.append(box((0.06, 0.06, h * 0.98), (0, y, 0.49 * h), "metal", (0.5, 0.5, 0.5)))
        parts.append(box((l, 0.16, 0.08), (0, y, 0.04), "plastic", DARK))
    return joined(parts)


def pushable(size: Size, rgb: RGB, *, variant: int) -> Soup:
    """A wheelie bin or a shopping cart."""
    l, w, h = size
    if body_style("movable_object.pushable_pullable", variant) == "bin":
        body = box((0.82 * l, 0.85 * w, 0.82 * h), (0.04 * l, 0, 0.5 * h), "plastic", rgb, top=(1.15, 1.12))
        lid = box((l, w, 0.09 * h), (0, 0, 0.955 * h), "plastic", toned(rgb, 0.7), top=(0.9, 0.9))
        axle = tube((-0.34 * l, -0.45 * w, 0.1 * h), (-0.34 * l, 0.45 * w, 0.1 * h), 0.1 * h, "tyre", DARK, sides=10)
        return joined([body, lid, axle])
    basket = box((0.8 * l, 0.85 * w, 0.5 * h), (0.1 * l, 0, 0.65 * h), "metal", rgb, part="mesh_fence", top=(1.1, 1.15))
    parts = [basket, tube((-0.48 * l, -0.45 * w, h), (-0.48 * l, 0.45 * w, h), 0.02, "plastic", rgb, sides=5)]
    for x in (-0.3 * l, 0.35 * l):
        for y in (-0.35 * w, 0.35 * w):
            parts.append(tube((x, y, 0.0), (x - 0.05, y, 0.42 * h), 0.02, "metal", (0.5, 0.5, 0.5), sides=4))
    for y in (-0.45 * w, 0.45 * w):
        parts.append(tube((-0.3 * l, y, 0.8 * h), (-0.48 * l, y, h), 0.015, "metal", (0.5, 0.5, 0.5), sides=4))
    return joined(parts)


def debris(size: Size, rgb: RGB, *, variant: int) -> Soup:
    """A lost box with open flaps, or a tyre lying on the road."""
    l, w, h = size
    if body_style("movable_object.debris", variant) == "tyre":
        ring = tube((0, 0, 0), (0, 0, h), l / 2, "tyre", DARK, sides=14, caps=False)
        rim = tube((0, 0, 0.1 * h), (0, 0, 0.9 * h), 0.28 * l, "tyre", DARK, sides=12, caps=False)
        return joined([ring, rim, disc((0, 0, h * 0.99), (0, 0, 1), l / 2, "tyre", DARK, part="wheel")])
    body = box((0.8 * l, 0.9 * w, 0.8 * h), (0, 0, 0.4 * h), "wood", rgb, skip="t")
    flap = quad(
        np.array([[0.4, -0.45, 0.8], [0.5, -0.45, 1.0], [0.5, 0.45, 1.0], [0.4, 0.45, 0.8]]) * [l, w, h], "wood", rgb
    )
    other = quad(
        np.array([[-0.4, 0.45, 0.8], [-0.5, 0.5, 0.9], [-0.5, -0.5, 0.9], [-0.4, -0.45, 0.8]]) * [l, w, h], "wood", rgb
    )
    inside = box((0.78 * l, 0.88 * w, 0.1 * h), (0, 0, 0.3 * h), "wood", toned(rgb, 0.5))
    return joined([body, flap, other, inside])


def bicycle_rack(size: Size, rgb: RGB, *, variant: int) -> Soup:
    """Hoops in a row along x with bicycles between them."""
    l, w, h = size
    rng = np.random.default_rng(variant)
    count = max(2, int(l / 0.75))
    parts = []
    for k in range(count + 1):
        x = -l / 2 + l * k / count
        a, b = (x, -0.3 * w, 0.0), (x, 0.3 * w, 0.0)
        top_a, top_b = (x, -0.3 * w, 0.72 * h), (x, 0.3 * w, 0.72 * h)
        for p, q in ((a, top_a), (top_a, top_b), (top_b, b)):
            parts.append(tube(p, q, 0.03, "metal", rgb, sides=5))
        if k < count and (rng.random() < 0.7 or k == 0):
            colour: RGB = drawn_rgb(rng, 0.05, 0.7)
            cycle = fitted(
                bicycle((1.75, 0.5, 1.05), colour, rider=None, variant=int(rng.integers(99))), (0.97 * w, 0.5, 0.98 * h)
            )
            parts.append(moved(cycle, (x + l / count / 2, 0, 0), yaw_rad=np.pi / 2 * (1 if rng.random() < 0.5 else -1)))
    return joined(parts)


def is_walker(category: str) -> bool:
    """Whether its limbs move with the way it has gone."""
    walker = category.startswith("human.pedestrian.") or category == "animal"
    return walker and not category.endswith(("stroller", "wheelchair", "personal_mobility"))


def actor_mesh(actor: Actor, *, phase: int | None = None, extent: tuple[ndarray, ndarray] | None = None) -> Soup:
    """An actor's mesh in its own frame: it fills ``size_lwh_m`` exactly, bottom at z = 0.

    A walker's phase is a step out of PHASES, or None when it stands; all steps share one stretch, so the box holds
    the whole cycle (``extent`` saves working it out again). Raises ValueError for a category the town has no mesh for.
    """
    rough = _rough_mesh(actor, phase)
    if phase is None:
        return fitted(rough, actor.size_lwh_m)
    low, high = walk_extent(actor) if extent is None else extent
    return stretched(rough, low, high, actor.size_lwh_m)


def walk_extent(actor: Actor) -> tuple[ndarray, ndarray]:
    """Least and greatest x, y, z over an actor's whole walk cycle."""
    steps = [_rough_mesh(actor, p).xyz.reshape(-1, 3) for p in range(0, PHASES, 2)]
    return np.min([s.min(0) for s in steps], 0), np.max([s.max(0) for s in steps], 0)


def _rough_mesh(actor: Actor, phase: int | None) -> Soup:
    size, rgb, rgb2, variant, category = actor.size_lwh_m, actor.rgb, actor.rgb2, actor.variant, actor.category
    if category not in BODIES:
        raise ValueError(f"expected a category of {sorted(BODIES)}, found {category!r}")
    seat = (rgb2, rgb2) if actor.rider else None
    rider = None if seat is None else (rgb2, toned(rgb2, 0.5))
    match category:
        case "vehicle.car":
            return car(size, rgb, style=CAR_STYLES[body_style(category, variant)], variant=variant)
        case "vehicle.emergency.police":
            style = CAR_STYLES[body_style(category, variant)]
            l, w, h = size
            band = [
                quad_side(s * w * 0.502, (0, 0.42 * h), (0.62 * l, 0.1 * h), "retroreflector", rgb2) for s in (1, -1)
            ]
            return joined(
                [car(size, rgb, style=style, variant=variant), light_bar(-0.05 * l, h + 0.05, 0.55 * w), *band]
            )
        case "vehicle.emergency.ambulance":
            return ambulance(size, rgb, rgb2)
        case "vehicle.truck":
            return truck(size, rgb, rgb2, kind=body_style(category, variant), variant=variant)
        case "vehicle.bus.rigid" | "vehicle.bus.bendy":
            return bus(size, rgb, rgb2, bendy=category.endswith("bendy"))
        case "vehicle.trailer":
            return trailer(size, rgb, rgb2, variant=variant)
        case "vehicle.construction":
            return construction_vehicle(size, rgb, rgb2, kind=body_style(category, variant))
        case "vehicle.motorcycle":
            return motorcycle(size, rgb, rider=rider, variant=variant)
        case "vehicle.bicycle":
            return bicycle(size, rgb, rider=rider, variant=variant)
        case "animal":
            return dog(size, rgb, variant=variant, phase=phase)
        case "movable_object.trafficcone":
            return cone(size, rgb)
        case "movable_object.barrier":
            return barrier(size, rgb, variant=variant)
        case "movable_object.pushable_pullable":
            return pushable(size, rgb, variant=variant)
        case "movable_object.debris":
            return debris(size, rgb, variant=variant)
        case "static_object.bicycle_rack":
            return bicycle_rack(size, rgb, variant=variant)
        case _:
            standing = actor.standing or len(actor.states) > 1 or actor.size_lwh_m[2] > 1.35
            return person(size, rgb, rgb2, category=category, variant=variant, phase=phase, standing=standing)


__all__ = ["actor_mesh", "ball", "is_walker"]
