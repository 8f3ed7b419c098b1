"""Partial, broken and hostile nuScenes tables: what is usable is used, what is lost is counted."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nuscenes_tree import START_US, make_nuscenes_tree, nuscenes_tables, write_tables

from sceneminer.data.errors import DataError
from sceneminer.data.open import open_log, open_logs
from sceneminer.data.options import LogSet


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SCENEMINER_CACHE", str(folder))
    return folder


@pytest.fixture
def root(tmp_path) -> Path:
    return make_nuscenes_tree(tmp_path)


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
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


def test_a_folder_that_is_a_link_out_of_the_root_is_said_on_opening(root, tmp_path):
    shutil.move(root / "samples", tmp_path / "elsewhere")
    (root / "samples").symlink_to(tmp_path / "elsewhere")
    log = open_log(root, "scene-0001")
    said = {i.subject: (i.count, i.reason) for i in log.issues if i.kind == "escaping_path"}
    assert {name: count for name, (count, _) in said.items()} == {"CAM_FRONT": 4, "CAM_BACK": 4, "LIDAR_TOP": 4}
    assert all("--media-root" in reason for _, reason in said.values())
    assert not [issue for issue in log.issues if issue.kind == "missing_file"]


def test_very_many_names_that_escape_are_counted(tmp_path):
    tables = nuscenes_tables()
    for row in tables["sample_data"][:27]:
        row["filename"] = "../" + row["filename"]
    lines = [issue for issue in opened(tmp_path, tables).logs[0].issues if issue.kind == "escaping_path"]
    assert sum(issue.count for issue in lines) == 27 and len(lines) == 21
    assert "and 6 more" in lines[-1].reason
    tables["sample_data"][27]["filename"] = "../last.jpg"
    ((name, issue),) = opened(tmp_path, tables).refused
    assert name == "scene-0001" and "'../samples/" in issue.reason and "and 15 more" in issue.reason
