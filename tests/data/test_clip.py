"""Clips: spans of a Log, overlapping, inside it, with ids that say where they start."""

import re
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nuscenes_tree import make_nuscenes_tree

from sceneminer.data.clip import clips_of
from sceneminer.data.log import Log
from sceneminer.data.open import open_log


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> Log:
    folder = tmp_path_factory.mktemp("tree")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCENEMINER_CACHE", str(folder / "cache"))
        return open_log(make_nuscenes_tree(folder), "scene-0001")


def lasting(log: Log, duration_us: int) -> Log:
    return replace(log, start_us=5_000_000, end_us=5_000_000 + duration_us)


def test_clips_overlap_and_lie_inside(log):
    clips = clips_of(lasting(log, 4_500_000))
    assert [(c.start_us, c.end_us) for c in clips] == [
        (5_000_000 + s, 7_000_000 + s) for s in (0, 1_000_000, 2_000_000)
    ]
    assert [c.clip_id for c in clips] == [f"{log.log_id}+{ms:07d}" for ms in (0, 1000, 2000)]
    assert {c.log_id for c in clips} == {log.log_id}


def test_a_short_log_is_one_short_clip(log):
    (clip,) = clips_of(lasting(log, 1_300_000))
    assert (clip.start_us, clip.end_us) == (5_000_000, 6_300_000)
    (instant,) = clips_of(lasting(log, 0))
    assert instant.start_us == instant.end_us


def test_a_part_of_a_log_has_the_clips_of_the_whole(log):
    assert clips_of(log.between(log.start_us, log.start_us + 1)) == clips_of(log)


@given(
    duration=st.integers(0, 30_000_000), stride=st.integers(200_000, 5_000_000), length=st.integers(200_000, 9_000_000)
)
def test_clips_cover_what_they_can(log, duration, stride, length):
    whole = lasting(log, duration)
    clips = clips_of(whole, stride_us=stride, length_us=length)
    assert clips[0].start_us == whole.start_us
    assert len({c.clip_id for c in clips}) == len(clips)
    for a, b in pairwise(clips):
        assert b.start_us - a.start_us == stride
    for clip in clips:
        assert whole.start_us <= clip.start_us <= clip.end_us <= whole.end_us
        assert clip.end_us - clip.start_us == min(length, duration)
        assert re.fullmatch(re.escape(whole.log_id) + r"\+\d{7,}", clip.clip_id)
    if duration >= length:
        assert whole.end_us - clips[-1].end_us < stride


@pytest.mark.parametrize("values", [{"stride_us": 0}, {"length_us": -1}])
def test_impossible_lengths_are_refused(log, values):
    with pytest.raises(ValueError, match="expected positive stride and length"):
        clips_of(log, **values)
