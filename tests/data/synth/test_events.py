"""Staged events do what their names say, and nobody gets hit; ordinary events are where they should be."""

from functools import cache

import numpy as np
import pytest

from sceneminer.data.synth.drive import ego_center, record_drive
from sceneminer.data.synth.events import spans
from sceneminer.data.synth.layout import build_town
from sceneminer.data.synth.scene import EGO_LEAD_S, TICK_S, Actor, Drive, Event, Town
from sceneminer.data.synth.traffic_script import KINDS
from sceneminer.geometry.box import footprint, footprint_gap

LEAD = round(EGO_LEAD_S / TICK_S)


@cache
def town(seed: int) -> Town:
    return build_town("train", seed)


# Town and seed of a Drive that an event of each kind fits; others are tried where that has changed.
FITS = {
    "hard_brake": (2, 3),
    "door_side_cyclist": (1, 2),
    "step_out": (1, 4),
    "jaywalk": (2, 7),
    "near_miss": (2, 1),
    "occluded_cyclist": (2, 7),
    "cut_in": (1, 0),
    "oncoming_left_turn": (2, 9),
    "run_red": (2, 5),
}


@cache
def staged(kind: str) -> tuple[Drive, Event, Actor]:
    """A Drive in which an event of a kind comes about."""
    for place, seed in [FITS[kind], *((1 + k % 2, k) for k in range(16))]:
        drive = record_drive(town(place), seed, duration_s=14.0, script=kind)
        for event in drive.events:
            if event.scripted:
                assert event.kind == kind
                return drive, event, next(a for a in drive.actors if a.actor_id == event.actors[0])
    raise AssertionError(f"{kind} never came about")


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
@pytest.mark.parametrize("kind", KINDS)
def test_a_staged_event_is_close_but_nobody_is_hit(kind: str):
    seen = relative(*staged(kind))
    assert seen["gap"].min() > 0.0
    assert seen["gap"].min() < (8.0 if kind in ("hard_brake", "cut_in") else 6.0)
    assert seen["ego_speed"].max() > 3.0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["step_out", "jaywalk", "near_miss", "occluded_cyclist", "door_side_cyclist"])
def test_somebody_comes_into_egos_lane_just_ahead(kind: str):
    drive, event, actor = staged(kind)
    seen = relative(drive, event, actor)
    in_lane = (np.abs(seen["left"]) < 1.6) & (seen["ahead"] > 0.0) & (seen["ego_speed"] > 1.0)
    assert in_lane.any() and np.abs(seen["left"][0]) > 1.0
    assert seen["ahead"][in_lane].min() < (26.0 if kind == "jaywalk" else 17.0)
    cyclist = kind.endswith("cyclist")
    assert actor.category.startswith("vehicle.bicycle" if cyclist else "human.") and actor.rider == cyclist


@pytest.mark.slow
def test_a_cut_in_moves_over_into_egos_lane():
    seen = relative(*staged("cut_in"))
    assert np.abs(seen["left"][0]) > 1.4
    assert ((np.abs(seen["left"]) < 1.2) & (seen["ahead"] > 0.0) & (seen["ahead"] < 20.0)).any()


@pytest.mark.slow
def test_a_hard_brake_is_hard_and_ahead():
    seen = relative(*staged("hard_brake"))
    assert (np.diff(seen["speed"]) / TICK_S).min() < -3.5
    assert 0.0 < seen["ahead"][0] < 40.0 and np.abs(seen["left"][0]) < 2.5


@pytest.mark.slow
def test_cross_traffic_comes_from_the_side_and_oncoming_from_ahead():
    side, oncoming = relative(*staged("run_red")), relative(*staged("oncoming_left_turn"))
    nearest = int(np.argmin(side["gap"]))
    assert np.abs(side["turn"][: nearest + 1]).min() < 0.75
    assert oncoming["turn"].min() < -0.6 and oncoming["turn"].max() > oncoming["turn"].min() + 0.2


@pytest.mark.slow
def test_scripts_are_chosen_by_chance_in_a_good_third_of_drives():
    share = np.mean([any(e.scripted for e in record_drive(town(2), s, duration_s=10.0).events) for s in range(6)])
    assert 0.0 < share < 1.0


def test_ordinary_turns_and_waits_are_noted_where_they_are():
    for seed in range(3):
        drive = record_drive(town(1), seed, script="")
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
