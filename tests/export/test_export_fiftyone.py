"""A FiftyOne dataset folder: groups, slices, boxes, tags and vectors are the index's and the log's."""

import base64
import io
import json
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from make_selection import make_selection

from sceneminer.export.cameras import box_lines
from sceneminer.export.fiftyone import export_fiftyone
from sceneminer.export.interval import boxes_over
from sceneminer.export.reopen import open_indexed_log
from sceneminer.index.errors import IndexFault
from sceneminer.index.selection import Selected


def read_dataset(folder: Path) -> tuple[dict, list[dict]]:
    document = json.loads((folder / "metadata.json").read_text())
    return document, json.loads((folder / "samples.json").read_text())["samples"]


@pytest.fixture(scope="module")
def exported(town_index, tmp_path_factory):
    selection = make_selection(town_index)
    report = export_fiftyone(town_index, selection, tmp_path_factory.mktemp("fiftyone") / "out")
    assert report.left_out == () and report.items == 2
    return selection, report, *read_dataset(report.path)


def test_a_group_an_interval_and_a_slice_a_camera(exported, town_index):
    selection, report, document, samples = exported
    assert document["group_media_types"] == {"CAM_BACK": "image", "CAM_FRONT": "image"}
    assert document["default_group_slice"] == "CAM_FRONT"
    groups = {sample["group"]["_id"]["$oid"] for sample in samples}
    assert len(samples) == 4 and len(groups) == 2 == len({s["rank"] for s in samples})
    ids = [s["_id"]["$oid"] for s in samples] + [t["_id"]["$oid"] for s in samples for t in labels(s)]
    assert len(set(ids)) == len(ids) and all(len(bytes.fromhex(i)) == 12 for i in ids)
    log = open_indexed_log(town_index, selection.items[0].log_id)
    for sample in samples[:2]:
        series = log.series[sample["group"]["name"]]
        file = series.files[int(np.flatnonzero(series.times_us == sample["time_us"])[0])]
        assert (report.path / sample["filepath"]).read_bytes() == (log.store.media.folder / file).read_bytes()
        assert sample["metadata"]["size_bytes"] == (report.path / sample["filepath"]).stat().st_size


def labels(sample: dict) -> list[dict]:
    detections = (sample["agents"] or {"detections": []})["detections"]
    return [*detections, *(t for f in ("scene_tags", "rule_tags") for t in sample[f]["classifications"])]


def test_every_field_is_declared(exported):
    """FiftyOne refuses to load a sample with a field that its dataset does not declare."""
    _, _, document, samples = exported
    declared = {field["db_field"] for field in document["sample_fields"]}
    assert all(set(sample) <= declared for sample in samples)


def test_scores_tags_and_vectors_are_the_index_s(exported, town_index):
    selection, _, _, samples = exported
    clips = {row["clip_id"]: row for row in town_index.store.read("clips").to_pylist()}
    for sample in samples:
        clip, item = clips[sample["clip_id"]], selection.items[sample["rank"]]
        assert sample["score"] == item.score and sample["risk"] == clip["risk_tracks"]
        vector = np.load(io.BytesIO(zlib.decompress(base64.b64decode(sample["embedding"]["$binary"]["base64"]))))
        assert vector.tolist() == clip["embedding"]
        told = {tag["label"]: tag["confidence"] for tag in sample["scene_tags"]["classifications"]}
        assert told and told == {tag: clip[f"tag_{tag}"] for tag in told} and min(told.values()) >= 0.5
        rules = {tag["label"] for tag in sample["rule_tags"]["classifications"]}
        assert rules == {name[10:] for name, holds in clip.items() if name.startswith("label_tag_") and holds}


def test_boxes_lie_where_the_agents_are(exported, town_index):
    selection, _, _, samples = exported
    log = open_indexed_log(town_index, selection.items[0].log_id)
    sample = next(s for s in samples if s["group"]["name"] == "CAM_FRONT" and s["agents"] is not None)
    [car] = sample["agents"]["detections"]
    track = next(t for t in log.store.read_tracks() if t.track_id == car["track_id"])
    at = np.array([sample["time_us"]])
    poses, sizes, _ = boxes_over(track, at)
    lines = box_lines(log.rig.sensors["CAM_FRONT"], log.poses_at(at)[0][0], poses[0], sizes[0])
    corners = (np.concatenate(lines) + 0.5) / [64, 36]
    x, y, width, height = car["bounding_box"]
    assert (x, y) == pytest.approx(corners.min(0)) and (x + width, y + height) == pytest.approx(corners.max(0))
    assert car["label"] == "car" and car["away_m"] == pytest.approx(15.0, abs=0.1) and not car["riskiest"]
    second = next(s for s in samples if s["rank"] == 1)
    assert second["agents"] is None or second["agents"]["detections"] == []


def test_origin_is_in_the_dataset_s_info(exported):
    selection, _, document, samples = exported
    assert document["info"]["selection"] == selection.content
    assert json.loads(document["info"]["query"]) == dict(selection.query)
    assert {log["dataset"] for log in document["info"]["logs"]} == {"nuscenes"}
    assert samples[0]["source"] == "nuscenes" and "licence" in samples[0]


def test_the_same_selection_gives_the_same_bytes(exported, town_index, tmp_path):
    selection, report, *_ = exported
    again = export_fiftyone(town_index, selection, tmp_path / "again")
    for name in ("metadata.json", "samples.json"):
        assert (again.path / name).read_bytes() == (report.path / name).read_bytes()


def test_names_of_others_are_neither_paths_nor_keys(hostile_index, tmp_path):
    gone = Selected("x", "../../x", "../../x", 0, 1, None)
    selection = make_selection(hostile_index, extra=(gone,))
    selection = replace(selection, query={"$where": "1", "a.b": "\ud800"})
    report = export_fiftyone(hostile_index, selection, tmp_path / "deep" / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
    document, samples = read_dataset(report.path)
    assert not any("$" in key or "." in key for key in document["info"])
    assert all(Path(s["filepath"]).parts[0] == "data" and len(Path(s["filepath"]).parts) == 2 for s in samples)
    assert "x" in dict(report.left_out)


def test_bare_frames_have_no_boxes(bare_index, tmp_path):
    report = export_fiftyone(bare_index, make_selection(bare_index), tmp_path / "out")
    document, samples = read_dataset(report.path)
    assert {sample["agents"] for sample in samples} == {None} and list(document["group_media_types"]) == ["camera"]


def test_odd_camera_names_become_slices(fisheye_index, tmp_path):
    report = export_fiftyone(fisheye_index, make_selection(fisheye_index), tmp_path / "out")
    document, samples = read_dataset(report.path)
    assert list(document["group_media_types"]) == ["fr-ont-b", "rear"]
    assert {Path(s["filepath"]).suffix for s in samples} == {".jpg", ".png"}


def test_nothing_is_overwritten(town_index, tmp_path):
    with pytest.raises(IndexFault, match="already"):
        export_fiftyone(town_index, make_selection(town_index), tmp_path)
