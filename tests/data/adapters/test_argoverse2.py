"""The Argoverse 2 adapter: frames and units of what it reads, broken logs, and the real pieces."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pytest
from argoverse2_tree import (
    LOG,
    MINED,
    SPEED_MPS,
    START_NS,
    SWEEPS,
    boxes,
    city_from_axle,
    make_argoverse2_tree,
    map_archive,
    write_table,
)

from sceneminer.data.adapters import argoverse2
from sceneminer.data.adapters.argoverse2_tables import AXLE_HEIGHT_M, CATEGORY_OF
from sceneminer.data.errors import DataError, MediaError
from sceneminer.data.log import Log
from sceneminer.data.open import open_log, open_logs
from sceneminer.data.options import OpenOptions
from sceneminer.data.track import CATEGORIES
from sceneminer.geometry.camera import project
from sceneminer.geometry.pose import invert, transform

REAL = Path(__file__).parents[3].parent / "shared" / "data" / "av2"
VAL = REAL / "sensor" / "val" / "adcf7d18-0510-35b0-a2fa-b4cea13a6d76"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="no real recordings at ../shared/data/av2")


@pytest.fixture
def root(tmp_path) -> Path:
    return make_argoverse2_tree(tmp_path)


@pytest.fixture
def folder(root) -> Path:
    return root / "sensor" / "val" / LOG


@pytest.fixture
def log(folder) -> Log:
    return open_log(folder)


def refusal(root: Path) -> str:
    opened = open_logs(root)
    assert not opened.logs
    return f"{opened.refused[0][1].kind} {opened.refused[0][1].subject} {opened.refused[0][1].reason}"


def issues_of(log: Log) -> dict[str, int]:
    return {issue.kind: issue.count for issue in log.issues}


def rewrite(path: Path, **changed) -> None:
    columns = feather.read_table(path).to_pydict()
    write_table(path, {k: v for k, v in {**columns, **changed}.items() if v is not None})


@pytest.mark.parametrize("where", ["", "sensor", "sensor/val", f"sensor/val/{LOG}", "scenario_mining"])
def test_a_root_may_be_any_level_of_the_download(root, where):
    assert argoverse2.detect(root / where)
    names = {log.name for log in open_logs(root / where).logs}
    both = {"": {LOG, MINED}, "scenario_mining": {MINED}}
    assert names == both.get(where, {LOG})


def test_a_log_says_what_it_is(root):
    log = open_log(root, LOG)
    assert (log.log_id, log.split, log.location) == ("av2-0a1b2c3d", "val", "PIT")
    assert log.licence is not None and "CC BY-NC-SA 4.0" in log.licence
    assert not log.issues
    assert open_log(root, MINED).log_id == "av2sm-9f8e7d6c"


def test_a_split_can_be_chosen(root):
    assert [log.name for log in open_logs(root, OpenOptions(split="val")).logs] == [LOG]
    with pytest.raises(DataError, match="no such log of split train"):
        open_logs(root, OpenOptions(split="train"))
    with pytest.raises(DataError, match="expected split train, val, test; found mini"):
        open_logs(root, OpenOptions(split="mini"))


def test_the_same_drive_for_mining_is_another_log(root):
    shutil.move(root / "scenario_mining" / MINED, root / "scenario_mining" / LOG)
    opened = open_logs(root)
    assert [log.log_id for log in opened.logs] == ["av2sm-0a1b2c3d", "av2-0a1b2c3d"]


def test_nanoseconds_become_microseconds(log):
    start = START_NS // 1000
    assert log.series["lidar"].times_us.tolist() == [start + k * 100_000 for k in range(SWEEPS)]
    assert log.reference_times_us.tolist() == [start + k * 100_000 for k in range(SWEEPS)]
    assert log.series["ring_front_left"].times_us[0] == start + 7_000
    assert log.pose_times_us[0] == start - 50_000 and log.pose_times_us[1] == start - 40_000


def test_ego_is_on_the_ground_below_the_rear_axle(log):
    at, held = log.poses_at(np.array([START_NS // 1000]))
    axle = transform(at[0], np.array([[0.0, 0.0, AXLE_HEIGHT_M]]))[0]
    np.testing.assert_allclose(axle, city_from_axle(START_NS)[:3, 3], atol=1e-9)
    assert held[0] == 0
    sweep = log.store.read_points(log.series["lidar"], 0)
    ground = transform(log.series["lidar"].sensor(0).ego_from_sensor, sweep.xyz_m)
    np.testing.assert_allclose(ground[:, 2], 0.0, atol=1e-3)


def test_tracks_are_placed_by_the_pose_at_their_own_time(log):
    tracks = {track.track_id: track for track in log.store.read_tracks()}
    assert {name: track.category for name, track in tracks.items()} == {
        "bike": "bicycle",
        "car": "car",
        "cone": "cone",
    }
    still = tracks["bike"].world_from_box
    np.testing.assert_allclose(still, np.broadcast_to(still[0], still.shape), atol=1e-9)
    car = tracks["car"]
    steps = np.linalg.norm(np.diff(car.world_from_box[:, :3, 3], axis=0), axis=-1)
    np.testing.assert_allclose(steps, SPEED_MPS * 0.1, atol=1e-9)
    np.testing.assert_allclose(
        car.world_from_box[0, :3, 3], (city_from_axle(START_NS) @ [12.0, 0.2, 0.5, 1])[:3], atol=1e-9
    )
    assert car.size_lwh_m[0].tolist() == [4.5, 1.9, 1.6] and car.source_category == "REGULAR_VEHICLE"
    assert car.lidar_points is not None and car.lidar_points.tolist() == [30] * SWEEPS


def test_ego_is_no_agent_of_a_mining_log(root):
    mined = open_log(root / "scenario_mining")
    tracks = mined.store.read_tracks()
    assert {track.track_id for track in tracks} == {"car", "bike", "cone"}
    assert not any(track.source_category == "EGO_VEHICLE" for track in tracks)
    assert mined.rig.source == "none" and not mined.cameras()


def test_calibration_projects_what_lies_ahead_into_the_front_camera(log):
    assert log.rig.source == "calibrated"
    sensor = log.rig.sensors["ring_front_center"]
    assert sensor.camera is not None
    ahead = transform(invert(sensor.ego_from_sensor), np.array([[11.6, 0.0, 1.4 + AXLE_HEIGHT_M], [11.6, 1.0, 1.2]]))
    uv, seen = project(sensor.camera, ahead)
    assert seen.all()
    np.testing.assert_allclose(uv[0], [17.5, 31.5], atol=1e-6)
    assert uv[1][0] < uv[0][0] and uv[1][1] > uv[0][1], "left of ego is left in the image, lower is lower"
    assert sensor.camera.distortion == (), "the images are published undistorted"


def test_keyframes_are_the_images_nearest_to_the_annotated_times(folder):
    log = open_log(folder)
    assert log.series["ring_front_left"].keyframe.tolist() == [True, False] * SWEEPS
    assert log.series["lidar"].keyframe.all()
    light = open_log(folder, options=OpenOptions(sweeps=False))
    assert len(light.series["ring_front_left"]) == SWEEPS and light.series["ring_front_left"].keyframe.all()


def test_media_may_lie_under_another_root(root, folder, tmp_path):
    media = tmp_path / "media"
    shutil.move(folder / "sensors", media / LOG / "sensors")
    assert not open_log(folder).cameras()
    log = open_log(folder, options=OpenOptions(media_root=media))
    assert log.store.read_image(log.series["ring_front_center"], 0).shape == (64, 36, 3)


def test_the_map_has_lanes_lines_and_areas(log):
    hd_map = log.store.read_map()
    assert hd_map is not None and hd_map.location == "PIT" and hd_map.missing == ()
    assert {name: round(sum(shape.area for shape in shapes)) for name, shapes in hd_map.areas.items()} == {
        "drivable": 60 * 14,
        "intersection": 40,
        "crossing": 3 * 14,
    }
    assert {name: len(lines) for name, lines in hd_map.lines.items()} == {
        "lane_divider": 1,
        "road_divider": 1,
        "boundary": 1,
    }
    lanes = {lane.lane_id: lane for lane in hd_map.lanes}
    assert set(lanes) == {"1", "2", "3", "4"}, "a bicycle lane is no lane for cars"
    assert lanes["1"].successors == ("4",) and lanes["4"].is_connector and not lanes["1"].is_connector
    np.testing.assert_allclose(lanes["1"].centerline[:, 1], 2002.0)
    assert lanes["1"].centerline[0, 0] < lanes["1"].centerline[-1, 0]
    assert lanes["3"].centerline[0, 0] > lanes["3"].centerline[-1, 0], "the lane beyond the yellow line runs back"


def test_a_self_crossing_area_is_split_not_refused(folder, log):
    archive = map_archive()
    bow = [(0, 0), (10, 10), (10, 0), (0, 10)]
    archive["drivable_areas"]["7"]["area_boundary"] = [{"x": x, "y": y, "z": 0} for x, y in bow]
    next((folder / "map").glob("*.json")).write_text(json.dumps(archive))
    hd_map = log.store.read_map()
    assert hd_map is not None and all(area.is_valid for area in hd_map.areas["drivable"])
    assert sum(area.area for area in hd_map.areas["drivable"]) == pytest.approx(50)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "expected JSON"),
        ("[" * 100_000, "expected JSON"),
        ("[]", "expected an object of layers, found list"),
        ('{"lane_segments": [1]}', "expected lane_segments to be an object of objects"),
        ('{"drivable_areas": {"1": {"area_boundary": [{"x": 1}]}}}', "expected area_boundary as points"),
        ('{"drivable_areas": {"1": {"area_boundary": [{"x": NaN, "y": 1}]}}}', "finite"),
        ('{"lane_segments": {"1": {"left_lane_boundary": []}}}', "lane_segments 1: "),
    ],
)
def test_a_broken_map_is_named(folder, log, text, expected):
    next((folder / "map").glob("*.json")).write_text(text)
    with pytest.raises(MediaError, match=expected) as caught:
        log.store.read_map()
    assert f"{LOG}____PIT" in str(caught.value) and str(folder) not in str(caught.value)


@pytest.mark.parametrize("table", ["city_SE3_egovehicle", "annotations", "calibration/intrinsics"])
def test_a_missing_column_is_named(folder, table):
    path = folder / f"{table}.feather"
    rewrite(path, **{"fx_px" if "intrinsics" in table else "qw": None})
    reason = refusal(folder)
    assert reason.startswith(f"bad_table {table}.feather expected one column")


def test_tables_that_are_none_are_named(folder):
    (folder / "annotations.feather").write_bytes(b"ARROW1 and then nothing")
    assert refusal(folder).startswith("bad_table annotations.feather expected a Feather table")
    write_table(folder / "annotations.feather", {**boxes(), "track_uuid": list(range(len(boxes()["qw"])))})
    assert "expected column track_uuid of string" in refusal(folder)
    write_table(folder / "annotations.feather", {**boxes(), "timestamp_ns": ["now"] * len(boxes()["qw"])})
    assert "expected column timestamp_ns of int64" in refusal(folder)
    outside = folder.parent / "elsewhere.feather"
    shutil.move(folder / "city_SE3_egovehicle.feather", outside)
    (folder / "city_SE3_egovehicle.feather").symlink_to(outside)
    assert refusal(folder).startswith("escaping_path city_SE3_egovehicle.feather")


def test_a_table_with_lying_offsets_is_refused(folder):
    """Strings whose offsets point past their data must not be read."""
    rows = len(boxes()["qw"])
    offsets = np.full(rows + 1, 5, np.int32)
    offsets[:2] = 0, 10**6
    lying = pa.Array.from_buffers(pa.string(), rows, [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"short")])
    table = pa.table({**boxes(), "category": lying})
    with pa.OSFile(str(folder / "annotations.feather"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    assert refusal(folder).startswith("bad_table annotations.feather")


def test_broken_rows_are_left_out_and_counted(folder):
    columns = boxes()
    columns["tx_m"][0], columns["length_m"][1] = float("nan"), -1.0
    columns["qw"][2] = columns["qx"][2] = columns["qy"][2] = columns["qz"][2] = 0.0
    columns["category"][4] = "HOVERCRAFT"
    for name, values in columns.items():
        values.append(values[5])
        values.append(values[6] if name != "timestamp_ns" else START_NS + 90_000_000_000)
    write_table(folder / "annotations.feather", columns)
    log = open_log(folder)
    found = [(issue.kind, issue.count) for issue in log.issues]
    assert found == [("bad_row", 3), ("no_pose", 1), ("bad_row", 1), ("unsupported", 1)]
    assert log.end_us - log.start_us < 30_000_000, "a row that is left out makes no drive of 90 s"
    tracks = log.store.read_tracks()
    assert sum(len(track.times_us) for track in tracks) == len(boxes()["qw"]) - 3
    assert all(np.isfinite(track.world_from_box).all() for track in tracks)


def test_a_file_of_another_day_is_left_out_and_named(folder):
    front = folder / "sensors" / "cameras" / "ring_front_center"
    before = open_log(folder)
    shutil.copy(next(front.iterdir()), front / f"{10**15}.jpg")
    log = open_log(folder)
    assert log.start_us == before.start_us
    (issue,) = (issue for issue in log.issues if issue.kind == "odd_time")
    assert issue.subject.endswith(f"{10**15}.jpg") and issue.count == 1


def test_a_sensor_folder_that_is_a_link_out_of_the_root_is_said_on_opening(folder, tmp_path):
    front = folder / "sensors" / "cameras" / "ring_front_center"
    shutil.move(front, tmp_path / "elsewhere")
    front.symlink_to(tmp_path / "elsewhere")
    log = open_log(folder)
    (issue,) = (issue for issue in log.issues if issue.kind == "escaping_path")
    assert issue.count == len(log.series["ring_front_center"]) and "--media-root" in issue.reason
    with pytest.raises(MediaError, match="inside the media root"):
        log.store.read_image(log.series["ring_front_center"], 0)


def test_what_a_partial_log_lacks_is_said(folder):
    shutil.rmtree(folder / "calibration")
    shutil.rmtree(folder / "map")
    (folder / "annotations.feather").unlink()
    log = open_log(folder)
    assert (log.has_tracks, log.has_map, log.has_poses, log.rig.source) == (False, False, True, "none")
    assert issues_of(log) == {"no_calibration": 1, "missing_table": 1}
    assert [issue.subject for issue in log.issues] == ["annotations.feather", "calibration", "map"]
    assert log.store.read_tracks() == () and log.store.read_map() is None
    assert log.reference_times_us.tolist() == log.series["ring_front_center"].times_us.tolist()
    (folder / "city_SE3_egovehicle.feather").unlink()
    (folder / "annotations.feather").write_bytes(b"")
    assert not open_logs(folder).logs


def test_a_log_without_poses_has_images_but_no_tracks(folder):
    (folder / "city_SE3_egovehicle.feather").unlink()
    log = open_log(folder)
    assert not log.has_poses and not log.has_tracks and log.store.read_tracks() == ()
    assert log.store.read_image(log.series["ring_front_center"], 0).shape == (64, 36, 3)
    assert issues_of(log)["no_pose"] == 2 * SWEEPS + 1


def test_files_without_a_time_are_counted(folder):
    shutil.copy(
        next((folder / "sensors/cameras/ring_front_left").iterdir()), folder / "sensors/cameras/ring_front_left/b.jpg"
    )
    log = open_log(folder)
    assert issues_of(log) == {"odd_time": 1} and len(log.series["ring_front_left"]) == 2 * SWEEPS


def test_a_sensor_without_files_is_said(folder):
    (folder / "sensors" / "cameras" / "ring_rear_left").mkdir()
    log = open_log(folder)
    assert "ring_rear_left" not in log.series
    assert [(issue.kind, issue.subject) for issue in log.issues] == [
        ("missing_file", "sensors/cameras/ring_rear_left"),
    ]


def test_a_camera_with_a_broken_lens_row_is_uncalibrated_and_named(folder):
    rewrite(folder / "calibration" / "intrinsics.feather", fx_px=[float("nan"), 50.0])
    log = open_log(folder)
    assert log.series["ring_front_center"].sensor(0).camera is None
    assert log.series["ring_front_left"].sensor(0).camera is not None
    assert any(issue.kind == "no_calibration" and "ring_front_center" in issue.subject for issue in log.issues)


def test_categories_are_ours():
    assert set(CATEGORY_OF.values()) <= set(CATEGORIES) and len(CATEGORY_OF) == 30


@needs_real
def test_the_real_validation_log_opens():
    log = open_log(VAL)
    tracks = log.store.read_tracks()
    assert (log.log_id, log.location, log.rig.source) == ("av2-adcf7d18", "PIT", "none")
    assert len(tracks) == 146 and len(log.reference_times_us) == 156
    assert sum(len(track.times_us) for track in tracks) == 12_078
    points = log.store.read_points(log.series["lidar"], 0)
    assert points.xyz_m.shape == (100_660, 3)


@needs_real
def test_a_real_box_is_where_its_table_says():
    """By hand: city = R(q) · box + t with the pose of the very nanosecond of the annotation."""
    log = open_log(VAL)
    row = {k: v[0] for k, v in feather.read_table(VAL / "annotations.feather").slice(5000, 1).to_pydict().items()}
    poses = feather.read_table(VAL / "city_SE3_egovehicle.feather").to_pydict()
    at = {k: v[poses["timestamp_ns"].index(row["timestamp_ns"])] for k, v in poses.items()}
    w, x, y, z = (at[k] for k in ("qw", "qx", "qy", "qz"))
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    shift = np.array([at[k] for k in ("tx_m", "ty_m", "tz_m")])
    expected = rotation @ np.array([row[k] for k in ("tx_m", "ty_m", "tz_m")]) + shift
    track = next(t for t in log.store.read_tracks() if t.track_id == row["track_uuid"])
    k = track.times_us.tolist().index(row["timestamp_ns"] // 1000)
    np.testing.assert_allclose(track.world_from_box[k, :3, 3], expected, atol=1e-4)


@needs_real
@pytest.mark.parametrize("folder", [VAL, *(REAL / "scenario_mining").glob("*")], ids=lambda p: p.name[:8])
def test_real_ego_stands_on_the_mapped_ground(folder):
    log = open_log(folder)
    grid = np.load(next((folder / "map").glob("*_ground_height_surface*.npy")))
    sim = json.loads(next((folder / "map").glob("*_img_Sim2_city.json")).read_text())
    cells = (log.world_from_ego[:, :2, 3] + np.array(sim["t"])) * sim["s"]
    column, row = np.floor(cells).astype(int).T
    above = log.world_from_ego[:, 2, 3] - grid[row, column]
    assert abs(np.median(above)) < 0.03 and np.all(np.abs(above) < 0.1)


@needs_real
@pytest.mark.parametrize("folder", [VAL, *(REAL / "scenario_mining").glob("*")], ids=lambda p: p.name[:8])
def test_real_ego_drives_on_the_mapped_road(folder):
    import shapely

    log = open_log(folder)
    hd_map = log.store.read_map()
    assert hd_map is not None
    path = shapely.points(log.world_from_ego[::20, :2, 3])
    assert np.mean(shapely.contains(shapely.union_all(hd_map.areas["drivable"]), path)) == 1.0
    lanes = shapely.union_all([lane.polygon for lane in hd_map.lanes])
    assert np.mean(shapely.dwithin(lanes, path, 0.5)) > 0.95


@needs_real
def test_a_real_calibration_sees_all_around(tmp_path):
    log_folder = tmp_path / "val" / LOG
    make_argoverse2_tree(tmp_path)
    shutil.copytree(tmp_path / "av2" / "sensor" / "val" / LOG, log_folder)
    shutil.rmtree(log_folder / "calibration")
    shutil.copytree(REAL / "sensor" / "test_log" / "calibration", log_folder / "calibration")
    rig = open_log(tmp_path / "val").rig
    assert len(rig.cameras()) == 9 and rig.source == "calibrated"
    turn = np.linspace(-np.pi, np.pi, 72, endpoint=False)
    ring = np.stack([30 * np.cos(turn), 30 * np.sin(turn), np.ones(72)], -1)
    seen_by = {}
    for name in rig.cameras():
        sensor = rig.sensors[name]
        assert sensor.camera is not None
        seen_by[name] = project(sensor.camera, transform(invert(sensor.ego_from_sensor), ring))[1]
    assert np.any(list(seen_by.values()), axis=0).all(), "seven ring cameras cover 360 degrees"
    mean = {name: np.degrees(np.angle(np.exp(1j * turn[seen]).mean())) for name, seen in seen_by.items()}
    assert abs(mean["ring_front_center"]) < 5
    assert 30 < mean["ring_front_left"] < 60 and -60 < mean["ring_front_right"] < -30
    assert 80 < mean["ring_side_left"] < 120 and 120 < mean["ring_rear_left"] < 175


@needs_real
def test_a_real_log_without_anything_timed_is_refused_by_name():
    opened = open_logs(REAL)
    assert [name for name, _ in opened.refused] == ["test_log"]
    assert "found none with a time" in opened.refused[0][1].reason
    assert [issue.subject for issue in opened.issues] == ["motion_forecasting"]


def test_a_name_outside_the_media_root_is_refused(log):
    lidar = log.series["lidar"]
    with pytest.raises(MediaError) as caught:
        log.store.read_points(replace(lidar, files=("../../secret.feather", *lidar.files[1:])), 0)
    assert caught.value.issue.kind == "escaping_path"
