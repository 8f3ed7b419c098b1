"""The vehicles that move: who drives them, where they are on their paths, and one step of their motion."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.synth.catalog import Look
from sceneminer.data.synth.scene import TICK_S
from sceneminer.data.synth.traffic_kernel import idm_free, idm_interaction, look_ahead, poses
from sceneminer.data.synth.traffic_net import RoadNet
from sceneminer.data.synth.traffic_path import STEP_M, Driver, Path

HARDEST_BRAKE = 8.0
"""What dry tyres give, in m/s²."""
FORESEE_S = 0.5
_LAG_S = 0.22
"""First-order lag from wish to acceleration: foot and brake."""
WAKE_M, SLEEP_M = 120.0, 150.0


@dataclass(frozen=True)
class Bodies:
    """Everything a driver could hit, as boxes: x, y, yaw, length, width, and velocity."""

    box: Float[ndarray, "m 5"]
    velocity: Float[ndarray, "m 2"]
    owner: ndarray
    """The vehicle a body belongs to, -1 for none; int64 [m]."""
    seen_by: ndarray
    """-1: everyone notices it, -2: nobody, -3: all but ego; int64 [m]."""


@dataclass
class Fleet:
    """State of all moving vehicles; ego is vehicle 0."""

    net: RoadNet
    category: list[str]
    looks: list[Look]
    drivers: list[Driver]
    paths: list[Path]
    xy: Float[ndarray, "n p 2"]
    counts: ndarray
    s: Float[ndarray, "n"]
    v: Float[ndarray, "n"]
    a: Float[ndarray, "n"]
    size: Float[ndarray, "n 3"]
    half_base: Float[ndarray, "n"]
    manner: Float[ndarray, "n 4"]
    active: ndarray
    asleep: ndarray
    role: list[str]
    rider: list[bool]
    tow: list[Look | None]
    """What a vehicle pulls."""
    gate: ndarray
    """Index of the next gate of each vehicle's path."""
    granted: ndarray
    halted_s: Float[ndarray, "n"]
    """Seconds stood at the line of the next gate."""
    held: list[dict[int, int]]
    """Connectors a vehicle may use now, by index of their gate in its path."""
    passed: list[set[tuple[str, int, int]]]
    """Squeezes begun and dwells done, by kind, index and start station."""
    lapse: list[tuple[float, float]]
    """A span of seconds in which a driver does not look ahead."""
    frozen: Float[ndarray, "n"]
    changing_until: Float[ndarray, "n"]
    changing_side: ndarray
    command: Float[ndarray, "n"]
    forced: dict[int, float] = field(default_factory=dict)
    """Accelerations that a script imposes."""
    changes: list[tuple[int, float, float, int]] = field(default_factory=list)
    """Lane changes so far: vehicle, start and end in seconds, side (1 left)."""
    leader: ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    gap: Float[ndarray, "n"] = field(default_factory=lambda: np.zeros(0))
    pose: Float[ndarray, "n 3"] = field(default_factory=lambda: np.zeros((0, 3)))

    @property
    def front(self) -> Float[ndarray, "n"]:
        return self.s + self.size[:, 0] / 2

    @property
    def rear(self) -> Float[ndarray, "n"]:
        return self.s - self.size[:, 0] / 2 - np.array([0.0 if t is None else t.size_lwh_m[0] + 0.8 for t in self.tow])

    def lane_now(self, i: int) -> int:
        path = self.paths[i]
        return int(path.lane[min(max(int(self.s[i] / STEP_M), 0), len(path.lane) - 1)])


@dataclass(frozen=True)
class Start:
    """A vehicle before the first step."""

    category: str
    look: Look
    driver: Driver
    path: Path
    s_m: float
    v_mps: float
    asleep: bool
    role: str = "traffic"
    rider: bool = False
    tow: Look | None = None
    lapse: tuple[float, float] = (1e9, 1e9)
    absent: bool = False
    """Appears only when a script says so."""


def make_fleet(net: RoadNet, starts: list[Start]) -> Fleet:
    """Vehicles at their starting places; the first of them is ego."""
    n = len(starts)
    longest = max(len(start.path.xy) for start in starts) + 200
    fleet = Fleet(
        net=net,
        category=[x.category for x in starts],
        looks=[x.look for x in starts],
        drivers=[x.driver for x in starts],
        paths=[x.path for x in starts],
        xy=np.zeros((n, longest, 2)),
        counts=np.zeros(n, np.int64),
        s=np.array([x.s_m for x in starts], float),
        v=np.array([x.v_mps for x in starts], float),
        a=np.zeros(n),
        size=np.array([x.look.size_lwh_m for x in starts]),
        half_base=np.array([0.31 * x.look.size_lwh_m[0] for x in starts]),
        manner=np.array(
            [[d.headway_s, d.accel_mps2, d.brake_mps2, d.standstill_m] for d in (x.driver for x in starts)]
        ),
        active=np.array([not (x.asleep or x.absent) for x in starts]),
        asleep=np.array([x.asleep for x in starts]),
        role=[x.role for x in starts],
        rider=[x.rider for x in starts],
        tow=[x.tow for x in starts],
        gate=np.zeros(n, np.int64),
        granted=np.zeros(n, bool),
        halted_s=np.zeros(n),
        held=[{} for _ in starts],
        passed=[set() for _ in starts],
        lapse=[x.lapse for x in starts],
        frozen=np.zeros(n),
        changing_until=np.full(n, -1e9),
        changing_side=np.zeros(n, np.int8),
        command=np.zeros(n),
        leader=np.full(n, -1, np.int64),
        gap=np.full(n, 1e9),
    )
    for i in range(n):
        set_path(fleet, i, starts[i].path)
        while fleet.gate[i] < len(starts[i].path.gates) and starts[i].path.gates[fleet.gate[i]].end_m < fleet.s[i]:
            fleet.gate[i] += 1
    fleet.pose = current_poses(fleet)
    return fleet


def set_path(fleet: Fleet, i: int, path: Path) -> None:
    """Give a vehicle a path; its station stays what it was."""
    count = min(len(path.xy), fleet.xy.shape[1])
    fleet.paths[i] = path
    fleet.xy[i, :count] = path.xy[:count]
    fleet.counts[i] = count


def current_poses(fleet: Fleet) -> Float[ndarray, "n 3"]:
    """x, y and yaw of every vehicle's middle."""
    return poses(fleet.xy, fleet.counts, fleet.s, fleet.half_base, STEP_M)


def tow_poses(fleet: Fleet) -> Float[ndarray, "n 3"]:
    """x, y and yaw of what each vehicle pulls; NaN where it pulls nothing."""
    out = np.full((len(fleet.s), 3), np.nan)
    rows = [i for i, tow in enumerate(fleet.tow) if tow is not None]
    if rows:
        length = np.array([_tow_length(fleet, i) for i in rows])
        back = fleet.s[rows] - fleet.size[rows, 0] / 2 - 0.6 - length / 2
        out[rows] = poses(fleet.xy[rows], fleet.counts[rows], back, 0.36 * length, STEP_M)
    return out


def _tow_length(fleet: Fleet, i: int) -> float:
    tow = fleet.tow[i]
    assert tow is not None
    return tow.size_lwh_m[0]


def fleet_bodies(fleet: Fleet) -> Bodies:
    """Boxes of the vehicles on the road and of what they pull."""
    rows = np.flatnonzero(fleet.active)
    pose = fleet.pose[rows]
    box = np.concatenate([pose, fleet.size[rows, :2]], -1)
    velocity = fleet.v[rows, None] * np.stack([np.cos(pose[:, 2]), np.sin(pose[:, 2])], -1)
    towing = [i for i in rows.tolist() if fleet.tow[i] is not None]
    if towing:
        tail = tow_poses(fleet)[towing]
        sizes = np.array([fleet.tow[i].size_lwh_m[:2] for i in towing])  # type: ignore[union-attr]
        box = np.concatenate([box, np.concatenate([tail, sizes], -1)])
        heading = np.stack([np.cos(tail[:, 2]), np.sin(tail[:, 2])], -1)
        velocity = np.concatenate([velocity, fleet.v[towing, None] * heading])
        rows = np.concatenate([rows, towing])
    return Bodies(box, velocity, rows.astype(np.int64), np.full(len(rows), -1, np.int64))


def plan_step(fleet: Fleet, bodies: Bodies, stop_m: Float[ndarray, "n"], time_s: float) -> None:
    """Decide accelerations: the wanted speed, whoever is in the way, and lines to stop at (stations of the front)."""
    braking, who, gap, lead_v = look_ahead(
        fleet.xy,
        fleet.counts,
        fleet.s,
        fleet.v,
        fleet.size[:, :2],
        fleet.manner,
        fleet.active,
        bodies.owner,
        bodies.box,
        bodies.velocity,
        bodies.seen_by,
        STEP_M,
    )
    fleet.leader, fleet.gap = np.where(who >= 0, bodies.owner[who], -1), np.where(who >= 0, gap, 1e9)
    front = fleet.front
    for i in np.flatnonzero(fleet.active).tolist():
        v, driver = float(fleet.v[i]), fleet.drivers[i]
        need = max(0.0, v * v - lead_v[i] ** 2) / (2 * max(gap[i] - 0.6, 0.1)) if who[i] >= 0 else 0.0
        ahead = _attend(fleet, i, float(braking[i]), need, time_s)
        cap = fleet.paths[i].cap_mps
        v0 = float(cap[min(max(int((fleet.s[i] + FORESEE_S * v) / STEP_M), 0), len(cap) - 1)])
        accel = idm_free(v, v0, driver.accel_mps2) + ahead
        if stop_m[i] < 1e8:
            room = max(stop_m[i] - front[i] + 0.3, 0.05)
            line = idm_interaction(v, 0.0, room, 0.7 * driver.headway_s, driver.accel_mps2, driver.brake_mps2, 0.3)
            accel = min(accel, idm_free(v, v0, driver.accel_mps2) + line)
        accel = max(accel, -max(3.0, 1.4 * need + 0.8)) if stop_m[i] >= 1e8 else accel  # as hard as need be
        accel = fleet.forced.get(i, accel)
        fleet.command[i] = float(np.clip(accel, -HARDEST_BRAKE, driver.accel_mps2 + 0.5))


def _attend(fleet: Fleet, i: int, braking: float, need: float, time_s: float) -> float:
    """Braking for what is ahead, unless the driver's attention has lapsed; real danger ends a lapse."""
    begin, end = fleet.lapse[i]
    if begin <= time_s < end:
        if need > 5.0 or braking > -0.2:
            fleet.lapse[i] = (1e9, 1e9)
            return braking
        return float(max(braking, fleet.frozen[i]))
    fleet.frozen[i] = max(braking, -0.5)
    return braking


def move(fleet: Fleet) -> None:
    """Advance by one tick at the decided accelerations."""
    on = fleet.active
    lag = np.where(fleet.command < -4.0, 0.12, _LAG_S)
    fleet.a = np.where(on, fleet.a + (fleet.command - fleet.a) * min(1.0, TICK_S) / lag, 0.0)
    v = np.maximum(fleet.v + fleet.a * TICK_S, 0.0)
    fleet.s = np.where(on, fleet.s + 0.5 * (fleet.v + v) * TICK_S, fleet.s)
    fleet.a = np.where((v <= 0.0) & (fleet.a < 0), 0.0, fleet.a)
    fleet.v = np.where(on, v, fleet.v)
    fleet.pose = current_poses(fleet)


def wake_and_leave(fleet: Fleet, parked: Float[ndarray, "k 2"]) -> None:
    """Vehicles appear far from ego where there is room, and leave where their path ends or ego is far away."""
    ego = fleet.pose[0, :2]
    far = np.hypot(*(fleet.pose[:, :2] - ego).T)
    ended = fleet.s > (fleet.counts - 1) * STEP_M - fleet.size[:, 0] / 2 - 4.0
    for i in np.flatnonzero(fleet.active & (ended | (far > SLEEP_M))).tolist():
        if i > 0:
            fleet.active[i] = False
            fleet.held[i].clear()
    for i in np.flatnonzero(fleet.asleep & (far < WAKE_M)).tolist():
        fleet.asleep[i] = False
        others = fleet.pose[fleet.active, :2]
        clear = np.hypot(*(others - fleet.pose[i, :2]).T).min(initial=1e9) > 22.0
        room = np.hypot(*(parked - fleet.pose[i, :2]).T).min(initial=1e9) > 1.5
        fleet.active[i] = bool(clear and room and far[i] > 60.0)
