"""What happened in a Drive: spans of time read off the motion, by plain geometry, and the event that was staged."""

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from sceneminer.data.synth.scene import EGO_LEAD_S, TICK_S, Event
from sceneminer.data.synth.traffic_act import Act
from sceneminer.data.synth.traffic_net import to_lane
from sceneminer.data.synth.traffic_record import Cast, Recording
from sceneminer.data.synth.traffic_world import World

EGO = -1
DETOUR_S = 3.0
"""How long it takes to move over and to move back where something stands in one's lane."""


def spans(mask: Bool[ndarray, "t"], *, least_s: float = 0.0, join_s: float = 0.5) -> list[tuple[float, float]]:
    """Start and end in seconds of the stretches where a mask at TICK_S holds, short breaks bridged."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    found: list[tuple[float, float]] = []
    for a, b in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        start, end = a * TICK_S, (b - 1) * TICK_S
        if found and start - found[-1][1] <= join_s:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return [(a, b) for a, b in found if b - a >= least_s]


def ordinary_events(world: World, recording: Recording, cast: Cast) -> list[Event]:
    """Everything noteworthy that nobody staged."""
    skip = round(EGO_LEAD_S / TICK_S)
    cut = slice(skip, len(recording.pose) - skip)
    seen = _Seen(world, recording, cast, cut)
    return [
        *seen.turns(),
        *seen.waits(),
        *seen.follows(),
        *seen.lane_changes(),
        *seen.overtakes(),
        *seen.people_crossing(),
        *seen.obstacles(),
        *seen.places(),
    ]


class _Seen:
    """The recorded part of a Drive, relative to ego."""

    def __init__(self, world: World, recording: Recording, cast: Cast, cut: slice) -> None:
        self.world, self.cast, self.cut = world, cast, cut
        self.recording = recording
        self.pose, self.speed = recording.pose[cut], recording.speed[cut]
        self.ego, self.v = self.pose[:, 0], self.speed[:, 0]
        self.lane, self.active = recording.ego_lane[cut], recording.active[cut]

    def relative(self, xy: Float[ndarray, "t 2"]) -> tuple[Float[ndarray, "t"], Float[ndarray, "t"]]:
        """Ahead of and left of the middle of ego, per tick."""
        delta = xy - self.ego[:, :2]
        c, s = np.cos(self.ego[:, 2]), np.sin(self.ego[:, 2])
        return delta[:, 0] * c + delta[:, 1] * s, -delta[:, 0] * s + delta[:, 1] * c

    def turns(self) -> list[Event]:
        lanes = self.world.net.lanes
        found = []
        for side in ("left", "right"):
            turning = {k for k, lane in lanes.items() if lane.turn == side and lane.intersection is not None}
            mask = np.isin(self.lane, list(turning))
            found += [Event(f"turn_{side}", a, b, (EGO,), False) for a, b in spans(mask, least_s=0.5)]
        return found

    def waits(self) -> list[Event]:
        return [Event("wait", a, b, (EGO,), False) for a, b in spans(self.v < 0.3, least_s=2.0)]

    def follows(self) -> list[Event]:
        leader = self.recording.leader[self.cut, 0]
        found = []
        for i in np.unique(leader[leader > 0]).tolist():
            gap = np.hypot(*(self.pose[:, i, :2] - self.ego[:, :2]).T)
            mask = (leader == i) & (self.v > 3.0) & (gap < 35.0) & (np.cos(self.pose[:, i, 2] - self.ego[:, 2]) > 0.8)
            if i in self.cast.vehicle:
                who = (EGO, self.cast.vehicle[i])
                found += [Event("follow", a, b, who, False) for a, b in spans(mask, least_s=2.0)]
        return found

    def lane_changes(self) -> list[Event]:
        """Ego moves over to the next lane, for good or to get past what blocks its own."""
        end_s = (len(self.v) - 1) * TICK_S
        changes = [(a, b) for i, a, b, _ in self.world.fleet.changes if i == 0]
        for a, b in spans(self._beside_own_lane(), least_s=0.5):
            if not any(c - 0.5 < b and d + 0.5 > a for c, d in changes):
                changes += [(t - DETOUR_S / 2, t + DETOUR_S / 2) for t in (a, b) if 0.0 < t < end_s]
        return [
            Event("lane_change", max(a, 0.0), min(b, end_s), (EGO,), False)
            for a, b in sorted(changes)
            if b > 0.5 and a < end_s - 0.5
        ]

    def _beside_own_lane(self) -> Bool[ndarray, "t"]:
        """Whether the middle of ego is in the lane beside the one that its path follows."""
        net, out = self.world.net, np.zeros(len(self.v), bool)
        for lane_id in np.unique(self.lane).tolist():
            lane, here = net.lanes[lane_id], self.lane == lane_id
            aside = to_lane(net, lane_id, self.ego[here, :2])[1]
            left, right = lane.left is not None, lane.right is not None
            out[here] = ((aside > lane.width_m / 2) & left) | ((aside < -lane.width_m / 2) & right)
        return out

    def overtakes(self) -> list[Event]:
        found = []
        for i, actor_id in self.cast.vehicle.items():
            if i < 1:
                continue
            ahead, left = self.relative(self.pose[:, i, :2])
            beside = self.active[:, i] & (np.abs(left) < 4.6) & (np.cos(self.pose[:, i, 2] - self.ego[:, 2]) > 0.9)
            passing = beside & (np.abs(ahead) < 8.0) & (self.v > self.speed[:, i] + 0.3) & (self.speed[:, i] > 1.5)
            for a, b in spans(passing, least_s=0.6):
                if ahead[round(a / TICK_S)] > 2.0 and ahead[round(b / TICK_S)] < -2.0:
                    found.append(Event("overtake", a, b, (EGO, actor_id), False))
        return found

    def people_crossing(self) -> list[Event]:
        """People on crossings ahead, ego giving way to them, and people on the road away from crossings."""
        found = []
        for k, actor_id in self.cast.person.items():
            start = self.world.people.starts[k]
            if start.cued or start.rider:
                continue
            foot = self.recording.foot[self.cut, k]
            ahead, left = self.relative(foot[:, :2])
            near = self.recording.on_road[self.cut, k] & (ahead > -1.0) & (ahead < 32.0) & (np.abs(left) < 14.0)
            kind = "jaywalk" if start.role == "jaywalk_safe" else "crossing_pedestrian"
            for a, b in spans(near, least_s=0.5):
                found.append(Event(kind, a, b, (actor_id,), False))
                giving = near & (ahead < 16.0) & (np.abs(left) < 7.0) & (self.v < 2.5)
                giving[: round(a / TICK_S)] = False
                giving[round(b / TICK_S) + 1 :] = False
                for c, d in spans(giving, least_s=0.8):
                    found.append(Event("yield_to_pedestrian", c, d, (EGO, actor_id), False))
        return found

    def obstacles(self) -> list[Event]:
        """Vehicles that stand in ego's lane ahead, and works beside it."""
        found = []
        for k, item in enumerate(self.world.ground.items):
            if item.role == "parked_obstruction" and k in self.cast.thing:
                ahead, left = self.relative(np.broadcast_to(np.array(item.pose[:2]), self.ego[:, :2].shape))
                mask = (ahead > -3.0) & (ahead < 28.0) & (np.abs(left) < 4.0)
                found += [Event("parked_obstruction", a, b, (self.cast.thing[k],), False) for a, b in spans(mask)]
        for zone in self.world.net.town.construction:
            gap = np.min(np.hypot(*(self.ego[:, None, :2] - zone.polygon[None]).transpose(2, 0, 1)), axis=1)
            found += [Event("construction", a, b, (), False) for a, b in spans(gap < 22.0, least_s=0.5)]
        return found

    def places(self) -> list[Event]:
        """Parking lots that ego drives through or past, and bus stops."""
        found = []
        town = self.world.net.town
        for lot in town.parking_lots:
            gap = np.min(np.hypot(*(self.ego[:, None, :2] - lot[None]).transpose(2, 0, 1)), axis=1)
            found += [Event("parking_lot", a, b, (), False) for a, b in spans(gap < 12.0, least_s=0.5)]
        for spot in town.spots:
            if spot.kind == "bus_stop":
                gap = np.hypot(*(self.ego[:, :2] - (spot.x_m, spot.y_m)).T)
                found += [Event("bus_stop", a, b, (), False) for a, b in spans(gap < 14.0, least_s=0.5)]
        return found


def staged_event(act: Act, world: World, recording: Recording, cast: Cast) -> Event | None:
    """The event that a script staged, from its cue until its danger is over; None where it did not come about."""
    end_s = (len(recording.pose) - 1) * TICK_S - 2 * EGO_LEAD_S
    if act.cued_s is None or not 0.0 < act.cued_s < end_s - 1.0:
        return None
    group, index = act.player(world)
    actor_id = (cast.person if group == "person" else cast.vehicle).get(index)
    if actor_id is None:
        return None
    until_s = min(act.cued_s + max(8.0, act.script.blind_s + 3.0), end_s)
    rows = slice(round((act.cued_s + EGO_LEAD_S) / TICK_S), round((until_s + EGO_LEAD_S) / TICK_S))
    where = recording.foot[rows, index, :2] if group == "person" else recording.pose[rows, index, :2]
    if group == "vehicle" and not recording.active[rows, index].any():
        return None
    gap = np.hypot(*(where - recording.pose[rows, 0, :2]).T)
    closest = int(np.argmin(gap))
    if gap[closest] > (14.0 if act.script.kind in ("hard_brake", "cut_in") else 10.0):
        return None
    end = min(act.cued_s + closest * TICK_S + 1.5, end_s)
    return Event(act.script.kind, act.cued_s, max(end, act.cued_s + 1.0), (actor_id, EGO), True)
