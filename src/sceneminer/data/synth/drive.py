"""One recording: ego and everyone else drive and walk through a Town under one sky."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.synth.environment import draw_environment
from sceneminer.data.synth.scene import EGO_LEAD_S, TICK_S, Drive, Environment, Town
from sceneminer.data.synth.traffic_mood import draw_mood
from sceneminer.data.synth.traffic_record import Recording, ego_rows, make_actors
from sceneminer.data.synth.traffic_world import WARM_S, World, make_world, step_world


def record_drive(
    town: Town,
    seed: int,
    *,
    duration_s: float = 20.0,
    environment: Environment | None = None,
    script: str | None = None,
) -> Drive:
    """Simulate one Drive; the same arguments give the same bits.

    ``script`` names a risky event to stage, "" forbids one; None lets chance decide. The sky is drawn for the town's
    split where none is given.
    """
    sky_seed, mood_seed, world_seed, script_seed = np.random.SeedSequence([town.seed, seed]).spawn(4)
    if environment is None:
        environment = draw_environment(town.split, np.random.default_rng(sky_seed))
    mood = draw_mood(town.style, environment, np.random.default_rng(mood_seed))
    world = make_world(town, mood, np.random.default_rng(world_seed), duration_s=duration_s)
    recording = run_world(world, duration_s)
    ego, lane = ego_rows(world, recording)
    actors = make_actors(world, recording)
    name = f"{town.name}-{seed:05d}"
    return Drive(name, town, seed, environment, duration_s, ego, lane, tuple(actors), ())


def run_world(world: World, duration_s: float) -> Recording:
    """Let a world run: first unseen, until traffic has settled, then recorded."""
    warm = round((WARM_S + EGO_LEAD_S) / TICK_S) - round(EGO_LEAD_S / TICK_S)
    ticks = round((duration_s + 2 * EGO_LEAD_S) / TICK_S) + 1
    recording = Recording.empty(world, ticks)
    for k in range(-warm, ticks):
        time_s = k * TICK_S - EGO_LEAD_S
        if k >= 0:
            recording.add(world, k, time_s)
        step_world(world, k + warm, time_s)
    return recording


def ego_center(ego: Float[ndarray, "*t 5"]) -> Float[ndarray, "*t 2"]:
    """Middle of ego's box from its rear axle."""
    from_axle = 1.385
    return ego[..., :2] + from_axle * np.stack([np.cos(ego[..., 3]), np.sin(ego[..., 3])], -1)
