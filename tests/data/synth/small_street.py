"""A hand-made street of 120 m with a few things on it, small enough to be cast by brute force."""

from dataclasses import replace

import numpy as np

from sceneminer.data.synth.scene import KERB_M, TICK_S, Actor, Crossing, Divider, Drive, Environment, Prop, Signal, Town
from sceneminer.data.synth.style import draw_style
from sceneminer.geometry.camera import Camera

DAY = Environment(11.0, 0.1, 0.0, 0.0, 20000.0, 18.0, 1.0, 0.0)
NIGHT = replace(DAY, hour=22.0)
CAMERA = Camera(320, 180, 250.0, 250.0, 159.5, 89.5)
FORWARD = np.array([[0.0, 0, 1, 1.7], [-1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]])
"""ego_from_camera of a camera that looks ahead."""
LIDAR = np.array([[0.0, 1, 0, 0.94], [-1, 0, 0, 0], [0, 0, 1, 1.84], [0, 0, 0, 1]])


def band(y0: float, y1: float) -> np.ndarray:
    return np.array([[-60.0, y0], [60.0, y0], [60.0, y1], [-60.0, y1]])


def make_town() -> Town:
    style = replace(draw_style("train", np.random.default_rng(1)), paint_wear=0.0, asphalt_rgb=(0.3, 0.3, 0.31))
    grey = (0.5, 0.5, 0.5)
    props = (
        Prop("building", np.array([10.0, 16.0, 0.0, -np.pi / 2]), (10.0, 20.0, 12.0), (0.6, 0.5, 0.45), 5),
        Prop("building", np.array([15.0, -16.0, 0.0, np.pi / 2]), (10.0, 24.0, 9.0), (0.6, 0.55, 0.5), 6),
        Prop("tree", np.array([-8.0, 4.8, KERB_M, 0.0]), (3.0, 3.0, 6.0), (0.25, 0.35, 0.2), 3),
        Prop("street_lamp", np.array([-12.0, -4.6, KERB_M, np.pi / 2]), (1.2, 0.2, 6.2), grey, 0),
        Prop("traffic_light", np.array([20.0, -4.6, KERB_M, np.pi]), (0.35, 0.35, 4.0), grey, 1),
        Prop("hedge", np.array([0.0, 6.5, KERB_M, 0.0]), (4.0, 0.8, 0.9), (0.25, 0.35, 0.2), 8),
    )
    crossing = Crossing(
        np.array([[30.0, -4.0], [33.0, -4.0], [33.0, 4.0], [30.0, 4.0]]), np.array([[31.5, -4.0], [31.5, 4.0]]), None
    )
    return Town(
        name="small-street",
        split="train",
        seed=4,
        style=style,
        bounds=(-60.0, -30.0, 60.0, 30.0),
        lanes=(),
        road_segments=(band(-4.0, 4.0),),
        intersections=(),
        walkways=(band(4.0, 7.0), band(-7.0, -4.0)),
        parking_lots=(),
        crossings=(crossing,),
        dividers=(Divider(np.array([[-60.0, 0.0], [60.0, 0.0]]), "road", "solid_white"),),
        stop_lines=(),
        signals=(Signal(np.array([20.0, -4.6, 3.4]), np.pi, 40.0, 20.0, 0.0),),
        props=props,
        spots=(),
        construction=(),
        walk_paths=(),
    )


def make_actor(number: int, category: str, pose: tuple[float, float, float, float], **more) -> Actor:
    size = {
        "vehicle.car": (4.5, 1.8, 1.5),
        "human.pedestrian.adult": (0.6, 0.6, 1.75),
        "vehicle.truck": (7.0, 2.4, 3.2),
    }
    rows = np.repeat(np.array([[*pose, 0.0]]), 101, 0)
    speed = more.pop("speed_mps", 0.0)
    rows[:, 0] += speed * np.cos(pose[3]) * TICK_S * np.arange(101)
    rows[:, 4] = speed
    look = {"rgb": (0.75, 0.75, 0.72), "rgb2": (0.3, 0.3, 0.6), "variant": 7} | more
    return Actor(
        actor_id=number, category=category, size_lwh_m=size[category], states=rows, present=np.ones(101, bool), **look
    )


def make_drive(town: Town, environment: Environment = DAY, *, actors: tuple[Actor, ...] | None = None) -> Drive:
    """Ego drives along +x at 6 m/s in the right lane, from x = -20 m at time 0."""
    n = 141
    ego = np.zeros((n, 5))
    ego[:, 0] = -20.0 + 6.0 * (np.arange(n) * TICK_S - 1.0)
    ego[:, 1], ego[:, 4] = -2.0, 6.0
    if actors is None:
        actors = (
            make_actor(11, "vehicle.car", (-3.0, -2.0, 0.0, 0.0)),
            make_actor(12, "vehicle.truck", (6.0, 2.0, 0.0, np.pi), speed_mps=8.0),
            make_actor(13, "human.pedestrian.adult", (-4.0, -5.6, KERB_M, np.pi / 2)),
        )
    return Drive("small", town, 9, environment, 5.0, ego, np.zeros(n, np.int32), actors, ())
