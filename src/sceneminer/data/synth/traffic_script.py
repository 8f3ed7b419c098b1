"""Risky events that are staged: where and when in a Drive that was first run without them, and what they add to it.

The first run shows where ego will be. A script picks a moment of it, adds whom it needs, and cues them by ego's actual
distance in the second run, in which ego reacts late, as people do.
"""

import numpy as np

from sceneminer.data.synth.scene import EGO_LEAD_S, TICK_S
from sceneminer.data.synth.traffic_beside import stage_beside
from sceneminer.data.synth.traffic_meet import stage_cross, stage_cut_in, stage_hard_brake
from sceneminer.data.synth.traffic_moment import Script, moments_of
from sceneminer.data.synth.traffic_record import Recording
from sceneminer.data.synth.traffic_world import World

KINDS = (
    "step_out",
    "jaywalk",
    "occluded_cyclist",
    "door_side_cyclist",
    "near_miss",
    "cut_in",
    "hard_brake",
    "run_red",
    "oncoming_left_turn",
)


def stage(kind: str, world: World, run: Recording, rng: np.random.Generator, *, ease: float) -> Script | None:
    """A script of a kind that fits this Drive, or None; ``ease`` (0 and up) gives everyone more time."""
    moments = [m for m in moments_of(world, run) if 3.0 < m.time_s < TICK_S * len(run.pose) - 2 * EGO_LEAD_S - 2.5]
    if kind in ("step_out", "jaywalk", "occluded_cyclist", "door_side_cyclist", "near_miss"):
        return stage_beside(kind, world, moments, rng, ease)
    if kind == "cut_in":
        return stage_cut_in(world, run, moments, rng, ease)
    if kind == "hard_brake":
        return stage_hard_brake(run, moments, rng, ease)
    return stage_cross(kind, world, run, moments, rng, ease)
