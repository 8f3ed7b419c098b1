"""Each tag is true where its definition holds, false beside it, and None where it cannot be known."""

from dataclasses import replace

import numpy as np
import pytest
from make_labelled_log import ROAD, make_log, make_track, whole

from sceneminer.data.clip import Clip, clips_of
from sceneminer.labels.prompts import BACKGROUND_PROMPTS, TAG_NEGATIVES, TAG_PROMPTS, TAGS
from sceneminer.labels.risk import clip_risk, log_risk
from sceneminer.labels.tags import RULES, explain, label_tags

WALKER = (0.7, 0.7, 1.8)


def driving(speed=8.0, *, x=0.0, y=-1.75):
    return lambda t: (x + speed * t, y, 0.0)


def turning(rate, speed=5.0):
    """A bend from x = 100 on with a constant turn rate."""
    return lambda t: (speed / rate * np.sin(rate * t), -1.75 + speed / rate * (1 - np.cos(rate * t)), rate * t)


def tag(name, log):
    return label_tags(log, (whole(log),))[0][name]


def standing(x, y):
    return lambda t: (x, y)


def walking(x, y, vx, vy):
    return lambda t: (x + vx * t, y + vy * t)


def fleet(count, category="car", *, spacing=6.0, speed=5.0, y=1.75, **rest):
    return tuple(
        make_track(f"{category}{i}", category, walking(i * spacing, y, -speed, 0), **rest) for i in range(count)
    )


@pytest.mark.parametrize(
    ("text", "night", "rain"),
    [
        ("Night, big street, bus stop, high speed", True, False),
        ("Rain, turn left, peds", False, True),
        ("Night, after rain, many peds", True, False),
        ("heavy raining, nighttime", True, True),
        ("No rain, knight on a horse, train station", False, False),
        ("rain stopped, wet road", False, False),
        ("Parked truck, construction", False, False),
        ("", None, None),
    ],
)
def test_words_of_light_and_weather(text, night, rain):
    tags = label_tags(log := make_log((), driving(), description=text), (whole(log),))[0]
    assert (tags["night"], tags["rain"]) == (night, rain)


def test_a_description_that_nobody_wrote_says_nothing():
    assert tag("night", make_log((), driving(), description="A log in Town", dataset="argoverse2")) is None


def test_ego_motion():
    assert tag("ego_turn_left", make_log((), turning(0.3))) is True
    assert tag("ego_turn_right", make_log((), turning(0.3))) is False
    assert tag("ego_turn_right", make_log((), turning(-0.3))) is True
    assert tag("ego_turn_left", make_log((), turning(0.12, speed=10.0))) is False  # a bend of 83 m radius
    assert tag("ego_wait", make_log((), driving(0.0))) is True
    assert tag("ego_wait", make_log((), driving(1.0))) is False
    assert tag("high_speed", make_log((), driving(14.0))) is True
    assert tag("high_speed", make_log((), driving(9.0))) is False


def test_lane_change():
    def sideways(t):
        return -1.75 - 3.5 / (1 + np.exp(-3 * (t - 2)))

    def changing(t):
        return (10 * t, sideways(t), np.arctan2(sideways(t + 0.01) - sideways(t), 0.1))

    assert tag("lane_change", make_log((), changing)) is True
    assert tag("lane_change", make_log((), driving(10.0))) is False
    assert tag("lane_change", make_log((), turning(-0.3))) is False  # turns off across the divider
    assert tag("lane_change", make_log((), changing, hdmap=None)) is None


def test_following():
    lead = make_track("lead", "car", walking(20, -1.75, 8, 0))
    neighbour = make_track("neighbour", "car", walking(20, -5.25, 8, 0))
    parked = make_track("parked", "car", standing(80, -1.75))
    assert tag("following_lead", make_log((lead,), driving())) is True
    assert tag("following_lead", make_log((neighbour, parked), driving())) is False
    assert tag("following_lead", make_log((lead,), None)) is None
    assert tag("following_lead", make_log(None, driving())) is None


def test_crowds():
    assert tag("dense_traffic", make_log(fleet(14), driving(2.0))) is True
    assert tag("dense_traffic", make_log(fleet(3), driving(2.0))) is False
    assert tag("dense_traffic", make_log(fleet(14, speed=0.0), driving(2.0))) is False  # parked
    queue = fleet(14, speed=0.0, attribute="vehicle.stopped")
    assert tag("dense_traffic", make_log(queue, driving(2.0))) is True
    people = fleet(12, "pedestrian", spacing=1.5, speed=1.0, y=8.0, size=WALKER)
    assert tag("many_pedestrians", make_log(people, driving(2.0))) is True
    assert tag("many_pedestrians", make_log(people[:4], driving(2.0))) is False


def test_walkers_on_the_road():
    def both(*tracks, hdmap=ROAD):
        log = make_log(tracks, driving(5.0, x=60.0), hdmap=hdmap)
        tags = label_tags(log, (whole(log),))[0]
        return tags["pedestrian_crossing"], tags["jaywalker"]

    def person(*walk, **rest):
        return make_track("p", "pedestrian", walking(*walk), yaw=np.pi / 2, size=WALKER, **rest)

    assert both(person(94, -4, 0, 1.4)) == (True, False)
    assert both(person(85, -4, 0, 1.4)) == (False, True)
    assert both(person(80, 8.5, 1.2, 0)) == (False, False)  # on the pavement
    assert both(person(85, -4, 0, 0)) == (False, False)  # stands on the road
    assert both(person(70, -6.0, 1.4, 0)) == (False, False)  # walks along the road
    assert both(person(85, -4, 0, 1.4, source_category="human.pedestrian.construction_worker")) == (False, False)
    assert both(person(30, -4, 0, 1.4)) == (False, False)  # behind ego
    assert both(person(85, -4, 0, 1.4), hdmap=None) == (True, None)  # crosses ego's path; no map to call it jaywalking
    assert both(person(85, 2, 0, 1.4), hdmap=None) == (False, None)


def test_who_is_around():
    def seen(name, *tracks):
        return tag(name, make_log(tracks, driving(2.0)))

    bicycle = (1.8, 0.6, 1.6)
    assert seen("cyclist", make_track("b", "bicycle", walking(15, -6, 4, 0), size=bicycle)) is True
    assert seen("cyclist", make_track("b", "bicycle", standing(15, -8), size=bicycle)) is False
    ridden = make_track("b", "bicycle", standing(15, -6), size=bicycle, attribute="cycle.with_rider")
    assert seen("cyclist", ridden) is True
    assert seen("cyclist", make_track("b", "bicycle", walking(75, -6, 4, 0), size=bicycle)) is False
    assert seen("two_wheeler", make_track("m", "motorcycle", standing(15, -8))) is True
    assert seen("two_wheeler", make_track("b", "bicycle", standing(15, -8))) is False
    assert seen("bus", make_track("b", "bus", standing(25, 5), size=(12, 2.9, 3.5))) is True
    assert seen("large_truck", make_track("t", "truck", standing(25, 5), size=(9, 2.5, 3.5))) is True
    assert seen("large_truck", make_track("t", "truck", standing(25, 5), size=(5.5, 2.1, 2.0))) is False


def test_places():
    assert tag("intersection", make_log((), driving(5.0, x=92.0))) is True
    assert tag("intersection", make_log((), driving(5.0, x=0.0))) is False
    assert tag("intersection", make_log((), driving(0.0, x=96.0))) is True  # waits at the stop line
    assert tag("intersection", make_log((), driving(0.0, x=80.0))) is False
    assert tag("intersection", make_log((), driving(5.0, x=114.0))) is False  # leaves it behind
    assert tag("intersection", make_log((), driving(), hdmap=None, description="Wait at intersection")) is True
    assert tag("intersection", make_log((), driving(), hdmap=None, description="Peds")) is None
    assert tag("parking_lot", make_log((), lambda t: (-30 + t, -25.0, 0.0))) is True
    assert tag("parking_lot", make_log((), driving(5.0))) is False
    cones = tuple(make_track(f"c{i}", "cone", standing(10 + 3 * i, -4), size=(0.4, 0.4, 0.8)) for i in range(3))
    assert tag("construction_zone", make_log(cones, driving(2.0))) is True
    assert tag("construction_zone", make_log(cones[:2], driving(2.0))) is False
    bollards = tuple(
        make_track(f"c{i}", "barrier", standing(10 + 3 * i, -8), source_category="BOLLARD") for i in range(5)
    )
    assert tag("construction_zone", make_log(bollards, driving(2.0))) is False
    assert tag("construction_zone", make_log(None, driving(), description="Road works")) is True


def test_parked_obstruction_is_not_a_queue_nor_the_kerb():
    def around(t):
        """Ego passes x = 20 in the other lane."""
        return (10 * t, -1.75 if t < 1.2 else 1.75, 0.0)

    blocking = make_track("van", "truck", standing(20, -1.75), size=(6, 2.1, 2.5), duration_s=6.0)
    at_kerb = make_track("car", "car", standing(20, -4.2), duration_s=6.0)
    first = Clip("test-00000000+0000000", "test-00000000", 0, 1_000_000)
    log = make_log((blocking,), around, duration_s=6.0)
    assert label_tags(log, (first,))[0]["parked_obstruction"] is True
    assert label_tags(make_log((at_kerb,), around, duration_s=6.0), (first,))[0]["parked_obstruction"] is False
    queue = make_log((blocking,), lambda t: (min(5 * t, 10), -1.75, 0.0), duration_s=6.0)
    assert label_tags(queue, (first,))[0]["parked_obstruction"] is False


def test_every_tag_is_a_bool_or_none_and_unknown_without_input():
    bare = make_log(None, None, hdmap=None)
    answers = label_tags(bare, clips_of(bare))
    assert all(list(answer) == list(TAGS) and set(answer.values()) == {None} for answer in answers)
    full = make_log(fleet(5), driving(), description="Cars")
    for answer in label_tags(full, clips_of(full)):
        assert all(isinstance(value, bool) for value in answer.values())


def test_tags_prompts_and_definitions_belong_together():
    assert len(TAGS) == 20 and tuple(RULES) == TAGS == tuple(TAG_PROMPTS) == tuple(TAG_NEGATIVES)
    assert all(3 <= len(prompts) <= 5 for prompts in TAG_PROMPTS.values())
    everything = [p for prompts in TAG_PROMPTS.values() for p in prompts]
    assert len(set(everything)) == len(everything) and not set(everything) & set(BACKGROUND_PROMPTS)
    for name in TAGS:
        assert "None" in explain(name)
    with pytest.raises(ValueError, match="expected one of night"):
        explain("snow")


def test_a_clip_of_another_log_is_refused():
    log = make_log((), driving())
    with pytest.raises(ValueError, match="expected clips of test-00000000"):
        label_tags(log, (Clip("other+0000000", "other", 0, 1),))


def test_a_turn_counts_between_the_first_and_the_last_frame():
    """21 frames are 20 steps: 2 s at 5.9°/s are 11.8°, which is no turn."""
    log = make_log((), turning(np.deg2rad(5.9), speed=3.0))
    clips = clips_of(log)
    assert [tags["ego_turn_left"] for tags in label_tags(log, clips)] == [False] * 3
    log = make_log((), turning(np.deg2rad(6.1), speed=3.0))
    assert [tags["ego_turn_left"] for tags in label_tags(log, clips)] == [True] * 3


def test_where_egos_pose_is_unknown_nothing_is_said_of_it():
    """Poses that end half-way: an ego held at its last place would wait there, and cars would run into it."""
    log = make_log(fleet(3, duration_s=8.0), driving(), description="a street", duration_s=8.0)
    first = log.pose_times_us <= 3_000_000
    part = replace(log, pose_times_us=log.pose_times_us[first], world_from_ego=log.world_from_ego[first])
    clips = clips_of(log)
    whole_log, known = label_tags(log, clips), label_tags(part, clips)
    assert [tags["ego_wait"] for tags in known] == [False, False] + [None] * 5
    assert [tags["bus"] for tags in known] == [False, False] + [None] * 5
    assert [tags["night"] for tags in known] == [False] * 7
    assert known[0] == whole_log[0]


def test_risk_is_unknown_where_egos_pose_is():
    log = make_log(fleet(3, duration_s=8.0), driving(), duration_s=8.0)
    first = log.pose_times_us <= 3_000_000
    part = replace(log, pose_times_us=log.pose_times_us[first], world_from_ego=log.world_from_ego[first])
    risk = log_risk(part)
    np.testing.assert_array_equal(np.isfinite(risk.frame_risk), risk.times_us <= 3_500_000)
    assert clip_risk(risk, 5_000_000, 7_000_000).risk is None
    assert clip_risk(risk, 0, 2_000_000).risk is not None
