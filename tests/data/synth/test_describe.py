"""Descriptions name only what is there, and are no key to it."""

import re

import numpy as np
import pytest

from sceneminer.data.synth.catalog import PALETTE, color_name
from sceneminer.data.synth.describe import NEAR_M, describe_drive, drive_facts, sky_facts, tell
from sceneminer.data.synth.describe_words import NOUNS, kind_of
from sceneminer.data.synth.drive import record_drive
from sceneminer.data.synth.layout import build_town
from sceneminer.data.synth.scene import ego_at


@pytest.fixture(scope="module")
def drives():
    towns = [build_town("val", 3), build_town("far", 4)]
    return [record_drive(town, 1, duration_s=6.0) for town in towns]


def near(drive):
    """Kinds, and (kind, colour, side) of actors that ego comes near: worked out apart from the describer."""
    kinds, colours = set(), set()
    for actor in drive.actors:
        for time_s in np.arange(0.0, drive.duration_s + 0.01, 0.25):
            state, present = actor.at(time_s)
            if present and np.hypot(*(state[:2] - ego_at(drive, time_s)[:2])) <= NEAR_M + 1.0:
                kinds.add(kind_of(actor))
                colours.add((kind_of(actor), color_name(actor.rgb)))
    return kinds, colours


def texts(drive, n=150):
    sky, facts = sky_facts(drive), drive_facts(drive)
    return [tell(sky, facts, np.random.default_rng(seed)).lower() for seed in range(n)]


def named_kinds(remark):
    """Kinds whose word a remark contains; longer words first, so that "bike rack" is not a bike."""
    words = [(word, kind) for kind, (one, many) in NOUNS.items() for word in (*one, *many)]
    found = set()
    for word, kind in sorted(words, key=lambda pair: -len(pair[0])):
        if re.search(rf"\b{re.escape(word)}\b", remark):
            found.add(kind)
            remark = remark.replace(word, "#")
    return found


NOT_ACTORS = {
    *("bus stop", "at bus stop", "ped crossing", "car park", "road work", "many cars", "no moving cars"),
    *("dense traffic", "busy road", "parking lot"),
}


def test_no_actor_is_named_that_is_not_near(drives):
    for drive in drives:
        kinds, colours = near(drive)
        for remark in {remark for text in texts(drive) for remark in text.split(", ")} - NOT_ACTORS:
            named = named_kinds(remark)
            assert named <= kinds, (remark, sorted(kinds))
            for colour in PALETTE:
                if re.match(rf"(parked |moving |driving )*{colour} ", remark):
                    assert {(kind, colour) for kind in named} <= colours, remark


def test_the_sky_is_named_as_it_is(drives):
    for drive in drives:
        sky, joined = drive.environment, " ".join(texts(drive))
        remarks = {remark for text in texts(drive) for remark in text.split(", ")}
        assert bool({"night", "dark"} & remarks) == sky.is_night
        assert bool(re.search(r"\b(rain|raining|heavy rain)\b", joined.replace("after rain", ""))) == (
            sky.rain_mm_h > 0.5
        )
        assert bool(re.search(r"\bfog", joined)) == (sky.fog_m < 300.0)


def test_ego_turns_are_named_by_their_side(drives):
    for drive in drives:
        lanes = {lane.lane_id: lane for lane in drive.town.lanes}
        turned = {lanes[i].turn for i in drive.ego_lane.tolist() if i in lanes and lanes[i].intersection is not None}
        joined = " ".join(texts(drive))
        for side in ("left", "right"):
            assert bool(re.search(rf"\b(turn|turning) {side}\b", joined)) == (side in turned)


def test_descriptions_leave_things_out_and_vary(drives):
    for drive in drives:
        several = texts(drive, 40)
        assert len(set(several)) > 25
        facts = len(drive_facts(drive))
        assert facts >= 5
        assert all(1 <= len(text.split(", ")) <= 11 for text in several)
        assert np.mean([len(text.split(", ")) for text in several]) < facts


def test_the_same_generator_state_gives_the_same_words(drives):
    first = describe_drive(drives[0], np.random.default_rng(3))
    assert first == describe_drive(drives[0], np.random.default_rng(3))
    assert first[0].isupper()
