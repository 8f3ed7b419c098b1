"""The nuScenes adapter: what a tree of it holds, and what becomes of broken ones."""

import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nuscenes_tree import START_US, ego_pose_at, make_nuscenes_tree, nuscenes_tables, token, write_tables

from sceneminer.data.adapters import nuscenes
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


def all_issues(found: LogSet) -> Counter:
    """(kind, table or sensor) → count, of the root and of all logs."""
    counts: Counter = Counter()
    for issue in (*found.issues, *(i for log in found.logs for i in log.issues)):
        counts[issue.kind, Path(issue.subject).stem] += issue.count
    return counts


def test_a_log_is_one_scene(log):
    assert (log.name, log.log_id) == ("scene-0001", f"scene-0001-{token('scene', 0)[:8]}")
    assert (log.dataset, log.split, log.location) == ("nuscenes", "v1.0-mini", "smallville")
    assert log.description == "Straight on, 0 cones"
    assert log.licence == "CC BY-NC-SA 4.0 (nuScenes terms of use)"
    assert log.reference_times_us.tolist() == [START_US + k * 500_000 for k in range(4)]
    assert (log.start_us, log.end_us) == (START_US - 12_000, START_US + 1_800_000)
    assert not log.issues
    assert log.series["CAM_FRONT"].keyframe.tolist() == [True, False, False] * 4


def test_a_licence_in_the_tables_counts(tmp_path):
    tables = nuscenes_tables()
    tables["log"][0]["licence"] = "Apache-2.0 (synthetic)"
    assert opened(tmp_path, tables).logs[0].licence == "Apache-2.0 (synthetic)"


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


# ---- partial and broken tables


@pytest.mark.parametrize(
    ("gone", "lost"),
    [
        ("log", ("location",)),
        ("map", ()),
        ("visibility", ()),
        ("lidarseg", ()),
        ("attribute", ()),
        ("category", ()),
        ("instance", ()),
        ("sample_annotation", ("has_tracks",)),
        ("ego_pose", ("has_poses",)),
    ],
)
@pytest.mark.parametrize("how", ["absent", "empty", "broken"])
def test_optional_tables_may_be_missing(tmp_path, gone, lost, how):
    tables = nuscenes_tables()
    folder = write_tables(tmp_path, tables)
    path = folder / f"{gone}.json"
    path.unlink() if how == "absent" else path.write_text({"empty": "[]", "broken": "{}"}[how])
    found = open_logs(tmp_path)
    log = found.logs[0]
    assert len(found.logs) == 2 and set(log.series) == {"CAM_FRONT", "CAM_BACK", "LIDAR_TOP"}
    for name in ("location", "has_tracks", "has_poses"):
        assert bool(getattr(log, name)) == (name not in lost), name
    if gone not in ("visibility", "lidarseg"):
        kind = "missing_table" if how == "absent" else "bad_table"
        assert all_issues(found)[kind, gone] == 1
    if gone in ("instance", "category"):
        assert {track.category for track in log.store.read_tracks()} == {"other"}


@pytest.mark.parametrize("gone", ["sample", "sample_data", "sensor", "calibrated_sensor"])
def test_logs_without_a_table_they_need_are_refused_by_name(tmp_path, gone):
    folder = write_tables(tmp_path, nuscenes_tables())
    (folder / f"{gone}.json").unlink()
    found = open_logs(tmp_path)
    assert not found.logs
    assert [name for name, _ in found.refused] == ["scene-0001", "scene-0002"]
    assert all(f"v1.0-mini/{gone}.json" in issue.reason for _, issue in found.refused)
    with pytest.raises(DataError, match=gone):
        open_log(tmp_path, "scene-0001")


def test_a_broken_scene_table_refuses_the_folder(tmp_path):
    folder = write_tables(tmp_path, nuscenes_tables())
    (folder / "scene.json").write_text("not json")
    found = open_logs(tmp_path)
    assert not found.logs
    assert found.refused[0][0] == "v1.0-mini" and "scene.json" in found.refused[0][1].reason


@pytest.mark.parametrize(
    "content",
    ["", "nul", "{}", "7", "[1, 2", "[" * 100_000, '[{"token": "\\ud800"}]', "[null, 3, []]", "\xff\xfe", '["a" "b"]'],
)
def test_nonsense_for_a_table_is_said(tmp_path, content):
    folder = write_tables(tmp_path, nuscenes_tables())
    (folder / "ego_pose.json").write_bytes(content.encode("latin-1"))
    found = open_logs(tmp_path)
    assert len(found.logs) == 2 and not found.logs[0].has_poses
    counts = all_issues(found)
    assert counts["bad_table", "ego_pose"] + counts["bad_row", "ego_pose"] > 0


def test_a_table_cut_short_is_used_as_far_as_it_goes(tmp_path):
    folder = write_tables(tmp_path, nuscenes_tables())
    path = folder / "sample_data.json"
    text = path.read_text()
    path.write_text(text[: int(len(text) * 0.7)])
    found = open_logs(tmp_path)
    assert sum(len(s) for log in found.logs for s in log.series.values()) == int(56 * 0.7)
    assert all_issues(found)["bad_table", "sample_data"] == 1


def test_chains_are_not_needed(tmp_path):
    tables = nuscenes_tables()
    for row in tables["scene"]:
        del row["first_sample_token"], row["last_sample_token"], row["nbr_samples"]
    for row in (*tables["sample"], *tables["sample_data"]):
        row.pop("prev", None), row.pop("next", None)
    found = opened(tmp_path, tables)
    assert len(found.logs) == 2 and len(found.logs[0].reference_times_us) == 4


def overwrite(tables: dict, table: str, n: int, values: dict) -> None:
    """Overwrites fields of the first n rows of a table."""
    for row in tables[table][:n]:
        row |= values


@pytest.mark.parametrize(
    ("table", "values", "kind", "left"),
    [
        ("sample_data", {"timestamp": 0}, "odd_time", 56 - 5),
        ("sample_data", {"timestamp": -START_US}, "odd_time", 56 - 5),
        ("sample_data", {"timestamp": START_US // 1000}, "odd_time", 56 - 5),
        ("sample_data", {"timestamp": 10**30}, "bad_row", 56 - 5),
        ("sample_data", {"timestamp": "now"}, "bad_row", 56 - 5),
        ("sample_data", {"timestamp": float("nan")}, "bad_row", 56 - 5),
        ("sample_data", {"filename": None}, "bad_row", 56 - 5),
        ("sample_data", {"filename": "../../etc/passwd"}, "escaping_path", 56 - 5),
        ("sample_data", {"filename": "/etc/passwd"}, "escaping_path", 56 - 5),
        ("sample_data", {"filename": "C:\\secret.jpg"}, "escaping_path", 56 - 5),
        ("sample_data", {"filename": "samples/../../x.jpg"}, "escaping_path", 56 - 5),
        ("sample_data", {"sample_token": "nobody"}, "bad_row", 56 - 5),
        ("sample_data", {"calibrated_sensor_token": "nobody"}, "bad_row", 56 - 5),
        ("sample_data", {"token": "same"}, "bad_row", 56 - 4),
        ("sample_data", {"is_key_frame": "yes"}, "bad_row", 56),
        ("sample_data", {"ego_pose_token": "nobody"}, "no_pose", 56),
        ("sample_data", {"width": 0}, "no_calibration", 56),
        ("sample_data", {"width": -5}, "no_calibration", 56),
        ("sample_data", {"width": 2**62}, "no_calibration", 56),
        ("sample", {"timestamp": 5}, "odd_time", 56 - 28 - 7),
        ("sample", {"scene_token": "nobody"}, "bad_row", 56 - 28 - 7),
        ("ego_pose", {"rotation": [0, 0, 0, 0]}, "bad_row", 56),
        ("ego_pose", {"rotation": [2, 0, 0, 0]}, "bad_row", 56),
        ("ego_pose", {"rotation": [1, 0, 0]}, "bad_row", 56),
        ("ego_pose", {"translation": [float("nan"), 0, 0]}, "bad_row", 56),
        ("ego_pose", {"translation": [1e300, 0, 0]}, "bad_row", 56),
        ("ego_pose", {"timestamp": 0}, "odd_time", 56),
        ("calibrated_sensor", {"rotation": [0, 0, 0, 0]}, "no_calibration", 56 - 24),
        ("calibrated_sensor", {"camera_intrinsic": [[1, 2], [3, 4]]}, "no_calibration", 56),
        ("calibrated_sensor", {"camera_intrinsic": [[0, 0, 0]] * 3}, "no_calibration", 56),
        ("calibrated_sensor", {"sensor_token": "nobody"}, "bad_row", 0),
        ("sample_annotation", {"size": [-1, 2, 3]}, "bad_row", 56),
        ("sample_annotation", {"size": [0, 2, 3]}, "bad_row", 56),
        ("sample_annotation", {"size": [float("inf"), 2, 3]}, "bad_row", 56),
        ("sample_annotation", {"translation": [1, 2, float("nan")]}, "bad_row", 56),
        ("sample_annotation", {"rotation": None}, "bad_row", 56),
        ("sample_annotation", {"sample_token": "nobody"}, "bad_row", 56),
        ("sample_annotation", {"instance_token": 7}, "bad_row", 56),
        ("sample_annotation", {"attribute_tokens": [None, 3]}, "bad_row", 56),
        ("instance", {"category_token": "nobody"}, "bad_row", 56),
        ("scene", {"log_token": "nobody"}, "bad_row", 56),
        ("scene", {"name": 7}, "bad_row", 56),
        ("sensor", {"modality": "sonar"}, "unsupported", 0),
    ],
)
def test_bad_rows_are_counted_and_the_rest_is_used(tmp_path, table, values, kind, left):
    tables = nuscenes_tables()
    number = {"sample_data": 5, "sample": 5}.get(table, 99)
    overwrite(tables, table, number, values)
    found = opened(tmp_path, tables)
    stems = {table, "sample_data", "calibrated_sensor", "instance", "sensor"}
    if left:
        assert any(k == kind and stem in stems for k, stem in all_issues(found)), all_issues(found)
    else:
        assert not found.logs and [name for name, _ in found.refused] == ["scene-0001", "scene-0002"]
    assert sum(len(s) for log in found.logs for s in log.series.values()) == left
    for log in found.logs:
        for track in log.store.read_tracks():
            assert np.all(np.isfinite(track.world_from_box)) and np.all(track.size_lwh_m > 0)


def test_a_camera_without_calibration_is_used_without(tmp_path):
    tables = nuscenes_tables()
    tables["calibrated_sensor"][0]["rotation"] = [0, 0, 0, 0]
    log = opened(tmp_path, tables).logs[0]
    assert len(log.series["CAM_FRONT"]) == 12 and log.series["CAM_FRONT"].sensor(0).camera is None
    assert log.series["CAM_BACK"].sensor(0).camera is not None
    assert [(i.kind, i.count) for i in log.issues if i.kind == "no_calibration"] == [("no_calibration", 12)]


def test_repeated_times_keep_the_first(tmp_path):
    tables = nuscenes_tables()
    front = [row for row in tables["sample_data"] if "CAM_FRONT" in row["filename"]][:3]
    front[2]["timestamp"] = front[1]["timestamp"]
    log = opened(tmp_path, tables).logs[0]
    assert log.series["CAM_FRONT"].files[:2] == (front[0]["filename"], front[1]["filename"])
    assert len(log.series["CAM_FRONT"]) == 11
    assert [(i.kind, i.count) for i in log.issues if i.kind == "odd_time"] == [("odd_time", 1)]


def test_rows_in_any_order_give_the_same_log(tmp_path):
    tables = nuscenes_tables()
    straight = opened(tmp_path / "a", tables).logs[0]
    for row_list in tables.values():
        row_list.reverse()
    turned = next(log for log in opened(tmp_path / "b", tables).logs if log.name == "scene-0001")
    assert {n: s.files for n, s in straight.series.items()} == {n: s.files for n, s in turned.series.items()}
    np.testing.assert_array_equal(straight.world_from_ego, turned.world_from_ego)


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "a\nb", "..", "<script>", "' or 1=1 --", "x" * 500, ""])
def test_hostile_scene_names_make_tame_ids(tmp_path, name):
    tables = nuscenes_tables()
    tables["scene"][0] |= {"name": name, "token": "../" + name}
    for row in tables["sample"][:4]:
        row["scene_token"] = "../" + name
    log = opened(tmp_path, tables).logs[0]
    assert len(log.log_id) < 80 and log.log_id.replace("-", "").replace("_", "").replace(".", "").isalnum()
    assert not log.log_id.startswith(".") and "/" not in log.log_id


def test_a_hostile_location_reads_no_map(tmp_path, root):
    (tmp_path / "nuscenes" / "secret.json").write_text("{}")
    tables = nuscenes_tables()
    tables["log"][0]["location"] = "../../../secret"
    tables["map"][0]["filename"] = "../secret.png"
    write_tables(root, tables)
    log = open_log(root, "scene-0001")
    assert not log.has_map and log.store.read_map() is None
    assert log.store.read_basemap(log.world_from_ego[0]) is None


HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["../x", "\ud800", [], {}, [[]], [None], [1.0, float("inf"), 0.0], [0, 0, 0, 0], {"token": []}]),
)


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_value_anywhere_breaks_opening(tmp_path_factory, data):
    tables = nuscenes_tables()
    for _ in range(data.draw(st.integers(1, 4))):
        table = tables[data.draw(st.sampled_from(sorted(tables)))]
        row = table[data.draw(st.integers(0, len(table) - 1))]
        row[data.draw(st.sampled_from(sorted(row)))] = data.draw(HOSTILE)
    found = opened(tmp_path_factory.mktemp("fuzz"), tables)
    assert found.logs or found.refused
    for log in found.logs:
        log.store.read_tracks()
        assert np.all(np.isfinite(log.world_from_ego))
        for series in log.series.values():
            assert np.all(np.diff(series.times_us) > 0)


# ---- the cache


def test_tables_are_parsed_once(root, monkeypatch):
    first = open_log(root, "scene-0001")

    def refuse(*_args):
        raise AssertionError("the tables were parsed again")

    monkeypatch.setattr("sceneminer.data.adapters.nuscenes_tables.read_table", refuse)
    again = open_log(root, "scene-0001")
    assert again.series["CAM_FRONT"].files == first.series["CAM_FRONT"].files
    assert len(again.store.read_tracks()) == 2


def test_a_changed_table_is_read_again(root):
    assert open_log(root, "scene-0001").description == "Straight on, 0 cones"
    tables = nuscenes_tables()
    tables["scene"][0]["description"] = "Something else entirely"
    write_tables(root, tables)
    assert open_log(root, "scene-0001").description == "Something else entirely"


def test_a_damaged_cache_is_made_again(root, cache):
    open_logs(root)
    code = f"from sceneminer.data.open import open_logs; print(len(open_logs({str(root)!r}).logs))"
    for path in cache.rglob("*.arrow"):
        path.write_bytes(path.read_bytes()[:20])
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "2"


def test_processes_that_race_for_the_cache_all_win(root, cache):
    code = f"from sceneminer.data.open import open_logs; print([l.log_id for l in open_logs({str(root)!r}).logs])"
    runs = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = {run.communicate()[0] for run in runs}
    assert [run.returncode for run in runs] == [0, 0, 0] and len(said) == 1
    assert len(list((cache / "nuscenes").iterdir())) == 1, "half-written caches were left behind"


def test_a_cache_that_cannot_be_written_is_named(root, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SCENEMINER_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="SCENEMINER_CACHE"):
        open_logs(root)


# ---- real recordings


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


def test_open_options_reach_the_adapter_itself(root):
    options = replace(OpenOptions(), logs=("scene-0002",), cameras=("CAM_BACK",))
    found = nuscenes.open_logs(root, options)
    assert [log.name for log in found.logs] == ["scene-0002"] and found.logs[0].cameras() == ("CAM_BACK",)
