"""Responsibility-sensitive safety: how far a pair is inside the distances that it asks for.

Source: Shalev-Shwartz, Shammah and Shashua, "On a Formal Model of Safe and Scalable Self-driving Cars", arXiv
1708.06374: safe longitudinal distance in the same direction (definition 1) and in opposite ones (definition 2), safe
lateral distance (definition 6); dangerous is a pair for which both are unsafe. The paper leaves the constants open.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.labels.bodies import Bodies, reach


@dataclass(frozen=True)
class RssParameters:
    """The constants of the model: the starting values of Intel's ad-rss-lib (its appendix "Parameter Discussion")."""

    ego_response_s: float = 1.0
    other_response_s: float = 2.0
    accel_max_mps2: float = 3.5
    brake_max_mps2: float = 8.0
    brake_min_mps2: float = 4.0
    brake_min_correct_mps2: float = 3.0
    """Of who is in the right lane when another comes towards it."""
    lateral_accel_max_mps2: float = 0.2
    lateral_brake_min_mps2: float = 0.8
    lateral_margin_m: float = 0.1


DEFAULT_RSS = RssParameters()


def same_direction_m(
    rear_mps: Float[ndarray, "*b"], front_mps: Float[ndarray, "*b"], *, response_s: float, parameters: RssParameters
) -> Float[ndarray, "*b"]:
    """Safe distance behind one that drives the same way (definition 1); speeds are not negative."""
    faster = rear_mps + response_s * parameters.accel_max_mps2
    reacting = 0.5 * (rear_mps + faster) * response_s
    braking = faster**2 / (2.0 * parameters.brake_min_mps2) - front_mps**2 / (2.0 * parameters.brake_max_mps2)
    return np.maximum(reacting + braking, 0.0)


def opposite_m(
    ego_mps: Float[ndarray, "*b"], other_mps: Float[ndarray, "*b"], *, parameters: RssParameters
) -> Float[ndarray, "*b"]:
    """Safe distance between two that drive towards each other (definition 2), ego in its own lane."""
    p = parameters
    total = np.zeros_like(ego_mps)
    for speed, response_s, brake in (
        (ego_mps, p.ego_response_s, p.brake_min_correct_mps2),
        (other_mps, p.other_response_s, p.brake_min_mps2),
    ):
        faster = speed + response_s * p.accel_max_mps2
        total = total + 0.5 * (speed + faster) * response_s + faster**2 / (2.0 * brake)
    return total


def lateral_m(
    ego_mps: Float[ndarray, "*b"], other_mps: Float[ndarray, "*b"], *, parameters: RssParameters
) -> Float[ndarray, "*b"]:
    """Safe distance sideways (definition 6), from the speed of each towards the other; negative: away from it.

    Who still moves away after the response time brakes to a stop away from the other: the definition's words, of
    which the paper's formula covers only the case that both come closer.
    """
    p = parameters
    total = np.zeros_like(ego_mps)
    for speed, response_s in ((ego_mps, p.ego_response_s), (other_mps, p.other_response_s)):
        faster = speed + response_s * p.lateral_accel_max_mps2
        total = total + 0.5 * (speed + faster) * response_s
        total = total + faster * np.abs(faster) / (2.0 * p.lateral_brake_min_mps2)
    return p.lateral_margin_m + np.maximum(total, 0.0)


def rss_violation(
    ego: Bodies, agent: Bodies, *, curve_from_mps: float, parameters: RssParameters = DEFAULT_RSS
) -> Float[ndarray, "*b"]:
    """By which share the safe distance is fallen short of, lengthwise or sideways, whichever is less; 0: safe.

    The lane is the arc that ego drives (straight on below ``curve_from_mps``), in which ego itself has no lateral
    speed; distances are between the rectangles, along that arc and across it. Whoever is behind owes the distance:
    an agent that follows ego too closely counts as much.
    """
    cos, sin = np.cos(ego.yaw_rad), np.sin(ego.yaw_rad)
    speed = ego.vx_mps * cos + ego.vy_mps * sin
    way = np.where(speed < 0, -1.0, 1.0)
    cos, sin, speed = way * cos, way * sin, np.abs(speed)
    dx, dy = agent.x_m - ego.x_m, agent.y_m - ego.y_m
    drives = speed > curve_from_mps
    curvature = np.where(drives, ego.yaw_rate_rps / np.where(drives, speed, 1.0), 0.0)
    ahead, left, bend = along_arc(dx * cos + dy * sin, dy * cos - dx * sin, curvature)
    half_along, half_across = reach(ego, agent.yaw_rad - ego.yaw_rad - bend, agent)
    forward = agent.vx_mps * cos + agent.vy_mps * sin
    sideways = agent.vy_mps * cos - agent.vx_mps * sin
    cos, sin = np.cos(bend), np.sin(bend)
    forward, sideways = forward * cos + sideways * sin, sideways * cos - forward * sin
    lengthwise = _shortfall(np.abs(ahead) - half_along, _longitudinal_m(ahead, speed, forward, parameters))
    towards = np.where(left < 0, sideways, -sideways)
    crosswise = _shortfall(
        np.abs(left) - half_across, lateral_m(np.zeros_like(towards), towards, parameters=parameters)
    )
    return np.minimum(lengthwise, crosswise)


def along_arc(
    x_m: Float[ndarray, "*b"], y_m: Float[ndarray, "*b"], curvature_per_m: Float[ndarray, "*b"]
) -> tuple[Float[ndarray, "*b"], Float[ndarray, "*b"], Float[ndarray, "*b"]]:
    """How far along an arc a point lies, how far left of it, and by how much the arc has turned there (rad).

    The arc begins at the origin, along x. Without curvature these are x, y and 0.
    """
    bends = curvature_per_m != 0
    turned = np.arctan2(curvature_per_m * x_m, 1.0 - curvature_per_m * y_m)
    radius_share = np.hypot(curvature_per_m * x_m, 1.0 - curvature_per_m * y_m)
    left = (2.0 * y_m - curvature_per_m * (x_m * x_m + y_m * y_m)) / (1.0 + radius_share)
    along = np.where(bends, turned / np.where(bends, curvature_per_m, 1.0), x_m)
    return along, left, np.where(bends, turned, 0.0)


def _longitudinal_m(ahead: ndarray, ego_mps: ndarray, agent_mps: ndarray, parameters: RssParameters) -> ndarray:
    """Safe distance lengthwise; 0 between two that drive away from each other."""
    onward, before = agent_mps >= 0, ahead >= 0
    speed = np.abs(agent_mps)
    following = same_direction_m(ego_mps, speed, response_s=parameters.ego_response_s, parameters=parameters)
    followed = same_direction_m(speed, ego_mps, response_s=parameters.other_response_s, parameters=parameters)
    oncoming = np.where(before, opposite_m(ego_mps, speed, parameters=parameters), 0.0)
    return np.where(onward, np.where(before, following, followed), oncoming)


def _shortfall(distance: ndarray, safe: ndarray) -> ndarray:
    asked = safe > 0
    return np.where(asked, np.clip(1.0 - np.maximum(distance, 0.0) / np.where(asked, safe, 1.0), 0.0, 1.0), 0.0)
