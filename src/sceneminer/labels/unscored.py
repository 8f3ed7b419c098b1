"""Measures that stand beside the risk: people filter by them, but no part of the risk reads them."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from sceneminer.data.track import AgentStates
from sceneminer.labels.bodies import Bodies
from sceneminer.labels.encroachment import post_encroachment_s
from sceneminer.labels.evasion import required_braking_mps2, required_swerve_mps2
from sceneminer.labels.rss import rss_violation
from sceneminer.labels.score import RiskConfig


def unscored(
    agents: AgentStates,
    own: Bodies,
    bodies: Bodies,
    *,
    there: Bool[ndarray, "a t"],
    ego_known: Bool[ndarray, "a t"],
    stands: Bool[ndarray, "a t"],
    vehicles: Bool[ndarray, "a"],
    ttc_s: Float[ndarray, "a t"],
    config: RiskConfig,
) -> Mapping[str, Float[ndarray, "a t"]]:
    """Post-encroachment time, required accelerations and RSS violation of all agents at all frames.

    ``own`` and ``ego_known`` are the same in each row; ``there`` says which agents' boxes are known, ``stands`` which
    agents do, ``vehicles`` which drive in lanes.
    """
    known = there & ego_known
    moves = own.speed_mps >= config.standing_mps
    touch = np.isfinite(ttc_s)
    ego, agent, touch_s = own[touch], bodies[touch], ttc_s[touch]
    braking, swerve = np.where(known, 0.0, np.nan), np.where(known & moves, 0.0, np.nan)
    braking[touch] = required_braking_mps2(ego, agent, touch_s)
    swerve[touch] = np.where(moves[touch], required_swerve_mps2(ego, agent, touch_s), np.nan)
    driving = known & vehicles[:, None]
    rss = np.full(known.shape, np.nan)
    rss[driving] = rss_violation(
        own[driving], bodies[driving], curve_from_mps=config.tailgating_from_mps, parameters=config.rss
    )
    return {
        "pet_s": _encroachment_s(agents, own, bodies, there, ego_known, stands, config),
        "a_long_req_mps2": braking,
        "a_lat_req_mps2": swerve,
        "rss_violation": rss,
    }


def _encroachment_s(
    agents: AgentStates,
    own: Bodies,
    bodies: Bodies,
    there: ndarray,
    ego_known: ndarray,
    stands: ndarray,
    config: RiskConfig,
) -> ndarray:
    if len(there) == 0:
        return np.full(there.shape, np.nan)
    return post_encroachment_s(
        agents.times_us,
        own[(0,)],
        bodies,
        ego_known=ego_known[0],
        agents_known=there,
        ego_moves=own.speed_mps[0] >= config.standing_mps,
        agents_move=~stands,
        horizon_s=config.horizon_s,
    )
