"""Staged events do what their names say, and nobody gets hit; ordinary events are where they should be."""

from functools import cache

import numpy as np
import pytest

from sceneminer.data.synth.drive import ego_center, perform, record_drive, rehearse
from sceneminer.data.synth.events import spans
from sceneminer.data.synth.layout import build_town
from sceneminer.data.synth.scene import EGO_LEAD_S, TICK_S, Actor, Drive, Event, Town
from sceneminer.data.synth.traffic_script import KINDS
from sceneminer.geometry.box import footprint, footprint_gap

LEAD = round(EGO_LEAD_S / TICK_S)
TRIED, ENOUGH = 8, 5
"""So many drives are searched until events of so many kinds have come about."""


@cache
def town(seed: int) -> Town:
    return build_town("train", seed)


@cache
def staged() -> dict[str, tuple[Drive, Event, Actor]]:
    """For each kind that comes about within some Drives, the first Drive in which it does."""
    found: dict[str, tuple[Drive, Event, Actor]] = {}
    for seed in range(TRIED):
        if len(found) >= ENOUGH:
            break
        rehearsal = rehearse(town(1 + seed % 2), seed, duration_s=14.0)
        for kind in sorted(set(KINDS) - set(found)):
            drive = perform(rehearsal, [kind], np.random.default_rng(seed))
            for event in drive.events:
                if event.scripted:
                    assert event.kind == kind
                    found[kind] = drive, event, next(a for a in drive.actors if a.actor_id == event.actors[0])
    return found


def relative(drive: Drive, event: Event, actor: Actor) -> dict[str, np.ndarray]:
    """The actor as seen from ego's middle during an event."""
    rows = slice(round(event.start_s / TICK_S), round(min(event.end_s + 1.0, drive.duration_s) / TICK_S) + 1)
    ego, state = drive.ego[LEAD:][rows], actor.states[rows]
    middle = ego_center(ego)
    delta, c, s = state[:, :2] - middle, np.cos(ego[:, 3]), np.sin(ego[:, 3])
    mine = footprint(middle, ego[:, 3], np.broadcast_to(np.array([4.084, 1.730]), middle.shape))
    theirs = footprint(state[:, :2], state[:, 3], np.broadcast_to(np.array(actor.size_lwh_m[:2]), middle.shape))
    return {
        "ahead": delta[:, 0] * c + delta[:, 1] * s,
        "left": -delta[:, 0] * s + delta[:, 1] * c,
        "turn": np.cos(state[:, 3] - ego[:, 3]),
        "speed": state[:, 4],
        "ego_speed": ego[:, 4],
        "gap": np.where(actor.present[rows], footprint_gap(mine, theirs), np.inf),
    }


@pytest.mark.slow
def test_most_kinds_come_about_close_by_and_nobody_is_hit():
    assert len(staged()) >= ENOUGH
    for kind, example in staged().items():
        seen = relative(*example)
        assert seen["gap"].min() > 0.0, kind
        assert seen["gap"].min() < (8.0 if kind in ("hard_brake", "cut_in") else 6.0), kind
        assert seen["ego_speed"].max() > 3.0, kind


@pytest.mark.slow
def test_each_kind_is_what_its_name_says():
    for kind, (drive, event, actor) in staged().items():
        seen = relative(drive, event, actor)
        if kind == "cut_in":
            assert np.abs(seen["left"][0]) > 1.4
            assert ((np.abs(seen["left"]) < 1.2) & (seen["ahead"] > 0.0) & (seen["ahead"] < 20.0)).any()
        elif kind == "hard_brake":
            assert (np.diff(seen["speed"]) / TICK_S).min() < -3.5
            assert 0.0 < seen["ahead"][0] < 40.0 and np.abs(seen["left"][0]) < 2.5
        elif kind == "run_red":
            assert np.abs(seen["turn"][: int(np.argmin(seen["gap"])) + 1]).min() < 0.75
        elif kind == "oncoming_left_turn":
            assert seen["turn"].min() < -0.6 and seen["turn"].max() > seen["turn"].min() + 0.2
        else:
            in_lane = (np.abs(seen["left"]) < 1.6) & (seen["ahead"] > 0.0) & (seen["ego_speed"] > 1.0)
            assert in_lane.any() and np.abs(seen["left"][0]) > 1.0, kind
            assert seen["ahead"][in_lane].min() < (26.0 if kind == "jaywalk" else 17.0), kind
            cyclist = kind.endswith("cyclist")
            assert actor.category.startswith("vehicle.bicycle" if cyclist else "human.") and actor.rider == cyclist


def test_a_drive_is_recorded_as_it_was_rehearsed_unless_something_is_staged():
    drive = perform(rehearse(town(1), 2, duration_s=4.0), [], np.random.default_rng(0))
    again = record_drive(town(1), 2, duration_s=4.0, script="")
    assert drive.ego.tobytes() == again.ego.tobytes() and drive.events == again.events


def test_ordinary_turns_and_waits_are_noted_where_they_are():
    for seed in range(2):
        drive = record_drive(town(1), seed, duration_s=14.0, script="")
        lanes = {lane.lane_id: lane for lane in drive.town.lanes}
        turning = [k for k in drive.ego_lane[LEAD:-LEAD].tolist() if k >= 0 and lanes[k].turn == "left"]
        noted = sum(e.end_s - e.start_s for e in drive.events if e.kind == "turn_left")
        assert noted == pytest.approx(len(turning) * TICK_S, abs=0.6)
        for event in drive.events:
            if event.kind == "wait":
                a, b = (LEAD + round(t / TICK_S) for t in (event.start_s, event.end_s))
                assert np.mean(drive.ego[a:b, 4] < 0.35) > 0.9


def test_spans_join_short_breaks_and_drop_short_stretches():
    mask = np.zeros(100, bool)
    mask[10:30] = mask[34:50] = mask[80:83] = True
    assert spans(mask, least_s=0.5) == [(0.5, pytest.approx(49 * TICK_S))]
    assert len(spans(mask, join_s=0.0)) == 3
    assert spans(np.zeros(5, bool)) == []
