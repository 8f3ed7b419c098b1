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
from sceneminer.data.synth.traffic_ego import WARM_S
from sceneminer.data.synth.traffic_moment import Script
from sceneminer.data.synth.traffic_mood import Mood, draw_mood
from sceneminer.data.synth.traffic_net import RoadNet, build_road_net
from sceneminer.data.synth.traffic_overlap import drop_walkers, touching_pairs
from sceneminer.data.synth.traffic_record import EGO_AXLE_M, Cast, Recording, ego_rows, make_actors
from sceneminer.data.synth.traffic_script import KINDS, stage
from sceneminer.data.synth.traffic_spawn import EGO_LOOK
from sceneminer.data.synth.traffic_world import World, make_world, step_world

SCRIPT_SHARE = 0.8
"""Share of Drives for which a risky event is looked for."""
TAKES = 6
"""So often a Drive without a script is tried again where ego stands at a light or in a queue for most of it."""
LEAST_MPS = {"fast": 9.5, "wide": 5.0, "rush": 1.5}
"""Ego's mean speed from which a run will do; 3.2 m/s for other trips."""
KIND_WEIGHT = {
    "step_out": 1.5,
    "jaywalk": 0.6,
    "door_side_cyclist": 1.6,
    "near_miss": 0.8,
    "cut_in": 1.8,
    "hard_brake": 2.2,
    "run_red": 2.5,
    "oncoming_left_turn": 2.2,
}
"""Kinds that fit few Drives are tried first more often, so that all of them come about about as often."""


@dataclass(frozen=True)
class Take:
    """One run of a Drive."""

    world: World
    recording: Recording
    cast: Cast
    pairs: list[tuple[int, int]]
    """Actors whose boxes overlap (-1 is ego)."""
    event: Event | None


@dataclass(frozen=True)
class Rehearsal:
    """A Drive without any script: the ground on which an event is staged."""

    town: Town
    seed: int
    environment: Environment
    mood: Mood
    duration_s: float
    take: Take
    world_seed: np.random.SeedSequence


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
    rehearsal = rehearse(town, seed, duration_s=duration_s, environment=environment)
    rng = np.random.default_rng(_seeds(town, seed)[3])
    if script:
        return perform(rehearsal, [script], rng)
    if script is None and rng.random() < SCRIPT_SHARE:
        return perform(rehearsal, _draw_kinds(rng), rng)
    return perform(rehearsal, [], rng)


def rehearse(town: Town, seed: int, *, duration_s: float, environment: Environment | None = None) -> Rehearsal:
    """Drive without a script, the sky drawn for the town's split where none is given."""
    sky_seed, mood_seed, world_seed, _ = _seeds(town, seed)
    if environment is None:
        environment = draw_environment(town.split, np.random.default_rng(sky_seed))
    mood = draw_mood(town.style, environment, np.random.default_rng(mood_seed))
    take, fresh = _plain_take(build_road_net(town), mood, world_seed, duration_s)
    return Rehearsal(town, seed, environment, mood, duration_s, take, fresh)


def perform(rehearsal: Rehearsal, kinds: list[str], rng: np.random.Generator) -> Drive:
    """The Drive with the first of these risky events that fits it, or without any where none does."""
    staged = _staged_take(rehearsal, kinds, rng)
    take = rehearsal.take if staged is None else staged
    actors, events = _finish(take)
    ego, lane = ego_rows(take.world, take.recording)
    town, seed = rehearsal.town, rehearsal.seed
    name = f"{town.name}-{seed:05d}"
    return Drive(name, town, seed, rehearsal.environment, rehearsal.duration_s, ego, lane, actors, events)


def _seeds(town: Town, seed: int) -> list[np.random.SeedSequence]:
    """For sky, mood, world and script."""
    return np.random.SeedSequence([town.seed, seed]).spawn(4)


def _draw_kinds(rng: np.random.Generator) -> list[str]:
    """All kinds in a random order, so that another one steps in where the first does not fit."""
    weight = np.array([KIND_WEIGHT.get(kind, 1.0) for kind in KINDS])
    return [KINDS[k] for k in rng.choice(len(KINDS), len(KINDS), replace=False, p=weight / weight.sum())]


def _plain_take(
    roads: RoadNet, mood: Mood, seed: np.random.SeedSequence, duration_s: float
) -> tuple[Take, np.random.SeedSequence]:
    """A run without a script in which ego gets somewhere and touches nothing; the farthest of some if none does."""
    best: tuple[float, Take, np.random.SeedSequence] | None = None
    for fresh in seed.spawn(TAKES):
        world = make_world(roads, mood, np.random.default_rng(fresh), duration_s=duration_s)
        take = _run(world, duration_s, None)
        moved_mps = float(np.sum(take.recording.speed[:, 0]) * TICK_S) / duration_s - (100.0 if _hits(take) else 0.0)
        if best is None or moved_mps > best[0]:
            best = (moved_mps, take, fresh)
        if moved_mps > LEAST_MPS.get(mood.trip, 3.2):
            break
    assert best is not None
    return best[1], best[2]


def _hits(take: Take) -> bool:
    """Whether anything but two people runs into something."""
    walkers = {a.actor_id for a in take.cast.actors if a.category.startswith(("human.", "animal"))}
    return any(-1 in pair or not walkers & set(pair) for pair in take.pairs)


def _staged_take(rehearsal: Rehearsal, kinds: list[str], rng: np.random.Generator) -> Take | None:
    """A second run with an event staged in it; more lenient when somebody gets hit, None when nothing works out."""
    plain, duration_s = rehearsal.take, rehearsal.duration_s
    runs = 0
    for kind in kinds:
        for ease in (-0.3, 0.2, 0.8):
            script = stage(kind, plain.world, plain.recording, rng, ease=ease)
            if script is None or runs >= 6:
                break
            runs += 1
            rng_again = np.random.default_rng(rehearsal.world_seed)
            net, mood = plain.world.net, rehearsal.mood
            world = make_world(net, mood, rng_again, duration_s=duration_s, extras=script.extras)
            take = _run(world, duration_s, script)
            if take.event is not None and not _hits(take):
                return take
    return None


def _run(world: World, duration_s: float, script: Script | None) -> Take:
    act = None if script is None else Act(script)
    world.act = act
    recording = run_world(world, duration_s)
    if act is not None and act.cued_s is not None and act.starts_parked:
        recording.active[: round((act.cued_s + EGO_LEAD_S) / TICK_S), act.player(world)[1]] = True
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
