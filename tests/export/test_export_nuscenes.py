"""An exported nuScenes folder: opened by our adapter it holds what the recordings hold, and nothing dangles."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from folder_tree import make_folder_tree
from make_selection import make_selection
from nuscenes_tree import make_nuscenes_tree, nuscenes_tables, write_tables

from sceneminer.data.log import Log
from sceneminer.data.open import open_logs
from sceneminer.data.synth.tables import TABLES
from sceneminer.data.track import Track
from sceneminer.export.formats import ExportReport, export_selection
from sceneminer.export.nuscenes import export_nuscenes
from sceneminer.export.nuscenes_scene import VERSION
from sceneminer.export.reopen import open_indexed_log
from sceneminer.geometry.camera import Camera
from sceneminer.index.errors import IndexFault
from sceneminer.index.search import Index, open_index
from sceneminer.index.selection import Selected, Selection
from sceneminer.mine.run import mine


@pytest.fixture(scope="module")
def selection(town_index) -> Selection:
    return make_selection(town_index)


@pytest.fixture(scope="module")
def exported(town_index, selection, tmp_path_factory) -> ExportReport:
    return export_nuscenes(town_index, selection, tmp_path_factory.mktemp("export") / "town")


@pytest.fixture(scope="module")
def drives_index(tmp_path_factory, tower) -> Index:
    """Two drives of plain images, one camera a fisheye, with poses and without tracks or map."""
    folder = tmp_path_factory.mktemp("drives")
    mine(make_folder_tree(folder), folder / "index", model=tower)
    return open_index(folder / "index")


def scenes_of(out: Path) -> dict[str, Log]:
    return {log.name: log for log in open_logs(out, adapter="nuscenes").logs}


def scene_of(out: Path, item: Selected, log: Log) -> Log:
    start_ms, end_ms = ((t - log.start_us) // 1000 for t in (item.start_us, item.end_us))
    return scenes_of(out)[f"{log.name}+{start_ms:07d}-{end_ms:07d}"]


def tables_of(out: Path) -> dict[str, list[dict]]:
    return {path.stem: json.loads(path.read_text()) for path in (out / VERSION).glob("*.json")}


def test_every_interval_is_a_scene_that_opens(town_index, selection, exported):
    assert exported.left_out == ()
    assert exported.items == len(selection.items) == len(scenes_of(exported.path))
    for item in selection.items:
        log = open_indexed_log(town_index, item.log_id)
        scene = scene_of(exported.path, item, log)
        assert scene.issues == ()
        assert scene.start_us >= item.start_us - 250_000 and scene.end_us <= item.end_us + 250_000
        expected = log.reference_times_us
        expected = expected[(expected >= item.start_us) & (expected <= item.end_us)]
        np.testing.assert_array_equal(scene.reference_times_us, expected)
        assert scene.description.startswith(log.description) and "chosen by sceneminer: score" in scene.description
        assert (scene.location, scene.licence, scene.has_map) == (log.location, log.licence, log.has_map)


def test_sensors_say_what_they_said(town_index, selection, exported):
    for item in selection.items:
        log = open_indexed_log(town_index, item.log_id)
        scene = scene_of(exported.path, item, log)
        assert list(scene.series) == list(log.series)
        for name, series in scene.series.items():
            own = log.series[name]
            rows = np.searchsorted(own.times_us, series.times_us)
            np.testing.assert_array_equal(own.times_us[rows], series.times_us)
            np.testing.assert_array_equal(own.keyframe[rows], series.keyframe)
            inside = (own.times_us >= item.start_us) & (own.times_us <= item.end_us)
            assert set(own.times_us[inside]) <= set(series.times_us)
            for i, k in enumerate(rows):
                assert series.files[i] == own.files[k]
                data = log.store.media.path(own.files[k]).read_bytes()
                assert (exported.path / series.files[i]).read_bytes() == data
                assert series.sensor(i).camera == own.sensor(int(k)).camera
                mounted, own_mount = series.sensor(i).ego_from_sensor, own.sensor(int(k)).ego_from_sensor
                np.testing.assert_allclose(mounted, own_mount, atol=1e-6)
            poses, held_us = scene.poses_at(series.times_us)
            np.testing.assert_allclose(poses, log.poses_at(series.times_us)[0], atol=1e-6)
            assert not held_us.any()


def same_boxes(log: Log, scene: Log, item: Selected) -> int:
    """Boxes at the scene's samples, compared with the log's own; how many there are."""
    here = {box for track in scene.store.read_tracks() for box in boxes(track)}
    own = {box for track in log.store.read_tracks() for box in boxes(track)}
    assert here == {box for box in own if item.start_us <= box[0] <= item.end_us}
    return len(here)


def boxes(track: Track):
    for k, time_us in enumerate(track.times_us):
        numbers = [*track.world_from_box[k].ravel(), *track.size_lwh_m[k]]
        points = None if track.lidar_points is None else int(track.lidar_points[k])
        attributes = track.attributes[k] if track.attributes else frozenset()
        yield int(time_us), track.category, attributes, points, tuple(np.round(numbers, 6) + 0.0)


def test_boxes_are_those_of_the_interval(town_index, selection, exported):
    counts = []
    for item in selection.items:
        log = open_indexed_log(town_index, item.log_id)
        counts.append(same_boxes(log, scene_of(exported.path, item, log), item))
    assert max(counts) >= 6


def test_points_labels_and_map_come_along(town_index, selection, exported):
    item = selection.items[0]
    log = open_indexed_log(town_index, item.log_id)
    scene = scene_of(exported.path, item, log)
    points, own = (one.store.read_points(one.series["LIDAR_TOP"], 0) for one in (scene, log))
    np.testing.assert_array_equal(points.xyz_m, own.xyz_m)
    np.testing.assert_array_equal(points.labels, own.labels)
    ours, theirs = scene.store.read_map(), log.store.read_map()
    assert [lane.lane_id for lane in ours.lanes] == [lane.lane_id for lane in theirs.lanes]
    ego = log.world_from_ego[0]
    np.testing.assert_array_equal(scene.store.read_basemap(ego), log.store.read_basemap(ego))


def test_every_key_leads_to_a_row(exported):
    tables = tables_of(exported.path)
    assert set(TABLES) <= set(tables)
    tokens = {name: {row["token"] for row in rows} for name, rows in tables.items()}
    for name, rows in tables.items():
        assert len(tokens[name]) == len(rows), f"{name} has a token twice"
    keys = {"ego_pose": "ego_pose_token", "log": "log_token"}
    keys |= {name: f"{name}_token" for name in TABLES if name not in ("map",)}
    for rows in tables.values():
        for row in rows:
            for table, key in keys.items():
                assert key not in row or row[key] in tokens[table], (key, row)
            for way in ("prev", "next"):
                assert row.get(way, "") == "" or row[way] in set().union(*tokens.values())
    assert {t for row in tables["map"] for t in row["log_tokens"]} == tokens["log"]
    assert {t for row in tables["sample_annotation"] for t in row["attribute_tokens"]} <= tokens["attribute"]
    for row in tables["scene"]:
        chain = walk(tables["sample"], row["first_sample_token"])
        assert len(chain) == row["nbr_samples"] and chain[-1] == row["last_sample_token"]
    for row in tables["instance"]:
        chain = walk(tables["sample_annotation"], row["first_annotation_token"])
        assert len(chain) == row["nbr_annotations"] and chain[-1] == row["last_annotation_token"]


def walk(rows: list[dict], token: str) -> list[str]:
    by_token, chain = {row["token"]: row for row in rows}, []
    while token:
        chain.append(token)
        token = by_token[token]["next"]
    return chain


def test_the_same_selection_gives_the_same_bytes(town_index, selection, exported, tmp_path):
    again = export_selection(town_index, selection, tmp_path / "again", to="nuscenes", link=True)
    new, own = ({p.relative_to(r.path): p for p in r.path.rglob("*") if p.is_file()} for r in (again, exported))
    assert set(new) == set(own)
    assert exported.files == len(own)
    for name, path in own.items():
        assert new[name].read_bytes() == path.read_bytes(), name
    assert not [path for path in again.path.rglob("*") if path.is_symlink()]
    linked = [path for path in (again.path / "samples").rglob("*.jpg") if path.stat().st_nlink > 1]
    assert linked and not [path for path in (exported.path / "samples").rglob("*.jpg") if path.stat().st_nlink > 1]


def test_whose_the_recordings_are_travels_along(selection, exported):
    told = json.loads((exported.path / "origin.json").read_text())
    assert told["selection"] == selection.content and told["index_version"] == selection.index_version
    assert {log["log_id"] for log in told["logs"]} == {item.log_id for item in selection.items}
    page = (exported.path / "SOURCES.md").read_text()
    assert selection.content in page and "scene-0001" in page and "not stated" in page


def test_what_cannot_be_had_is_named(town_index, selection, tmp_path):
    first = selection.items[0]
    gone = replace(first, log_id="nobody-00000000", log_name="<b>nobody</b>")
    empty = replace(first, start_us=first.end_us + 10**9, end_us=first.end_us + 10**9 + 1)
    report = export_nuscenes(town_index, replace(selection, items=(gone, first, empty, first)), tmp_path / "out")
    assert report.items == 1 and len(scenes_of(report.path)) == 1
    why = [reason for _, reason in report.left_out]
    assert len(why) == 3 and any("nobody-00000000" in reason for reason in why)
    assert any("keyframes" in reason for reason in why) and any("once" in reason for reason in why)
    assert "<b>" not in (report.path / "SOURCES.md").read_text()


def test_scenes_that_the_devkit_cannot_list_are_said(town_index, selection, tmp_path):
    first = selection.items[0]
    shorter = replace(first, end_us=first.end_us - 500_000)
    report = export_nuscenes(town_index, replace(selection, items=(first, shorter)), tmp_path / "out")
    assert report.items == 2 and [what for what, _ in report.left_out if "list_scenes" in what]


def test_an_export_is_never_written_over_another(town_index, selection, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(IndexFault, match="new place"):
        export_nuscenes(town_index, selection, tmp_path / "out")
    with pytest.raises(IndexFault, match="format among"):
        export_selection(town_index, selection, tmp_path / "new", to="../sh")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_plain_images_become_scenes_with_what_nuscenes_can_say(drives_index, tmp_path):
    selection = make_selection(drives_index)
    report = export_nuscenes(drives_index, selection, tmp_path / "out")
    assert {what for what, _ in report.left_out} == {"monday rear", "tuesday rear"}
    assert all("fisheye" in why for _, why in report.left_out)
    for item in selection.items:
        log = open_indexed_log(drives_index, item.log_id)
        scene = scene_of(report.path, item, log)
        assert (scene.dataset, scene.licence, scene.has_tracks, scene.has_map) == ("nuscenes", None, False, False)
        for name, series in scene.series.items():
            np.testing.assert_array_equal(series.times_us, log.series[name].times_us)
            for name_here, own in zip(series.files, log.series[name].files, strict=True):
                assert (report.path / name_here).read_bytes() == log.store.media.path(own).read_bytes()
            np.testing.assert_allclose(scene.poses_at(series.times_us)[0], log.poses_at(series.times_us)[0], atol=1e-6)
        front = scene.series["front"].sensor(0).camera
        assert isinstance(front, Camera) and front == log.series["front"].sensor(0).camera
        assert scene.series["rear"].sensor(0).camera is None


def test_without_poses_none_are_made_up(bare_index, tmp_path):
    report = export_nuscenes(bare_index, make_selection(bare_index, items=1), tmp_path / "out")
    (scene,) = scenes_of(report.path).values()
    assert not scene.has_poses and len(scene.series["camera"]) == 9
    (row,) = tables_of(report.path)["scene"]
    own = open_indexed_log(bare_index, tables_of(report.path)["log"][0]["source_log_id"]).series["camera"].times_us[:9]
    np.testing.assert_array_equal(scene.series["camera"].times_us - row["source_time_shift_us"], own)
    rows = tables_of(report.path)["ego_pose"]
    assert len(rows) == 9 and all(row["translation"] is None for row in rows)


def test_a_sweep_of_another_data_set_is_written_as_nuscenes_has_them(blind_index, tmp_path):
    selection = make_selection(blind_index)
    report = export_nuscenes(blind_index, selection, tmp_path / "out")
    scenes = scenes_of(report.path)
    assert report.items == len(scenes) > 0
    item = selection.items[0]
    log = open_indexed_log(blind_index, item.log_id)
    scene = scene_of(report.path, item, log)
    (name,) = [name for name, series in scene.series.items() if series.modality == "lidar"]
    ours, own = (one.store.read_points(one.series[name], 0) for one in (scene, log))
    np.testing.assert_allclose(ours.xyz_m, own.xyz_m, atol=1e-4)
    same_categories = {track.category for track in scene.store.read_tracks()}
    assert same_categories <= {track.category for track in log.store.read_tracks()} and same_categories
    ours, theirs = scene.store.read_map(), log.store.read_map()
    for layer, areas in theirs.areas.items():
        whole = sum(area.area for area in areas)
        assert sum(area.area for area in ours.areas[layer]) == pytest.approx(whole, rel=1e-3, abs=0.1), layer
    assert {lane.lane_id for lane in ours.lanes} <= {lane.lane_id for lane in theirs.lanes}


def test_labels_give_way_to_classes_of_ones_own(tmp_path, tower):
    root = make_nuscenes_tree(tmp_path)
    tables = nuscenes_tables()
    tables["category"][1]["name"] = "human.pedestrian.juggler"
    write_tables(root, tables)
    mine(root, tmp_path / "index", model=tower)
    index = open_index(tmp_path / "index")
    report = export_nuscenes(index, make_selection(index), tmp_path / "out")
    ((what, why),) = report.left_out
    assert "point labels of 1 scenes" in what and "human.pedestrian.juggler" in why
    tables = tables_of(report.path)
    assert "lidarseg" not in tables and not (report.path / "lidarseg").exists()
    assert "human.pedestrian.juggler" in {row["name"] for row in tables["category"]}


def test_hostile_names_stay_names(hostile_index, tmp_path):
    report = export_nuscenes(hostile_index, make_selection(hostile_index), tmp_path / "a" / "out")
    written = {path.relative_to(tmp_path).parts[:2] for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {("a", "out")}
    assert any("CAM_FRONT" in what and "1 not written" in why for what, why in report.left_out)
    assert "<script" not in (report.path / "SOURCES.md").read_text().replace("&lt;script", "")
