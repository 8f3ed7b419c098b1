"""The nuScenes adapter: what a tree of it holds, and what becomes of broken ones."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from nuscenes_tree import START_US, ego_pose_at, make_nuscenes_tree, nuscenes_tables, token, write_tables

from sceneminer.data.adapters.nuscenes_store import category_of
from sceneminer.data.errors import DataError, MediaError
from sceneminer.data.frame import frame_at
from sceneminer.data.log import Log
from sceneminer.data.open import open_log, open_logs
from sceneminer.data.options import LogSet, OpenOptions
from sceneminer.geometry.pose import yaw_of

REAL = Path(__file__).parents[3].parent / "shared" / "data" / "nuscenes"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SCENEMINER_CACHE", str(folder))
    return folder


@pytest.fixture
def root(tmp_path) -> Path:
    return make_nuscenes_tree(tmp_path)


@pytest.fixture
def log(root) -> Log:
    return open_log(root, "scene-0001")


def opened(root: Path, tables: dict) -> LogSet:
    """A folder of tables alone, opened."""
    write_tables(root, tables)
    return open_logs(root)


def test_a_log_is_one_scene(log):
    assert (log.name, log.log_id) == ("scene-0001", f"scene-0001-{token('scene', 0)[:8]}")
    assert (log.dataset, log.split, log.location) == ("nuscenes", "v1.0-mini", "smallville")
    assert log.description == "Straight on, 0 cones"
    assert log.reference_times_us.tolist() == [START_US + k * 500_000 for k in range(4)]
    assert (log.start_us, log.end_us) == (START_US - 12_000, START_US + 1_800_000)
    assert not log.issues
    assert log.series["CAM_FRONT"].keyframe.tolist() == [True, False, False] * 4


@pytest.mark.parametrize(
    ("row", "licence"),
    [
        ({"location": "boston-seaport"}, "CC BY-NC-SA 4.0 (nuScenes terms of use)"),
        ({"location": "singapore-queenstown"}, "CC BY-NC-SA 4.0 (nuScenes terms of use)"),
        ({"location": None}, "CC BY-NC-SA 4.0 (nuScenes terms of use)"),
        ({"location": "smallville"}, None),
        ({"location": "smallville", "licence": "Apache-2.0 (synthetic)"}, "Apache-2.0 (synthetic)"),
    ],
)
def test_the_licence_is_that_of_the_recording(tmp_path, row, licence):
    tables = nuscenes_tables()
    tables["log"][0] |= row
    assert opened(tmp_path, tables).logs[0].licence == licence


def test_each_sensor_has_the_pose_of_its_own_time(log):
    frame = frame_at(log, START_US + 500_000)
    for name, lag in (("CAM_FRONT", -12_000), ("CAM_BACK", 31_000), ("LIDAR_TOP", 0)):
        measured = frame.measurements[name]
        assert measured.time_us == START_US + 500_000 + lag
        np.testing.assert_allclose(measured.world_from_ego, ego_pose_at(measured.time_us, 0), atol=1e-9)
    np.testing.assert_allclose(
        log.poses_at(np.array([START_US + 77_777]))[0][0], ego_pose_at(START_US + 77_777, 0), atol=1e-6
    )


def test_cameras_look_where_they_are_mounted(log):
    forward = log.rig.sensors["CAM_FRONT"].ego_from_sensor[:3, :3] @ [0, 0, 1]
    backward = log.rig.sensors["CAM_BACK"].ego_from_sensor[:3, :3] @ [0, 0, 1]
    np.testing.assert_allclose([forward, backward], [[1, 0, 0], [-1, 0, 0]], atol=1e-12)


def test_a_camera_may_change_within_a_log(log):
    series = log.series["CAM_BACK"]
    cameras = [series.sensor(i).camera for i in range(len(series))]
    assert [(c.width_px, c.fx, c.cx) for c in cameras] == [(64, 50.0, 31.5)] * 2 + [(96, 75.0, 47.25)] * 2
    assert [log.store.read_image(series, i).shape[1] for i in range(4)] == [64, 64, 96, 96]


def test_tracks_are_those_of_the_scene(root, log):
    car, walker = sorted(log.store.read_tracks(), key=lambda track: track.category)
    assert (car.category, car.source_category, car.track_id) == ("car", "vehicle.car", token("car"))
    assert (walker.category, walker.source_category) == ("pedestrian", "human.pedestrian.adult")
    np.testing.assert_allclose(car.size_lwh_m, [[4.5, 1.9, 1.6]] * 4)
    np.testing.assert_allclose(yaw_of(car.world_from_box), 0.3, atol=1e-12)
    ahead = np.linalg.inv(ego_pose_at(START_US, 0)) @ car.world_from_box[0]
    np.testing.assert_allclose(ahead[:3, 3], [15, 0, 0.8], atol=1e-9)
    assert car.attributes == (frozenset({"vehicle.moving"}),) * 4
    assert walker.attributes == (frozenset(),) * 4
    assert car.lidar_points.tolist() == [7, 8, 9, 10]
    assert open_log(root, "scene-0002").store.read_tracks() == ()


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("vehicle.bus.bendy", "bus"),
        ("vehicle.emergency.police", "emergency_vehicle"),
        ("human.pedestrian.stroller", "pedestrian"),
        ("human.pedestrian.personal_mobility", "personal_mobility"),
        ("movable_object.pushable_pullable", "debris"),
        ("static_object.bicycle_rack", "bicycle_rack"),
        ("vehicle.carriage", "other"),
        ("", "other"),
    ],
)
def test_categories(name, category):
    assert category_of(name) == category


def test_points_have_rings_and_labels(log):
    lidar = log.series["LIDAR_TOP"]
    first, second = log.store.read_points(lidar, 0), log.store.read_points(lidar, 1)
    assert first.xyz_m.shape == (60, 3)
    assert first.ring.tolist() == [i % 32 for i in range(60)]
    assert first.labels.tolist() == [i % 32 for i in range(60)]
    assert second.labels is None


def test_points_that_are_not_finite_are_refused(log):
    lidar = log.series["LIDAR_TOP"]
    path = log.store.media.folder / lidar.files[0]
    values = np.fromfile(path, "<f4")
    values[7] = np.nan
    values.tofile(path)
    with pytest.raises(MediaError, match="NaN"):
        log.store.read_points(lidar, 0)


def test_keyframes_alone(root):
    log = open_log(root, "scene-0001", OpenOptions(sweeps=False))
    assert {name: len(series) for name, series in log.series.items()} == dict.fromkeys(log.series, 4)


def test_media_may_lie_elsewhere(root, tmp_path):
    media = tmp_path / "disk2"
    media.mkdir()
    for name in ("samples", "sweeps"):
        shutil.move(root / name, media / name)
    log = open_log(root, "scene-0001", OpenOptions(media_root=media))
    assert log.store.read_image(log.series["CAM_FRONT"], 0).shape == (36, 64, 3)
    assert not log.issues
    missing = open_log(root, "scene-0001")
    counts = {i.subject: i.count for i in missing.issues if i.kind == "missing_file"}
    assert counts == {"CAM_FRONT": 12, "CAM_BACK": 4, "LIDAR_TOP": 12}


def test_absent_files_are_counted_by_sensor(root, log):
    for i in (0, 2):
        (root / log.series["CAM_BACK"].files[i]).unlink()
    again = open_log(root, "scene-0001")
    assert [(i.kind, i.subject, i.count) for i in again.issues] == [("missing_file", "CAM_BACK", 2)]
    assert again.series["CAM_BACK"].files == log.series["CAM_BACK"].files


def test_splits_are_table_folders(root):
    shutil.copytree(root / "v1.0-mini", root / "v1.0-trainval")
    for split in ("trainval", "v1.0-trainval"):
        found = open_logs(root, OpenOptions(split=split))
        assert {log.split for log in found.logs} == {"v1.0-trainval"} and len(found.logs) == 2
    both = open_logs(root)
    assert [log.split for log in both.logs] == ["v1.0-mini"] * 2
    assert [name for name, _ in both.refused] == ["scene-0001", "scene-0002"]
    assert "v1.0-mini and v1.0-trainval" in both.refused[0][1].reason
    with pytest.raises(DataError, match=r"v1\.0-mini, v1\.0-trainval; found 'val'"):
        open_logs(root, OpenOptions(split="val"))
    assert len(open_logs(root / "v1.0-mini").logs) == 2


def test_one_log_must_be_clear(root):
    with pytest.raises(DataError, match="found 2: scene-0001-"):
        open_log(root)
    with pytest.raises(DataError, match="called scene-0003"):
        open_log(root, "scene-0003")


@pytest.mark.skipif(not REAL.is_dir(), reason="no real recordings at ../shared/data/nuscenes")
def test_the_real_partial_set_opens():
    found = open_logs(REAL / "dataroot")
    assert [log.name for log in found.logs] == ["scene-0061", "scene-0103", "scene-0553", "scene-0757", "scene-1077"]
    assert sum(len(log.reference_times_us) for log in found.logs) == 202
    tracks = [track for log in found.logs for track in log.store.read_tracks()]
    assert (len(tracks), sum(len(track.times_us) for track in tracks)) == (503, 10_162)
    log = found.logs[0]
    assert log.store.read_image(log.series["CAM_FRONT"], 38, size=(320, 180)).shape == (180, 320, 3)
    assert log.store.read_points(log.series["LIDAR_TOP"], 0).xyz_m.shape == (34_688, 3)
    with pytest.raises(MediaError, match="expected a file, found none"):
        log.store.read_points(log.series["LIDAR_TOP"], 1)
    speed = np.linalg.norm(np.diff(log.world_from_ego[:, :3, 3], axis=0), axis=1) / np.diff(log.pose_times_us) * 1e6
    assert 3 < np.median(speed) < 15


@pytest.mark.skipif(not REAL.is_dir(), reason="no real recordings at ../shared/data/nuscenes")
def test_one_real_sample_without_chains_opens():
    log = open_log(REAL / "onesample_scene-0061")
    assert len(log.cameras()) == 6 and len(log.pose_times_us) == 7
    assert not log.has_tracks and log.location is None
    assert all(len(series) == 1 for series in log.series.values())
    assert {i.kind for i in log.issues} == {"missing_file"}


def test_cameras_are_chosen_by_name(root, log):
    for name in ("CAM_FRONT", "CAM_BACK"):
        (root / log.series[name].files[0]).unlink()
    back = open_log(root, "scene-0001", OpenOptions(cameras=("CAM_BACK",)))
    assert set(back.series) == {"CAM_BACK", "LIDAR_TOP"}
    assert [issue.subject for issue in back.issues] == ["CAM_BACK"]
    with pytest.raises(DataError, match="expected cameras among CAM_BACK, CAM_FRONT; found CAM_SIDE"):
        open_logs(root, OpenOptions(cameras=("CAM_BACK", "CAM_SIDE")))


def test_a_log_that_lacks_a_camera_says_so(tmp_path):
    tables = nuscenes_tables()
    second = token("scene", 1)
    samples = {row["token"] for row in tables["sample"] if row["scene_token"] == second}
    rows = tables["sample_data"]
    tables["sample_data"] = [r for r in rows if r["sample_token"] not in samples or "CAM_BACK" not in r["filename"]]
    write_tables(tmp_path, tables)
    first, other = open_logs(tmp_path, OpenOptions(cameras=("CAM_BACK",))).logs
    assert first.cameras() == ("CAM_BACK",) and other.cameras() == ()
    assert "no such camera" in other.issues[-1].reason
