"""Frames: each sensor's nearest measurement, with its own time, pose and validity."""

from dataclasses import replace

import numpy as np
import pytest
from nuscenes_tree import START_US, ego_pose_at, make_nuscenes_tree, nuscenes_tables, write_tables

from sceneminer.data.frame import frame_at, iter_frames
from sceneminer.data.log import Log
from sceneminer.data.open import open_log


@pytest.fixture
def log(tmp_path, monkeypatch) -> Log:
    monkeypatch.setenv("SCENEMINER_CACHE", str(tmp_path / "cache"))
    return open_log(make_nuscenes_tree(tmp_path), "scene-0001")


def test_each_sensor_keeps_its_own_time(log):
    frame = frame_at(log, START_US + 1_000_000)
    times = {name: m.time_us - START_US for name, m in frame.measurements.items()}
    assert times == {"CAM_FRONT": 988_000, "CAM_BACK": 1_031_000, "LIDAR_TOP": 1_000_000}
    assert all(m.valid for m in frame.measurements.values())
    np.testing.assert_allclose(frame.world_from_ego, ego_pose_at(START_US + 1_000_000, 0), atol=1e-9)
    for name, m in frame.measurements.items():
        np.testing.assert_allclose(m.world_from_ego, ego_pose_at(m.time_us, 0), atol=1e-9)
        assert log.series[name].times_us[m.index] == m.time_us


def test_the_nearest_of_several_sweeps_is_taken(log):
    # CAM_FRONT measures at −12, 138 and 288 ms around each keyframe.
    asked = START_US + np.array([60_000, 70_000, 213_000, 214_000])
    frames = iter_frames(log, asked, sensors=("CAM_FRONT",), tolerance_us=200_000)
    assert [f.measurements["CAM_FRONT"].index for f in frames] == [0, 1, 1, 2]


def test_what_is_too_far_away_is_not_valid_and_says_why(log):
    far = frame_at(log, START_US + 400_000, tolerance_us=50_000).measurements["CAM_BACK"]
    assert not far.valid and far.index == -1 and far.time_us == START_US + 400_000
    assert far.reason == "nearest CAM_BACK measurement is 131 ms away, tolerance 50 ms"
    near = frame_at(log, START_US + 400_000, tolerance_us=131_000).measurements["CAM_BACK"]
    assert near.valid


def test_a_sensor_that_the_log_lacks_is_asked_for_in_vain(log):
    asked = ("CAM_FRONT", "CAM_SIDE")
    frame = frame_at(log, START_US, sensors=asked)
    assert tuple(frame.measurements) == asked
    assert frame.measurements["CAM_SIDE"].reason == "CAM_SIDE has no measurements"
    emptied = log.between(log.end_us + 1, log.end_us + 2)
    assert not frame_at(emptied, START_US, sensors=asked).measurements["CAM_FRONT"].valid


def test_a_changed_camera_comes_with_its_frame(log):
    widths = [
        frame.measurements["CAM_BACK"].sensor.camera.width_px
        for frame in iter_frames(log, log.reference_times_us, sensors=("CAM_BACK",))
    ]
    assert widths == [64, 64, 96, 96]


def test_without_poses_there_are_frames_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("SCENEMINER_CACHE", str(tmp_path / "cache"))
    root = make_nuscenes_tree(tmp_path)
    (root / "v1.0-mini" / "ego_pose.json").unlink()
    frame = frame_at(open_log(root, "scene-0001"), START_US)
    assert frame.world_from_ego is None
    assert frame.measurements["CAM_FRONT"].valid and frame.measurements["CAM_FRONT"].world_from_ego is None


def test_where_poses_end_or_have_a_gap_ego_is_nowhere(log):
    """A pose held for seconds would put ego, and all that is measured from it, where it was and is not."""
    part = replace(log, pose_times_us=log.pose_times_us[:4], world_from_ego=log.world_from_ego[:4])
    last_us = int(part.pose_times_us[-1])
    near, far = (frame_at(part, last_us + after_us, tolerance_us=10**7) for after_us in (400_000, 1_200_000))
    assert near.world_from_ego is not None and far.world_from_ego is None
    measured = far.measurements["CAM_FRONT"]
    assert measured.valid and measured.time_us > last_us + 500_000 and measured.world_from_ego is None
    times_us = np.array([0, 3_000_000])
    holey = replace(part, pose_times_us=times_us, world_from_ego=log.world_from_ego[:2])
    asked = np.array([0, 499_999, 500_001, 2_499_999, 2_500_001])
    assert holey.pose_known(asked).tolist() == [True, True, False, False, True]


def test_poses_that_cover_a_part_of_a_drive_are_said(tmp_path, monkeypatch):
    monkeypatch.setenv("SCENEMINER_CACHE", str(tmp_path / "cache"))
    tables = nuscenes_tables()
    tables["ego_pose"] = [row for row in tables["ego_pose"] if row["timestamp"] < START_US + 600_000]
    write_tables(tmp_path, tables)
    log = open_log(tmp_path, "scene-0001")
    assert [i.count for i in log.issues if (i.kind, i.subject) == ("no_pose", "ego poses")] == [1]
    write_tables(tmp_path, nuscenes_tables())
    assert not [i for i in open_log(tmp_path, "scene-0001").issues if i.kind == "no_pose"]
