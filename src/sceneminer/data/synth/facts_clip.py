"""What a clip shows over all cameras: who is near and in sight, how ego moves, and what happens."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.synth.facts import SceneFacts, Sight, count_words, spoken_kind, street_words, wider
from sceneminer.data.synth.facts_look import colors_of
from sceneminer.data.synth.facts_place import sky_of
from sceneminer.data.synth.facts_state import inside, states_of
from sceneminer.data.synth.scene import Actor, Drive, ego_at
from sceneminer.geometry.box import footprint

NEAR_M = 32.0
_BINS = 720
_SHARE_SEEN = 0.4
"""Of an object's angle as seen from ego; with less of it free, others hide it."""
_EGO_EVENTS = {
    "turn_left": "turning left",
    "turn_right": "turning right",
    "wait": "waiting",
    "lane_change": "changing lanes",
}
_LEAST_EVENT_S = 0.6


def clip_facts(drive: Drive, start_s: float, end_s: float) -> SceneFacts:
    """What is seen around ego between two times: objects near and not hidden at some moment of it."""
    times = np.linspace(start_s, end_s, max(2, round(end_s - start_s) + 1))
    best: dict[int, Sight] = {}
    for time_s in times.tolist():
        for sight in _around(drive, time_s):
            if sight.actor_id not in best or sight.share > best[sight.actor_id].share:
                best[sight.actor_id] = sight
    sights = tuple(sorted(best.values(), key=lambda s: (-s.share, s.actor_id)))
    counts = count_words(sights, _near_counts(drive, times))
    places = (*_places(drive, times), *street_words(sights, counts, dense=8))
    if sum(s.kind in ("cone", "barrier", "machine", "worker") for s in sights) >= 4:
        places = (*places, "construction zone")
    events = _events(drive, start_s, end_s, {a.actor_id: a for a in drive.actors})
    return SceneFacts(sights, counts, sky_of(drive.environment), places, _ego(drive, start_s, end_s, times), events)


def _around(drive: Drive, time_s: float) -> list[Sight]:
    """Actors near ego, nearest first, while things in front of them leave enough to see."""
    ego = ego_at(drive, time_s)
    dark, fog_m = drive.environment.is_night, drive.environment.fog_m
    reach = min(NEAR_M * (0.7 if dark else 1.0), 0.4 * fog_m)
    rows: list[tuple[float, Actor | None, ndarray]] = []
    for actor in drive.actors:
        state, present = actor.at(time_s)
        gap = float(np.hypot(*(state[:2] - ego[:2])))
        if present and gap < reach + 6.0:
            corners = footprint(state[:2], np.array(state[3]), np.array(actor.size_lwh_m[:2]))
            rows.append((gap, actor, corners))
    for prop in drive.town.props:
        gap = float(np.hypot(prop.pose[0] - ego[0], prop.pose[1] - ego[1]))
        if prop.kind == "building" and gap < reach + 20.0:
            corners = footprint(prop.pose[:2], np.array(prop.pose[3]), np.array(prop.size_lwh_m[:2]))
            rows.append((float(np.hypot(*(corners - ego[:2]).T).min()), None, corners))
    rows.sort(key=lambda row: row[0])
    free = np.ones(_BINS, bool)
    found = []
    for gap, actor, corners in rows:
        bins = _bins(corners - ego[:2], float(ego[3]))
        seen = float(free[bins].mean())
        if actor is None or (actor.size_lwh_m[2] > 1.35 and actor.category.startswith(("vehicle", "movable"))):
            free[bins] = False
        if actor is not None and gap < reach and seen > _SHARE_SEEN:
            sight = _sight(drive, actor, time_s, ego, gap, dark=dark)
            found += [sight] if sight is not None else []
    return found


def _bins(offset: Float[ndarray, "4 2"], yaw: float) -> ndarray:
    angle = np.unwrap(np.arctan2(offset[:, 1], offset[:, 0]) - yaw)
    low, high = np.floor(angle.min() / (2 * np.pi) * _BINS), np.ceil(angle.max() / (2 * np.pi) * _BINS)
    return np.arange(int(low), int(high) + 1) % _BINS


def _sight(
    drive: Drive, actor: Actor, time_s: float, ego: Float[ndarray, "5"], gap_m: float, *, dark: bool
) -> Sight | None:
    kind = spoken_kind(actor)
    length, width, height = actor.size_lwh_m
    size = max(width, 0.5 * length) * height / max(gap_m, 2.0) ** 2
    if not kind or size < 0.0015 or (attached(actor) and kind.endswith("bus")):
        return None
    state, _ = actor.at(time_s)
    dx, dy = state[:2] - ego[:2]
    ahead, left = np.cos(ego[3]) * dx + np.sin(ego[3]) * dy, -np.sin(ego[3]) * dx + np.cos(ego[3]) * dy
    angle = np.arctan2(left, ahead)
    side = "ahead" if abs(angle) < 0.3 else "left" if 0.5 < angle < 2.4 else "right" if -2.4 < angle < -0.5 else ""
    side = side or ("behind" if abs(angle) > 2.7 else "")
    looks = () if dark else colors_of(actor, kind)
    share = float(min(size * 0.2, 0.5))
    return Sight(kind, looks, states_of(drive, actor, time_s, ego), side, share, gap_m, actor.actor_id)


def attached(actor: Actor) -> bool:
    return actor.attachment is not None


def _near_counts(drive: Drive, times: ndarray) -> dict[str, int]:
    """Actors that come within reach at all, hidden or not, by kind."""
    counts: dict[str, int] = {}
    ego = np.stack([ego_at(drive, t)[:2] for t in times.tolist()])
    for actor in drive.actors:
        kind = spoken_kind(actor)
        if not kind or (attached(actor) and kind.endswith("bus")):
            continue
        gaps = [
            np.hypot(*(actor.at(t)[0][:2] - e)) if actor.at(t)[1] else np.inf for t, e in zip(times, ego, strict=True)
        ]
        if min(gaps) < 1.6 * NEAR_M:
            for name in (kind, *wider(kind)):
                counts[name] = counts.get(name, 0) + 1
    return counts


def _ego(drive: Drive, start_s: float, end_s: float, times: ndarray) -> tuple[str, ...]:
    words = [
        word
        for kind, word in _EGO_EVENTS.items()
        if any(e.kind == kind and _overlap(e.start_s, e.end_s, start_s, end_s) >= 0.8 for e in drive.events)
    ]
    speed = np.array([abs(ego_at(drive, t)[4]) for t in np.arange(start_s, end_s, 0.25)])
    if speed.min() > 12.5:
        words.append("driving fast")
    if not words and speed.min() > 1.0:
        words.append("driving on" if speed.mean() > 4.0 else "driving slowly")
    lanes = {lane.lane_id: lane for lane in drive.town.lanes}
    if "waiting" in words:
        tick = round((0.5 * (start_s + end_s) + 1.0) / 0.05)
        lane = lanes.get(int(drive.ego_lane[min(tick, len(drive.ego_lane) - 1)]))
        if lane is not None and lane.signal is not None:
            gap = float(np.hypot(*(lane.centerline[-1, :2] - ego_at(drive, end_s)[:2])))
            red = all(drive.town.signals[lane.signal].state(float(t)) == "red" for t in times)
            if red and gap < 12.0:
                words.append("waiting at a red light")
    return tuple(words)


def _overlap(a: float, b: float, c: float, d: float) -> float:
    return min(b, d) - max(a, c)


_TOLD_EVENTS = frozenset(
    {
        "cut_in",
        "hard_brake",
        "jaywalk",
        "step_out",
        "occluded_cyclist",
        "run_red",
        "oncoming_left_turn",
        "door_side_cyclist",
        "near_miss",
        "overtake",
        "follow",
        "crossing_pedestrian",
        "yield_to_pedestrian",
        "parked_obstruction",
    }
)


def _events(drive: Drive, start_s: float, end_s: float, actors: dict[int, Actor]) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for event in drive.events:
        others = [spoken_kind(actors[i]) for i in event.actors if i in actors]
        least = min(_LEAST_EVENT_S, 0.5 * (event.end_s - event.start_s))
        together = _overlap(event.start_s, event.end_s, start_s, end_s)
        if event.kind in _TOLD_EVENTS and others and others[0] and together >= least:
            found.append((event.kind, others[0]))
    return tuple(dict.fromkeys(found))


def _places(drive: Drive, times: ndarray) -> tuple[str, ...]:
    ego = np.stack([ego_at(drive, t) for t in times.tolist()])
    front = ego[:, :2] + 8.0 * np.stack([np.cos(ego[:, 3]), np.sin(ego[:, 3])], -1)
    town = drive.town
    words: list[str] = []
    if any(inside(np.concatenate([ego[:, :2], front]), ring).any() for ring in town.intersections):
        words.append("intersection")

    def near(xy: ndarray, reach_m: float) -> bool:
        return bool(np.min(np.hypot(*(ego[:, None, :2] - xy[None]).transpose(2, 0, 1))) < reach_m)

    if any(near(c.polygon, 14.0) for c in town.crossings):
        words.append("zebra crossing")
    if any(near(lot, 18.0) for lot in town.parking_lots):
        words.append("parking lot")
    if any(near(np.array([p.pose[:2]]), 18.0) for p in town.props if p.kind == "bus_shelter"):
        words.append("bus stop")
    if sum(near(np.array([p.pose[:2]]), 22.0) for p in town.props if p.kind == "tree") >= 6:
        words.append("trees")
    tall = [p for p in town.props if p.kind == "building" and p.size_lwh_m[2] > 20.0]
    if sum(near(np.array([p.pose[:2]]), 40.0) for p in tall) >= 2:
        words.append("tall buildings")
    lanes = {lane.lane_id: lane for lane in town.lanes}
    ticks = np.clip(np.round((times + 1.0) / 0.05).astype(int), 0, len(drive.ego_lane) - 1)
    driven = [lanes[i] for i in dict.fromkeys(drive.ego_lane[ticks].tolist()) if i in lanes]
    if driven and all(lane.left is not None or lane.right is not None for lane in driven):
        words.append("multi-lane road")
    if driven and all(lane.left is None and lane.right is None and lane.intersection is None for lane in driven):
        words.append("narrow street")
    return tuple(words)
