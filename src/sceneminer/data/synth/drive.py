"""One recording: ego and everyone else drive and walk through a Town under one sky."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.errors import DataError
from sceneminer.data.synth.environment import draw_environment
from sceneminer.data.synth.events import ordinary_events, staged_event
from sceneminer.data.synth.scene import EGO_LEAD_S, TICK_S, Actor, Drive, Environment, Event, Town
from sceneminer.data.synth.traffic_act import Act
from sceneminer.data.synth.traffic_mood import Mood, draw_mood
from sceneminer.data.synth.traffic_net import RoadNet, build_road_net
from sceneminer.data.synth.traffic_overlap import drop_walkers, touching_pairs
from sceneminer.data.synth.traffic_record import EGO_AXLE_M, Cast, Recording, ego_rows, make_actors
from sceneminer.data.synth.traffic_script import KINDS, Script, stage
from sceneminer.data.synth.traffic_spawn import EGO_LOOK
from sceneminer.data.synth.traffic_world import WARM_S, World, make_world, step_world

SCRIPT_SHARE = 0.75
"""Share of Drives for which a risky event is looked for."""
KIND_WEIGHT = {"cut_in": 1.4, "hard_brake": 1.4, "run_red": 1.6, "oncoming_left_turn": 1.6, "near_miss": 0.8}


@dataclass(frozen=True)
class Take:
    """One run of a Drive."""

    world: World
    recording: Recording
    cast: Cast
    pairs: list[tuple[int, int]]
    """Actors whose boxes overlap (-1 is ego)."""
    event: Event | None


def record_drive(
    town: Town,
    seed: int,
    *,
    duration_s: float = 20.0,
    environment: Environment | None = None,
    script: str | None = None,
) -> Drive:
    """Simulate one Drive; the same arguments give the same bits.

    ``script`` names a risky event to stage (one of KINDS; where it does not fit this Drive, none happens), "" forbids
    them; None lets chance decide. The sky is drawn for the town's split where none is given. Raises DataError for an
    unknown script.
    """
    if script and script not in KINDS:
        raise DataError(f"script: expected one of {', '.join(KINDS)}, found {script!r}")
    sky_seed, mood_seed, world_seed, script_seed = np.random.SeedSequence([town.seed, seed]).spawn(4)
    if environment is None:
        environment = draw_environment(town.split, np.random.default_rng(sky_seed))
    mood = draw_mood(town.style, environment, np.random.default_rng(mood_seed))
    roads = build_road_net(town)
    plain, fresh = _plain_take(roads, mood, world_seed, duration_s)
    rng = np.random.default_rng(script_seed)
    staged = None
    if script or (script is None and rng.random() < SCRIPT_SHARE):
        kinds = [script] if script else _draw_kinds(rng)
        staged = _staged_take(plain, mood, fresh, kinds, rng, duration_s=duration_s)
    take = plain if staged is None else staged
    actors, events = _finish(take)
    ego, lane = ego_rows(take.world, take.recording)
    return Drive(f"{town.name}-{seed:05d}", town, seed, environment, duration_s, ego, lane, actors, events)


def _draw_kinds(rng: np.random.Generator) -> list[str]:
    """All kinds in a random order, so that another one steps in where the first does not fit."""
    weight = np.array([KIND_WEIGHT.get(kind, 1.0) for kind in KINDS])
    return [KINDS[k] for k in rng.choice(len(KINDS), len(KINDS), replace=False, p=weight / weight.sum())]


def _plain_take(
    roads: RoadNet, mood: Mood, seed: np.random.SeedSequence, duration_s: float
) -> tuple[Take, np.random.SeedSequence]:
    """A run without a script in which ego gets somewhere and touches nothing; the last of six if none does."""
    for fresh in seed.spawn(6):
        world = make_world(roads, mood, np.random.default_rng(fresh), duration_s=duration_s)
        take = _run(world, duration_s, None)
        moved = float(np.sum(take.recording.speed[:, 0]) * TICK_S)
        if moved > 1.5 * duration_s and not _hits(take):
            break
    return take, fresh


def _hits(take: Take) -> bool:
    """Whether anything but two people runs into something."""
    walkers = {a.actor_id for a in take.cast.actors if a.category.startswith(("human.", "animal"))}
    return any(-1 in pair or not walkers & set(pair) for pair in take.pairs)


def _staged_take(
    plain: Take,
    mood: Mood,
    seed: np.random.SeedSequence,
    kinds: list[str],
    rng: np.random.Generator,
    *,
    duration_s: float,
) -> Take | None:
    """A second run with an event staged in it; more lenient when somebody gets hit, None when nothing works out."""
    runs = 0
    for kind in kinds:
        for ease in (0.0, 0.6, 1.3):
            script = stage(kind, plain.world, plain.recording, rng, ease=ease)
            if script is None or runs >= 4:
                break
            runs += 1
            rng_again = np.random.default_rng(seed)
            world = make_world(plain.world.net, mood, rng_again, duration_s=duration_s, extras=script.extras)
            take = _run(world, duration_s, script)
            if take.event is not None and not _hits(take):
                return take
    return None


def _run(world: World, duration_s: float, script: Script | None) -> Take:
    act = None if script is None else Act(script)
    world.act = act
    recording = run_world(world, duration_s)
    cast = make_actors(world, recording)
    skip = round(EGO_LEAD_S / TICK_S)
    ego = recording.pose[skip:-skip, 0]
    pairs = touching_pairs(ego, EGO_LOOK.size_lwh_m[:2], cast.actors, tolerance_m=0.02)
    event = None if act is None else staged_event(act, world, recording, cast)
    return Take(world, recording, cast, pairs, event)


def run_world(world: World, duration_s: float) -> Recording:
    """Let a world run: first unseen, until traffic has settled, then recorded."""
    warm = round(WARM_S / TICK_S)
    ticks = round((duration_s + 2 * EGO_LEAD_S) / TICK_S) + 1
    recording = Recording.empty(world, ticks)
    for k in range(-warm, ticks):
        time_s = k * TICK_S - EGO_LEAD_S
        if k >= 0:
            recording.add(world, k, time_s)
        step_world(world, k + warm, time_s)
    return recording


def _finish(take: Take) -> tuple[tuple[Actor, ...], tuple[Event, ...]]:
    """Actors without people who walk through others, and everything worth noting."""
    events = ordinary_events(take.world, take.recording, take.cast)
    keep = frozenset(take.event.actors) if take.event is not None else frozenset()
    dropped = drop_walkers(take.pairs, take.cast.actors, keep)
    actors = tuple(a for a in take.cast.actors if a.actor_id not in dropped)
    kept = []
    for event in events:
        players = tuple(k for k in event.actors if k not in dropped)
        if players or not event.actors:
            kept.append(Event(event.kind, event.start_s, event.end_s, players, event.scripted))
    if take.event is not None:
        kept.append(take.event)
    return actors, tuple(sorted(kept, key=lambda e: (e.start_s, e.kind)))


def ego_center(ego: Float[ndarray, "*t 5"]) -> Float[ndarray, "*t 2"]:
    """Middle of ego's box from its rear axle."""
    return ego[..., :2] + EGO_AXLE_M * np.stack([np.cos(ego[..., 3]), np.sin(ego[..., 3])], -1)
