"""What an actor is doing at one time."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.synth.scene import KERB_M, TICK_S, Actor, Drive
from sceneminer.geometry.pose import wrap_angle

_ON_CROSSING_M = 0.7
_CLEAR_OF_CROSSING_M = 2.0


def states_of(drive: Drive, actor: Actor, time_s: float, ego: Float[ndarray, "5"]) -> tuple[str, ...]:
    """Words for it, e.g. parked, waiting, braking, turning, oncoming, crosswalk, jaywalking."""
    state, _ = actor.at(time_s)
    if actor.category.startswith("human.pedestrian"):
        return _person(drive, actor, state, time_s)
    if actor.category in ("vehicle.bicycle", "vehicle.motorcycle"):
        return ("riding",) if actor.rider and abs(state[4]) > 0.5 else () if actor.rider else ("parked",)
    if actor.category.startswith("vehicle."):
        words = _vehicle(actor, state, time_s, ego)
        in_lot = any(inside(state[None, :2], lot)[0] for lot in drive.town.parking_lots) if "parked" in words else True
        return words if in_lot else (*words, "kerb")
    return ()


def _vehicle(actor: Actor, state: Float[ndarray, "5"], time_s: float, ego: Float[ndarray, "5"]) -> tuple[str, ...]:
    if len(actor.states) == 1:
        return {"parked": ("parked",), "parked_obstruction": ("double-parked",)}.get(actor.role, ())
    tick = int(np.clip(round(time_s / TICK_S), 0, len(actor.states) - 1))
    moving = abs(state[4]) > 0.7
    words = ["moving"] if moving else ["waiting"] if abs(state[4]) < 0.2 else []
    if moving and actor.braking[min(tick, len(actor.braking) - 1)] and np.cos(state[3] - ego[3]) > 0.6:
        words.append("braking")
    past, later = actor.at(time_s - 0.5)[0], actor.at(time_s + 0.5)[0]
    if moving and abs(float(wrap_angle(later[3] - past[3]))) > 0.17:
        words.append("turning")
    dx, dy = state[:2] - ego[:2]
    ahead = np.cos(ego[3]) * dx + np.sin(ego[3]) * dy
    left = -np.sin(ego[3]) * dx + np.cos(ego[3]) * dy
    along = np.cos(state[3] - ego[3])
    if moving and along < -0.8 and ahead > 4.0 and abs(left) < 12.0:
        words.append("oncoming")
    if along > 0.9 and 3.0 < ahead < 30.0 and abs(left) < 1.6:
        words.append("leading")
    return tuple(words)


def _person(drive: Drive, actor: Actor, state: Float[ndarray, "5"], time_s: float) -> tuple[str, ...]:
    moving = abs(state[4]) > 0.3
    if actor.category.endswith(("construction_worker", "police_officer")):
        return ("walking",) if moving else ("standing",) if actor.standing else ()
    if actor.category.endswith("personal_mobility"):
        return ("riding",) if moving else ()
    if len(actor.states) > 1 and state[2] < 0.5 * KERB_M:
        gap = min((_distance(state[:2], c.polygon) for c in drive.town.crossings), default=np.inf)
        if gap < _ON_CROSSING_M:
            return ("crossing", "crosswalk")
        if gap > _CLEAR_OF_CROSSING_M and moving:
            return ("crossing", "jaywalking")
        return ("crossing",) if moving else ()
    if state[2] > 0.5 * KERB_M:
        posture = "walking" if moving else "standing" if actor.standing else "sitting"
        return (posture, "pavement")
    return ()


def inside(xy: Float[ndarray, "n 2"], ring: Float[ndarray, "p 2"]) -> ndarray:
    """Which points lie within a polygon: an odd number of its edges lies to their right."""
    found = np.all((xy >= ring.min(0)) & (xy <= ring.max(0)), 1)
    if not found.any():
        return found
    found[found] = _odd(xy[found], ring)
    return found


def _odd(xy: Float[ndarray, "n 2"], ring: Float[ndarray, "p 2"]) -> ndarray:
    a, b = ring, np.concatenate([ring[1:], ring[:1]])
    y = xy[:, 1:2]
    spans = (a[None, :, 1] > y) != (b[None, :, 1] > y)
    rise = np.where(b[:, 1] == a[:, 1], 1.0, b[:, 1] - a[:, 1])
    crossing = a[:, 0] + (y - a[:, 1]) * (b[:, 0] - a[:, 0]) / rise
    return np.sum(spans & (xy[:, 0:1] < crossing), 1) % 2 == 1


def _distance(xy: Float[ndarray, "2"], ring: Float[ndarray, "p 2"]) -> float:
    """From a point to a polygon, 0 within."""
    if np.abs(ring - xy).max(1).min() > 40.0:
        return np.inf
    if inside(xy[None], ring)[0]:
        return 0.0
    a, way = ring, np.roll(ring, -1, 0) - ring
    along = np.clip(np.sum((xy - a) * way, 1) / np.maximum(np.sum(way**2, 1), 1e-9), 0.0, 1.0)
    return float(np.min(np.hypot(*(a + along[:, None] * way - xy).T)))
