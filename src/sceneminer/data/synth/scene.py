"""The scene graph of the town: what exists, what it is made of, and how it moves.

``layout`` builds a Town, ``traffic`` drives a Drive through it, ``mesh``, ``raster`` and ``lidar`` sense it, ``write``
turns it into a nuScenes folder. Units are metres, seconds and radians in one right-handed town frame (x east, y north,
z up, ground at z = 0, pavements at ``KERB_M``). Nothing here is drawn at random: randomness lives in the builders.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

Split = Literal["train", "val", "test", "far"]

KERB_M = 0.12
TICK_S = 0.05
"""Time step of a Drive: trajectories are stored at 20 Hz and interpolated between."""


@dataclass(frozen=True)
class Material:
    """One surface: how it looks to a camera, to a LiDAR, and how warm it is to a thermal camera."""

    name: str
    reflectance_905nm: float
    """Diffuse reflectance at the LiDAR's wavelength, 0 to 1 (above 1: retroreflective)."""
    gloss: float
    """Share of mirror-like reflection, 0 to 1."""
    emissivity_lwir: float
    """Long-wave infrared emissivity, 0 to 1 (glass is opaque there)."""
    heat_k: float
    """Kelvin above ambient when in use (a running engine, a body, a tyre); sunlit surfaces add to this."""


MATERIALS: tuple[Material, ...] = (
    Material("asphalt", 0.12, 0.05, 0.95, 0.0),
    Material("road_paint", 0.55, 0.08, 0.94, 0.0),
    Material("pavement", 0.30, 0.03, 0.95, 0.0),
    Material("grass", 0.45, 0.0, 0.97, 0.0),
    Material("soil", 0.25, 0.0, 0.94, 0.0),
    Material("brick", 0.35, 0.0, 0.93, 0.5),
    Material("plaster", 0.55, 0.02, 0.92, 0.5),
    Material("concrete", 0.40, 0.02, 0.94, 0.5),
    Material("window", 0.08, 0.6, 0.85, 1.0),
    Material("foliage", 0.50, 0.0, 0.98, 0.0),
    Material("bark", 0.30, 0.0, 0.95, 0.0),
    Material("car_paint", 0.45, 0.4, 0.90, 2.0),
    Material("car_glass", 0.06, 0.7, 0.85, 1.0),
    Material("tyre", 0.05, 0.02, 0.96, 12.0),
    Material("engine_hood", 0.45, 0.4, 0.90, 18.0),
    Material("chrome", 0.60, 0.7, 0.30, 2.0),
    Material("head_lamp", 0.50, 0.5, 0.88, 15.0),
    Material("tail_lamp", 0.80, 0.4, 0.90, 6.0),
    Material("skin", 0.50, 0.0, 0.98, 13.0),
    Material("cloth", 0.40, 0.0, 0.95, 6.0),
    Material("metal", 0.45, 0.3, 0.60, 0.5),
    Material("plastic", 0.50, 0.1, 0.93, 0.0),
    Material("retroreflector", 2.0, 0.3, 0.90, 0.0),
    Material("sign_face", 1.5, 0.2, 0.90, 0.0),
    Material("signal_lamp", 0.3, 0.3, 0.90, 8.0),
    Material("wood", 0.40, 0.02, 0.92, 0.0),
)
MATERIAL_ID = {material.name: i for i, material in enumerate(MATERIALS)}


@dataclass(frozen=True)
class Style:
    """What a town looks like; test and far towns draw these from shifted ranges."""

    lane_width_m: float
    block_m: float
    curvature: float
    """0: straight streets, 1: strongly winding ones."""
    building_height_m: float
    building_rgb: tuple[tuple[float, float, float], ...]
    facade: Literal["brick", "plaster", "concrete"]
    tree_rgb: tuple[float, float, float]
    tree_density: float
    asphalt_rgb: tuple[float, float, float]
    paint_wear: float
    """0: fresh markings, 1: almost gone."""
    yellow_center_line: bool
    traffic_density: float
    pedestrian_density: float
    parked_density: float


@dataclass(frozen=True)
class Lane:
    """A lane, or a connector through an intersection; traffic drives along ``centerline``."""

    lane_id: int
    centerline: Float[ndarray, "n 3"]
    """x, y, yaw at most 1 m apart, in driving direction."""
    width_m: float
    speed_limit_mps: float
    successors: tuple[int, ...]
    predecessors: tuple[int, ...]
    left: int | None
    """The neighbouring lane in the same direction that one may change to."""
    right: int | None
    intersection: int | None
    """The intersection this connector crosses; None for a lane."""
    turn: Literal["straight", "left", "right"] = "straight"
    stop_line: int | None = None
    signal: int | None = None
    road: int | None = None

    @property
    def length_m(self) -> float:
        return float(np.sum(np.hypot(*np.diff(self.centerline[:, :2], axis=0).T)))


@dataclass(frozen=True)
class Divider:
    """A painted line between lanes or directions."""

    line: Float[ndarray, "n 2"]
    kind: Literal["lane", "road"]
    """lane: between lanes of one direction; road: between directions."""
    paint: Literal["dashed_white", "solid_white", "double_yellow", "solid_yellow", "none"]


@dataclass(frozen=True)
class StopLine:
    polygon: Float[ndarray, "n 2"]
    cue: Literal["TRAFFIC_LIGHT", "STOP_SIGN", "YIELD", "PED_CROSSING", "TURN_STOP"]


@dataclass(frozen=True)
class Crossing:
    polygon: Float[ndarray, "n 2"]
    axis: Float[ndarray, "2 2"]
    """From one kerb to the other, down the middle."""
    intersection: int | None


@dataclass(frozen=True)
class Signal:
    """A traffic light: green when (t + offset) mod cycle < green, then 3 s amber, then red."""

    position: Float[ndarray, "3"]
    facing_yaw_rad: float
    """Where its lamps look (towards the waiting drivers)."""
    cycle_s: float
    green_s: float
    offset_s: float

    def state(self, time_s: float) -> Literal["green", "amber", "red"]:
        phase = (time_s + self.offset_s) % self.cycle_s
        return "green" if phase < self.green_s else "amber" if phase < self.green_s + 3.0 else "red"


@dataclass(frozen=True)
class Prop:
    """Something static that is not annotated: a building, tree, pole, sign, lamp, kerb stone, bench, bus shelter."""

    kind: str
    pose: Float[ndarray, "4"]
    """x, y, z of the bottom centre, yaw."""
    size_lwh_m: tuple[float, float, float]
    rgb: tuple[float, float, float]
    variant: int
    """Seed of its details: window pattern, crown shape, sign face."""


@dataclass(frozen=True)
class Spot:
    """A place where a vehicle can stand: beside the kerb or in a parking lot."""

    x_m: float
    y_m: float
    yaw_rad: float
    length_m: float
    width_m: float
    kind: Literal["kerb", "lot", "bus_stop"]
    lane: int | None
    """The lane it lies beside."""


@dataclass(frozen=True)
class ConstructionZone:
    polygon: Float[ndarray, "n 2"]
    lane: int
    """The lane it closes or narrows."""
    start_m: float
    end_m: float


@dataclass(frozen=True)
class Town:
    """Everything that does not move. Polygons are open rings (the first point is not repeated), counter-clockwise."""

    name: str
    """Also the nuScenes ``location`` and map name."""
    split: Split
    seed: int
    style: Style
    bounds: tuple[float, float, float, float]
    """x_min, y_min, x_max, y_max"""
    lanes: tuple[Lane, ...]
    road_segments: tuple[Float[ndarray, "_n 2"], ...]
    """Carriageway polygons between intersections."""
    intersections: tuple[Float[ndarray, "_n 2"], ...]
    """Carriageway polygons of the intersections."""
    walkways: tuple[Float[ndarray, "_n 2"], ...]
    """Raised pavements, without the carriageway."""
    parking_lots: tuple[Float[ndarray, "_n 2"], ...]
    crossings: tuple[Crossing, ...]
    dividers: tuple[Divider, ...]
    stop_lines: tuple[StopLine, ...]
    signals: tuple[Signal, ...]
    props: tuple[Prop, ...]
    spots: tuple[Spot, ...]
    construction: tuple[ConstructionZone, ...]
    walk_paths: tuple[Float[ndarray, "_n 2"], ...]
    """Polylines on the pavements along which pedestrians walk; their ends meet other paths or crossing axes."""


@dataclass(frozen=True)
class Environment:
    """Light and weather of one Drive."""

    hour: float
    """Local solar time, 0 to 24; the sun's height follows from it."""
    cloud: float
    rain_mm_h: float
    wetness: float
    """0: dry, 1: standing water. Stays above 0 after rain."""
    fog_m: float
    """Meteorological visibility (contrast falls to 5 %); 20000 is clear."""
    ambient_c: float
    exposure: float
    """Multiplies the auto exposure, about 0.8 to 1.25."""
    lens_dirt: float
    """0: clean, 1: drops and smears over a third of the image."""

    @property
    def sun_elevation_rad(self) -> float:
        """Simple equinox sun at latitude 40°: 50° at noon, 0 at 6 and 18, below at night."""
        return float(np.arcsin(np.cos(np.deg2rad(40.0)) * -np.cos(np.pi * self.hour / 12.0)))

    @property
    def sun_azimuth_rad(self) -> float:
        """Counter-clockwise from east: the sun rises in the east, is south at noon, sets in the west."""
        return float(-np.pi * (self.hour - 6.0) / 12.0)

    @property
    def is_night(self) -> bool:
        return bool(self.sun_elevation_rad < np.deg2rad(-4.0))


@dataclass(frozen=True)
class Actor:
    """One annotated object through a Drive, static ones included (parked cars, cones, barriers, bicycle racks)."""

    actor_id: int
    category: str
    """A nuScenes category name, e.g. vehicle.car, human.pedestrian.adult, movable_object.trafficcone."""
    size_lwh_m: tuple[float, float, float]
    rgb: tuple[float, float, float]
    """Main colour: the body of a vehicle, the upper clothes of a person."""
    rgb2: tuple[float, float, float]
    """Second colour: trousers, a lorry's box, a bus's stripe."""
    variant: int
    """Seed of its details (body style, hair, bag, load)."""
    states: Float[ndarray, "t 5"]
    """x, y, z of the bottom centre, yaw, speed along the heading; every TICK_S, or one row when it never moves."""
    present: Bool[ndarray, "t"]
    """False before it enters and after it leaves the world; one element when it never moves."""
    braking: Bool[ndarray, "#t"] = field(default_factory=lambda: np.zeros(1, bool))
    indicator: ndarray = field(default_factory=lambda: np.zeros(1, np.int8))
    """-1 right, 0 off, 1 left, 2 hazard; int8 [t]."""
    rider: bool = False
    """Whether somebody sits on this bicycle or motorcycle."""
    standing: bool = False
    """A person who sits or lies is not standing; only the pose of the figure depends on it."""
    attachment: int | None = None
    """A trailer names the actor that pulls it."""
    role: str = "traffic"
    """traffic, parked, construction, pavement, crossing, or the event it plays in."""

    def at(self, time_s: float) -> tuple[Float[ndarray, "5"], bool]:
        """State interpolated at a time, and whether it is present then."""
        n = len(self.states)
        if n == 1:
            return self.states[0], bool(self.present[0])
        tick = np.clip(time_s / TICK_S, 0.0, n - 1.0)
        low = min(int(tick), n - 2)
        f = tick - low
        a, b = self.states[low], self.states[low + 1]
        turn = (b[3] - a[3] + np.pi) % (2 * np.pi) - np.pi
        state = a + f * (b - a)
        state[3] = a[3] + f * turn
        return state, bool(self.present[int(np.clip(round(tick), 0, n - 1))])


@dataclass(frozen=True)
class Event:
    """Something that happens in a Drive, scripted or not, with its time span: the truth behind captions and tags."""

    kind: str
    """cut_in, hard_brake, jaywalk, step_out, occluded_cyclist, run_red, door_side_cyclist, near_miss, overtake,
    turn_left, turn_right, wait, follow, crossing_pedestrian, yield_to_pedestrian, construction, parked_obstruction …"""
    start_s: float
    end_s: float
    actors: tuple[int, ...]
    """Actor ids; -1 is ego."""
    scripted: bool


@dataclass(frozen=True)
class Drive:
    """One recording: what moves in a Town, under one sky, while ego drives through it."""

    name: str
    town: Town
    seed: int
    environment: Environment
    duration_s: float
    ego: Float[ndarray, "t 5"]
    """x, y, z, yaw, speed of the rear axle on the ground; every TICK_S from -1 s (``EGO_LEAD_S``) to duration + 1 s."""
    ego_lane: ndarray
    """Lane id per row of ``ego``, int32 (-1 in a parking lot)."""
    actors: tuple[Actor, ...]
    events: tuple[Event, ...]


EGO_LEAD_S = 1.0


def ego_at(drive: Drive, time_s: float) -> Float[ndarray, "5"]:
    """Ego's state interpolated at a time, which may lie up to EGO_LEAD_S outside the Drive."""
    tick = np.clip((time_s + EGO_LEAD_S) / TICK_S, 0.0, len(drive.ego) - 1.0)
    low = min(int(tick), len(drive.ego) - 2)
    f = tick - low
    a, b = drive.ego[low], drive.ego[low + 1]
    state = a + f * (b - a)
    state[3] = a[3] + f * ((b[3] - a[3] + np.pi) % (2 * np.pi) - np.pi)
    return state
