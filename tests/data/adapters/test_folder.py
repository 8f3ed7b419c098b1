"""The folder adapter: where times come from, what its tables may say, and what hostile ones may not."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from adapter_case import write_two_tone
from folder_tree import RIG, START_US, make_folder_tree, make_frames_tree
from hypothesis import given
from hypothesis import strategies as st

from sceneminer.data.adapters import folder
from sceneminer.data.adapters.folder_times import frame_times_us, natural_key, stamp_us
from sceneminer.data.errors import DataError, MediaError
from sceneminer.data.log import Log
from sceneminer.data.open import open_log, open_logs
from sceneminer.data.options import OpenOptions
from sceneminer.geometry.camera import project
from sceneminer.geometry.pose import invert, transform

REAL = Path(__file__).parents[3].parent / "shared" / "data"


@pytest.fixture
def root(tmp_path) -> Path:
    """Two logs of two cameras with a rig, poses and stamps."""
    return make_folder_tree(tmp_path)


@pytest.fixture
def frames(tmp_path) -> Path:
    return make_frames_tree(tmp_path)


def opened(root: Path, fps: float | None = None) -> Log:
    return open_logs(root, OpenOptions(fps=fps), adapter="folder").logs[0]


def names(log: Log, camera: str = "camera") -> list[str]:
    return [Path(file).name for file in log.series[camera].files]


def refusal(root: Path, fps: float | None = None) -> str:
    found = open_logs(root, OpenOptions(fps=fps), adapter="folder")
    assert found.refused, "expected a refusal"
    issue = found.refused[0][1]
    assert str(root) not in issue.subject + issue.reason
    return f"{issue.kind} {issue.subject}: {issue.reason}"


# ---- layouts


def test_each_level_may_be_the_root(root):
    assert [log.name for log in open_logs(root).logs] == ["monday", "tuesday"]
    one = opened(root / "monday")
    assert one.name == "monday" and one.cameras() == ("front", "rear")
    front = opened(root / "monday" / "front")
    assert front.name == "front" and front.cameras() == ("camera",)


def test_a_log_opened_alone_has_the_id_it_has_under_the_root(root):
    assert opened(root / "monday").log_id == open_logs(root).logs[0].log_id


def test_ids_last_as_long_as_the_first_image(root):
    """Clips are counted from it: a selection of clips stands when a drive grows or a bad image is thrown out."""
    monday, tuesday = (log.log_id for log in open_logs(root).logs)
    assert monday[:7] == "monday-" and len(monday) == 7 + 8
    front = root / "monday" / "front"
    write_two_tone(front / f"car7__front__{START_US + 900_000}.jpg", 64, 36)
    (front / f"car7__front__{START_US + 100_000}.jpg").unlink()
    write_two_tone(front / f"car7__front__{START_US}.jpg", 48, 30)
    shutil.rmtree(root / "monday" / "rear")
    assert [log.log_id for log in open_logs(root).logs] == [monday, tuesday]
    write_two_tone(front / f"car7__front__{START_US - 100_000}.jpg", 64, 36)
    earlier = open_logs(root).logs[0].log_id
    assert earlier != monday
    (root / "monday").rename(root / "wednesday")
    assert open_logs(root).logs[1].log_id[-8:] == earlier[-8:]


def test_two_drives_with_the_same_frame_names_have_different_ids(frames, tmp_path):
    other = tmp_path / "other" / "clip"
    shutil.copytree(frames, other)
    before = opened(frames, 10.0).log_id
    assert opened(other, 10.0).log_id == before, "a copy is the same drive"
    write_two_tone(other / "frame_0.jpg", 96, 54)
    assert opened(other, 10.0).log_id != before
    assert opened(frames, 20.0).log_id != before, "the same clips would be others at another rate"


def test_images_in_the_root_win_and_folders_beside_them_are_said(frames):
    write_two_tone(frames / "masks" / "frame_0.png", 8, 8)
    log = opened(frames, 10.0)
    assert log.cameras() == ("camera",) and len(log.series["camera"]) == 12
    assert [(issue.kind, issue.subject, issue.count) for issue in log.issues] == [("unsupported", "masks", 1)]


def test_other_media_are_counted_and_other_files_are_not(frames):
    for name in ("a.bmp", "b.mp4", "notes.txt", "._frame_0.jpg", ".thumbs.png"):
        (frames / name).write_bytes(b"x")
    log = opened(frames, 10.0)
    assert len(log.series["camera"]) == 12
    assert [(issue.kind, issue.subject, issue.count) for issue in log.issues] == [("unsupported", "a.bmp", 2)]


def test_links_out_of_the_root_are_left_out(frames, tmp_path):
    secret = tmp_path / "secret"
    write_two_tone(secret / "frame_99.jpg", 8, 8)
    (frames / "frame_98.jpg").symlink_to(secret / "frame_99.jpg")
    (frames / "frame_97.jpg").symlink_to(frames / "frame_1.jpg")
    log = opened(frames, 10.0)
    assert "frame_98.jpg" not in names(log) and "frame_97.jpg" in names(log)
    assert [(issue.kind, issue.subject) for issue in log.issues] == [("escaping_path", "frame_98.jpg")]
    cameras = tmp_path / "log"
    shutil.copytree(frames, cameras / "front", ignore=lambda *_: ["frame_97.jpg", "frame_98.jpg"])
    (cameras / "rear").symlink_to(secret, target_is_directory=True)
    found = open_logs(cameras, OpenOptions(fps=10.0))
    assert found.logs[0].cameras() == ("front",)
    assert [(issue.kind, issue.subject) for issue in found.issues] == [("escaping_path", "rear")]


def test_names_that_are_not_text_are_left_out_and_counted(frames):
    Path(os.fsdecode(os.fsencode(frames) + b"/frame_\xff.jpg")).write_bytes(b"x")
    log = opened(frames, 10.0)
    assert len(log.series["camera"]) == 12
    assert [(issue.kind, issue.count) for issue in log.issues] == [("unsupported", 1)]
    json.dumps([issue.subject for issue in log.issues]).encode()


def test_links_that_lead_to_no_file_are_left_out_and_counted(frames):
    for name, to in (("gone_1.jpg", "nowhere.jpg"), ("gone_2.jpg", "gone_2.jpg")):
        (frames / name).symlink_to(to)
    os.mkfifo(frames / "gone_3.jpg")
    (frames / "loop").symlink_to("loop")
    log = opened(frames, fps=10.0)
    assert names(log) == names(opened(frames, fps=10.0)) and not any("gone" in file for file in names(log))
    (issue,) = log.issues
    assert (issue.kind, issue.subject, issue.count) == ("missing_file", "gone_1.jpg", 3)


def test_a_folder_that_cannot_be_read_is_named_and_the_others_are_used(root, monkeypatch):
    closed = root / "monday" / "rear"
    scandir = os.scandir

    def refuse(path):
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    monday, tuesday = open_logs(root).logs
    assert monday.cameras() == ("front",) and tuesday.cameras() == ("front", "rear")
    assert [(i.kind, i.subject) for i in monday.issues] == [("broken_file", "monday/rear")]
    assert "Permission denied" in monday.issues[0].reason


def test_an_empty_image_is_named_when_it_is_read(frames):
    (frames / "frame_3.jpg").write_bytes(b"")
    log = opened(frames, 10.0)
    with pytest.raises(MediaError, match=r"frame_3\.jpg: expected a JPEG or PNG image"):
        log.store.read_image(log.series["camera"], 3)
    assert log.store.read_image(log.series["camera"], 4).shape == (36, 64, 3)


def test_a_root_without_images_is_refused(tmp_path):
    (tmp_path / "deep" / "a" / "b").mkdir(parents=True)
    write_two_tone(tmp_path / "deep" / "a" / "b" / "1.jpg", 8, 8)
    assert not folder.detect(tmp_path)
    with pytest.raises(DataError, match=r"ROOT/log/camera/\*.jpg"):
        open_logs(tmp_path, adapter="folder")


# ---- times by name


@pytest.mark.parametrize(
    ("stem", "time_us"),
    [
        ("n015-2018-08-03-15-00-36+0800__CAM_FRONT__1533280039170339", 1533280039170339),
        ("315973157959879000", 315973157959879),
        ("cam_1533280039170339123", 1533280039170339),
        ("1533280039170", 1533280039170000),
        ("1533280039.17", None),
        ("1533280039.170339", 1533280039170339),
        ("1533280039.170339123_left", 1533280039170339),
        ("frame_0012", None),
        ("0000000000001234", None),
        ("20180803150036", None),
    ],
)
def test_stamps_in_names(stem, time_us):
    assert stamp_us(stem) == time_us


@given(st.integers(10**15, 10**16 - 1), st.sampled_from(["{}", "cam_{}", "2020-01-01__{}", "{}_left"]))
def test_any_microsecond_stamp_is_read_back(time_us, pattern):
    assert stamp_us(pattern.format(time_us)) == time_us
    assert stamp_us(pattern.format(time_us * 1000 + 999)) == time_us


def test_stamps_order_the_images_of_each_camera(root):
    log = opened(root / "monday")
    assert log.series["front"].times_us.tolist() == [START_US + k * 100_000 for k in range(5)]
    assert log.series["rear"].times_us[0] == START_US + 40_000
    assert (log.start_us, log.end_us) == (START_US, START_US + 440_000)


@given(st.permutations([f"frame_{k}" for k in range(25)]))
def test_frame_2_comes_before_frame_10(stems):
    assert sorted(stems, key=natural_key) == [f"frame_{k}" for k in range(25)]


def test_frames_count_at_the_given_rate(frames):
    log = opened(frames, 12.5)
    assert names(log)[:3] == ["frame_0.jpg", "frame_1.jpg", "frame_2.jpg"] and names(log)[-1] == "frame_11.jpg"
    assert log.series["camera"].times_us.tolist() == [k * 80_000 for k in range(12)]


def test_without_times_a_rate_is_required(frames):
    with pytest.raises(DataError, match=r"a frame rate \(--fps\); found none, e.g. for frame_0.jpg"):
        opened(frames)
    for rate in (0.0, -1.0, float("nan"), float("inf"), 1e9):
        with pytest.raises(DataError, match="expected a frame rate"):
            opened(frames, rate)


def test_frame_numbers_keep_gaps_and_agree_between_cameras():
    times = frame_times_us({"a": ["f_10", "f_20", "f_40"], "b": ["g_20", "g_30"]}, 10.0)
    assert times == {"a": [0, 100_000, 300_000], "b": [100_000, 200_000]}


def test_names_that_are_no_frame_numbers_count_in_order():
    assert frame_times_us({"a": ["left", "right"]}, 10.0) == {"a": [0, 100_000]}
    assert frame_times_us({"a": ["img_5", "img_90000", "img_90001"]}, 10.0) == {"a": [0, 100_000, 200_000]}
    assert frame_times_us({"a": ["x1_7", "x2_7"]}, 10.0) == {"a": [0, 100_000]}


def test_images_without_a_stamp_among_stamped_ones_are_counted(root):
    write_two_tone(root / "monday" / "front" / "cover.jpg", 8, 8)
    log = opened(root / "monday")
    assert len(log.series["front"]) == 5
    assert [(issue.kind, issue.subject, issue.count) for issue in log.issues] == [("odd_time", "front/cover.jpg", 1)]


def test_cameras_of_two_clocks_are_refused(root):
    for k, path in enumerate(sorted((root / "monday" / "rear").iterdir())):
        path.rename(path.with_name(f"frame_{k}.png"))
    assert "odd_time rear: expected times as front has them" in refusal(root / "monday", 10.0)


def test_equal_times_keep_the_first_image(root):
    write_two_tone(root / "monday" / "front" / f"zz_{START_US}.jpg", 8, 8)
    log = opened(root / "monday")
    assert names(log, "front")[0] == f"car7__front__{START_US}.jpg"
    assert [(issue.kind, issue.count) for issue in log.issues] == [("odd_time", 1)]


# ---- timestamps.csv


def write_times(folder: Path, *rows: str, header: str = "file,time_us") -> None:
    (folder / "timestamps.csv").write_text("\n".join([header, *rows]) + "\n")


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("file,time_us", ("5000000", "6500001")),
        ("time_ns, file", ("5000000123", "6500001999")),
        ("file,time_s", ("5.0", "6.500001")),
    ],
)
def test_a_table_of_times(frames, header, values):
    order = (lambda f, t: f"{t},{f}") if header.startswith("time") else (lambda f, t: f"{f},{t}")
    write_times(frames, order("frame_7.jpg", values[0]), order("frame_2.jpg", values[1]), header=header)
    log = opened(frames)
    assert names(log) == ["frame_7.jpg", "frame_2.jpg"]
    assert log.series["camera"].times_us.tolist() == [5_000_000, 6_500_001]
    assert [(issue.kind, issue.count) for issue in log.issues] == [("odd_time", 10)]


def test_a_table_of_a_log_names_cameras_and_one_of_a_camera_does_not(root):
    monday = root / "monday"
    files = {c: sorted(p.name for p in (monday / c).iterdir()) for c in ("front", "rear")}
    write_times(monday, *(f"front/{name},{k}" for k, name in enumerate(files["front"])))
    write_times(monday / "rear", *(f"{name},{k + 7}" for k, name in enumerate(files["rear"])))
    log = opened(monday)
    assert log.series["front"].times_us.tolist() == [0, 1, 2, 3, 4]
    assert log.series["rear"].times_us.tolist() == [7, 8, 9, 10, 11]


def test_rows_that_leave_the_folder_or_name_nothing_are_counted(frames):
    write_times(frames, "frame_1.jpg,5", "../../etc/passwd,6", "/etc/passwd,7", "frame_77.jpg,8")
    log = opened(frames)
    assert names(log) == ["frame_1.jpg"]
    found = {issue.kind: (issue.subject, issue.count) for issue in log.issues}
    assert found["escaping_path"] == ("timestamps.csv", 2) and found["missing_file"] == ("timestamps.csv", 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "expected a header line, found an empty file"),
        ("name,time_us\na.jpg,1\n", "header: expected the columns file and one of time_us, time_ns, time_s"),
        ("file,time_us,extra\na,1,2\n", "header"),
        ("file,time_us,time_ns\na,1,2\n", "header"),
        ("file,time_us\nframe_1.jpg,nan\n", "row 1, column time_us: expected a whole number"),
        (
            "file,time_s\nframe_1.jpg,1\nframe_2.jpg,inf\n",
            "row 2, column time_s: expected a finite number, found 'inf'",
        ),
        ("file,time_s\nframe_1.jpg,-1\n", "expected a time of at least 0"),
        ("file,time_us\nframe_1.jpg,99999999999999999999\n", "at most 19 digits"),
        ("file,time_us\nframe_1.jpg,1_0\n", "whole number"),
        ("file,time_us\nframe_1.jpg\n", "row 1: expected 2 values, found 1"),
        ("file,time_us\nframe_1.jpg,1\nframe_1.jpg,2\n", "row 2, column file: expected each file once"),
        ('file,time_us\n"frame_1.jpg,1\n', "expected comma-separated UTF-8 text"),
        ("file,time_us\n" + "x" * 200_000 + ",1\n", "expected comma-separated UTF-8 text"),
    ],
)
def test_a_table_of_times_that_is_none_is_refused(frames, text, expected):
    (frames / "timestamps.csv").write_text(text)
    reason = refusal(frames)
    assert reason.startswith("bad_table timestamps.csv: ") and expected in reason and len(reason) < 300


def test_a_table_that_is_not_text_or_lies_elsewhere_is_refused(frames, tmp_path):
    (frames / "timestamps.csv").write_bytes(b"\xff\xfe\x00file")
    assert "UTF-8" in refusal(frames)
    (frames / "timestamps.csv").unlink()
    (tmp_path / "outside.csv").write_text("file,time_us\n")
    (frames / "timestamps.csv").symlink_to(tmp_path / "outside.csv")
    assert refusal(frames).startswith("escaping_path timestamps.csv")


# ---- rig.json


def with_rig(root: Path, rig: object) -> None:
    (root / "rig.json").write_text(rig if isinstance(rig, str) else json.dumps(rig))


def front(**changed) -> dict:
    sensor = {**RIG["sensors"]["front"], **changed}
    return {"sensors": {**RIG["sensors"], "front": {k: v for k, v in sensor.items() if v is not ...}}}


def test_a_rig_projects_as_it_says(root):
    rig = opened(root).rig
    assert rig.source == "calibrated"
    ahead, behind = np.array([[11.5, 0.0, 1.6]]), np.array([[-11.0, 0.0, 1.2]])
    for camera, point, center in (("front", ahead, [31.5, 17.5]), ("rear", behind, [23.5, 14.5])):
        sensor = rig.sensors[camera]
        assert sensor.camera is not None
        uv, seen = project(sensor.camera, transform(invert(sensor.ego_from_sensor), point))
        assert seen[0]
        np.testing.assert_allclose(uv[0], center, atol=1e-9)


def test_without_a_rig_nothing_is_calibrated(root):
    (root / "rig.json").unlink()
    log = opened(root)
    assert log.rig.source == "none" and log.series["front"].sensor(0).camera is None and not log.issues


def test_the_logs_own_rig_wins(root):
    with_rig(root / "monday", front(fx=80.0))
    by_log = [log.rig.sensors["front"].camera for log in open_logs(root).logs]
    assert [camera.fx for camera in by_log if camera] == [80.0, 50.0]


def test_a_camera_without_an_entry_is_named(root):
    with_rig(root, {"sensors": {"front": RIG["sensors"]["front"]}})
    log = opened(root)
    assert log.rig.source == "calibrated" and log.series["rear"].sensor(0).camera is None
    assert [(issue.kind, issue.subject) for issue in log.issues] == [("no_calibration", "rig.json")]


def test_a_rig_for_another_image_size_is_scaled_or_dropped_and_that_is_said(root):
    with_rig(root, front(width=128, height=72, cx=63.5, cy=35.5, fx=100.0, fy=100.0))
    log = opened(root)
    camera = log.series["front"].sensor(0).camera
    assert camera is not None
    assert (camera.width_px, camera.height_px, camera.fx, camera.cx) == (64, 36, 50.0, 31.5)
    assert "found 64×36; the calibration is scaled" in log.issues[0].reason
    with_rig(root, front(width=128, height=128))
    log = opened(root)
    assert log.series["front"].sensor(0).camera is None and log.rig.sensors["front"].camera is None
    assert "not calibrated" in log.issues[0].reason


NAN = float("nan")
EYE = np.eye(4).tolist()


@pytest.mark.parametrize(
    ("rig", "expected"),
    [
        ("", "expected JSON, found JSONDecodeError"),
        ("[" * 100_000, "expected JSON, found RecursionError"),
        ("1" * 10_000, "expected JSON, found ValueError"),
        ("[]", 'top level: expected one key "sensors"'),
        ({"cameras": {}}, "top level"),
        ({"sensors": [], "version": 1}, "top level"),
        ({"sensors": {"front": 7}}, "sensors.front: expected an object, found 7"),
        (front(fov=90), "sensors.front: expected keys among cx"),
        (front(cx=...), "sensors.front: expected the key cx, found none"),
        (front(width=64.0), "sensors.front.width: expected a whole number of pixels"),
        (front(width=True), "sensors.front.width"),
        (front(width=0), "sensors.front.width"),
        (front(width=60_000, height=60_000), "pixels, found 3600000000"),
        (front(fx="50"), "sensors.front.fx: expected a finite number, found '50'"),
        (front(fx=NAN), "found NaN"),
        (front(fx=1e300), "sensors.front.fx: expected a finite number"),
        (front(fx=-50.0), "positive focal lengths"),
        (front(model="omni"), "sensors.front.model: expected pinhole or fisheye, found 'omni'"),
        (front(model=["pinhole"]), "sensors.front.model"),
        (front(distortion=[0.1, 0.2]), "expected 0 or 4 or 5 or 8 distortion values"),
        (front(distortion=[0.1] * 100), "sensors.front.distortion: expected a list of up to 8 numbers"),
        (front(ego_from_sensor=EYE[:3]), "sensors.front.ego_from_sensor: expected 4 rows of 4 numbers"),
        (front(ego_from_sensor=[[2, 0, 0, 0], *EYE[1:]]), "a rotation and a shift"),
        (front(ego_from_sensor=[[-1, 0, 0, 0], *EYE[1:]]), "a rotation and a shift"),
        (front(ego_from_sensor={"translation": [0, 0, 0]}), "the keys translation and quaternion_wxyz"),
        (front(ego_from_sensor={"translation": [0, 0, 0], "quaternion_wxyz": [0, 0, 0, 0]}), "a unit quaternion"),
        ('{"sensors": {}, "sensors": {}}', "a key that comes twice"),
    ],
)
def test_a_rig_that_is_none_is_refused(root, rig, expected):
    with_rig(root, rig)
    reason = refusal(root)
    assert reason.startswith("bad_table rig.json: ") and expected in reason and len(reason) < 400


def test_a_huge_rig_is_not_read(root):
    with (root / "rig.json").open("wb") as file:
        file.truncate(100 * 2**20)
    assert "too_large rig.json: expected at most 1048576 bytes, found 104857600" in refusal(root)


# ---- poses.csv


def with_poses(folder: Path, *rows: str, header: str = "time_us,x,y,z,qw,qx,qy,qz") -> None:
    (folder / "poses.csv").write_text("\n".join([header, *rows]) + "\n")


def test_poses_are_read_in_any_column_order(root):
    with_poses(root / "monday", f"0.6,0.8,0,0,1,2,3,{START_US}", header="qw,qz,qx,qy,x,y,z,time_us")
    log = opened(root)
    assert log.pose_times_us.tolist() == [START_US]
    np.testing.assert_allclose(log.world_from_ego[0, :3, 3], [1, 2, 3])
    np.testing.assert_allclose(log.world_from_ego[0, :2, 0], [0.36 - 0.64, 0.96])


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["1,nan,0,0,1,0,0,0"], "row 1, column x: expected a finite number, found 'nan'"),
        (["1,0,0,0,1,0,0,0", "2,0,0,1e999,1,0,0,0"], "row 2, column z: expected a finite number"),
        (["1,1e30,0,0,1,0,0,0"], "row 1, column x: expected at most 1e8"),
        (["1,0,0,0,0,0,0,0"], "row 1, columns qw to qz: expected a unit quaternion"),
        (["1,0,0,0,2,0,0,0"], "a unit quaternion"),
        (["2,0,0,0,1,0,0,0", "1,0,0,0,1,0,0,0"], "row 2, column time_us: expected ascending times, found 1"),
        (["2,0,0,0,1,0,0,0", "2,0,0,0,1,0,0,0"], "ascending times"),
        (["9223372036854775807,0,0,0,1,0,0,0"], "none above 2^62"),
        (["-1,0,0,0,1,0,0,0"], "row 1, column time_us: expected a whole number"),
        ([], "at least one time"),
    ],
)
def test_poses_that_are_none_are_refused(root, rows, expected):
    with_poses(root / "monday", *rows)
    reason = refusal(root / "monday")
    assert reason.startswith("bad_table poses.csv: ") and expected in reason


def test_a_broken_log_does_not_stop_the_others(root):
    with_poses(root / "monday", "1,2,3", header="a,b,c")
    found = open_logs(root)
    assert [log.name for log in found.logs] == ["tuesday"]
    assert [(name, issue.subject) for name, issue in found.refused] == [("monday", "monday/poses.csv")]


def test_poses_of_another_time_are_left_out_and_said(root):
    with_poses(root / "monday", "5,0,0,0,1,0,0,0", "6,1,0,0,1,0,0,0")
    log = opened(root)
    assert not log.has_poses
    assert [(issue.kind, issue.subject) for issue in log.issues] == [("no_pose", "monday/poses.csv")]


# ---- real images


@pytest.mark.skipif(not (REAL / "pexels_dashcam").is_dir(), reason="no real recordings at ../shared/data")
def test_real_dash_cam_frames_need_a_rate():
    root = REAL / "pexels_dashcam"
    with pytest.raises(DataError, match="--fps"):
        open_log(root)
    log = open_log(root, options=OpenOptions(fps=30.0))
    assert log.cameras() == ("example_02",) and len(log.series["example_02"]) == 50 and not log.issues
    assert names(log, "example_02")[0] == "frame_0000.jpg" and log.end_us == round(49 / 30 * 1e6)


@pytest.mark.skipif(not (REAL / "nuscenes" / "drivelm").is_dir(), reason="no real recordings at ../shared/data")
def test_real_images_with_stamps_of_six_cameras():
    log = open_log(REAL / "nuscenes" / "drivelm" / "samples")
    assert {name: len(series) for name, series in log.series.items()} == dict.fromkeys(
        [f"CAM_{side}" for side in ("BACK", "BACK_LEFT", "BACK_RIGHT", "FRONT", "FRONT_LEFT", "FRONT_RIGHT")], 5
    )
    assert log.series["CAM_FRONT"].times_us[0] == 1533280036162460
    assert log.rig.source == "none" and not log.has_poses
