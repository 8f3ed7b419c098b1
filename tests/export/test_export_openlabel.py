"""OpenLABEL files: valid against the public schema, and read back they say what the index and the log say."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from make_selection import make_selection

from sceneminer.export.formats import ExportReport, export_selection
from sceneminer.export.openlabel import export_openlabel
from sceneminer.export.reopen import open_indexed_log
from sceneminer.geometry.pose import pose_from_quat
from sceneminer.index.errors import IndexFault
from sceneminer.index.selection import Selection
from sceneminer.labels.prompts import TAGS

SCHEMA = Path(__file__).parent / "openlabel" / "openlabel_json_schema-v1.0.0.json"
REAL = Path(__file__).parents[3] / "shared" / "data" / "kitti" / "tracking_openlabel"


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(json.loads(SCHEMA.read_text()))


@pytest.fixture(scope="module")
def selection(town_index) -> Selection:
    return make_selection(town_index)


@pytest.fixture(scope="module")
def exported(town_index, selection, tmp_path_factory) -> ExportReport:
    return export_openlabel(town_index, selection, tmp_path_factory.mktemp("export") / "town")


def documents(report: ExportReport) -> list[dict]:
    listed = json.loads((report.path / "index.json").read_text())["files"]
    return [json.loads((report.path / row["file"]).read_text())["openlabel"] for row in listed]


def frames_of(document: dict) -> list[dict]:
    return [document["frames"][str(k)] for k in range(len(document["frames"]))]


def filled(intervals: list[dict]) -> set[int]:
    return {k for span in intervals for k in range(span["frame_start"], span["frame_end"] + 1)}


@pytest.mark.parametrize("name", ["town_index", "hostile_index", "bare_index", "blind_index"])
def test_every_file_is_valid(name, request, schema, tmp_path):
    index = request.getfixturevalue(name)
    report = export_selection(index, make_selection(index), tmp_path / "out", to="openlabel")
    assert report.items == len(documents(report)) > 0
    for document in documents(report):
        errors = [error.message for error in schema.iter_errors({"openlabel": document})]
        assert errors == []
    assert report.files == len(list(report.path.iterdir()))


def test_the_schema_refuses_what_is_not_openlabel(schema, exported):
    document = documents(exported)[0]
    assert not schema.is_valid({"openlabel": document | {"metadata": {"schema_version": "9"}}})
    assert not schema.is_valid({"openlabel": document | {"objects": {"no uid": {"name": "a", "type": "car"}}}})


def test_intervals_and_frames_are_the_logs(town_index, selection, exported):
    assert exported.left_out == ()
    for item, document in zip(selection.items, documents(exported), strict=True):
        log = open_indexed_log(town_index, item.log_id)
        told = document["metadata"]
        assert (told["start_us"], told["end_us"], told["log_id"]) == (item.start_us, item.end_us, item.log_id)
        assert told["selection"] == selection.content and told["score"] == item.score
        times = np.array([frame["frame_properties"]["timestamp"] for frame in frames_of(document)])
        reference = log.reference_times_us
        inside = reference[(reference >= item.start_us) & (reference <= item.end_us)]
        np.testing.assert_array_equal(times, inside)
        assert document["frame_intervals"] == [{"frame_start": 0, "frame_end": len(times) - 1}]
        for frame, time_us in zip(frames_of(document), times, strict=True):
            (transform,) = frame["frame_properties"]["transforms"].values()
            pose = np.reshape(transform["transform_src_to_dst"]["matrix4x4"], (4, 4))
            np.testing.assert_allclose(pose, log.poses_at(np.array([time_us]))[0][0], atol=1e-9)


def test_boxes_are_the_logs(town_index, selection, exported):
    count = 0
    for item, document in zip(selection.items, documents(exported), strict=True):
        tracks = {t.track_id: t for t in open_indexed_log(town_index, item.log_id).store.read_tracks()}
        for uid, found in document.get("objects", {}).items():
            track = tracks.pop(found["name"])
            assert found["type"] == track.category
            rows = []
            for k, frame in enumerate(frames_of(document)):
                if uid not in frame.get("objects", {}):
                    continue
                (cuboid,) = frame["objects"][uid]["object_data"]["cuboid"]
                x, y, z, qx, qy, qz, qw, length, width, height = cuboid["val"]
                i = int(np.searchsorted(track.times_us, frame["frame_properties"]["timestamp"]))
                pose = pose_from_quat(np.array([x, y, z]), np.array([qw, qx, qy, qz]))
                np.testing.assert_allclose(pose, track.world_from_box[i], atol=1e-9)
                np.testing.assert_allclose([length, width, height], track.size_lwh_m[i])
                rows.append(k)
            inside = (track.times_us >= item.start_us) & (track.times_us <= item.end_us)
            assert len(rows) == inside.sum()
            assert filled(found["frame_intervals"]) == set(rows)
            count += len(rows)
        assert not [t for t in tracks.values() if np.any((t.times_us >= item.start_us) & (t.times_us <= item.end_us))]
    assert count >= 6


def test_cameras_are_where_and_what_they_are(town_index, selection, exported):
    item, document = selection.items[0], documents(exported)[0]
    log = open_indexed_log(town_index, item.log_id)
    systems = document["coordinate_systems"]
    assert systems["odom"]["children"] == ["vehicle-iso8855"] and systems["odom"]["parent"] == ""
    assert set(systems["vehicle-iso8855"]["children"]) == set(log.series)
    for name, series in log.series.items():
        mount = np.reshape(systems[name]["pose_wrt_parent"]["matrix4x4"], (4, 4))
        np.testing.assert_allclose(mount, series.sensor(0).ego_from_sensor)
        assert document["streams"][name]["type"] == series.modality
    lens = document["streams"]["CAM_FRONT"]["stream_properties"]["intrinsics_pinhole"]
    camera = log.series["CAM_FRONT"].sensor(0).camera
    assert camera is not None and (lens["width_px"], lens["height_px"]) == (camera.width_px, camera.height_px)
    np.testing.assert_allclose(np.reshape(lens["camera_matrix"], (3, 4))[:, :3], camera.matrix)
    # The back camera becomes a larger one on the way.
    sizes = set()
    for frame in frames_of(document):
        streams = frame["frame_properties"]["streams"]
        assert (log.store.media.folder / streams["CAM_FRONT"]["uri"]).is_file()
        own = streams["CAM_BACK"]["stream_properties"]
        sizes.add(own["intrinsics_pinhole"]["width_px"] if "intrinsics_pinhole" in own else 64)
    assert sizes == {64, 96}


def test_tags_are_those_of_the_index(town_index, selection, exported):
    rows = {row["clip_id"]: row for row in town_index.store.read("clips").to_pylist()}
    for item, document in zip(selection.items, documents(exported), strict=True):
        row = rows[item.clip_id]
        expected = {(tag, "model") for tag in TAGS if row[f"tag_{tag}"] >= 0.5}
        expected |= {(tag, "rules") for tag in TAGS if row[f"label_tag_{tag}"]}
        tags = document.get("tags", {})
        found = {(tag["type"], tag["tag_data"]["text"][0]["val"]): tag for tag in tags.values()}
        assert set(found) == expected and set(tags) == set(document.get("contexts", {}))
        for (name, source), tag in found.items():
            assert tag["ontology_uid"] in document["ontologies"]
            if source == "model":
                assert tag["tag_data"]["num"][0]["val"] == pytest.approx(row[f"tag_{name}"])
        for context in document.get("contexts", {}).values():
            assert filled(context["frame_intervals"]) == set(range(len(document["frames"])))


def test_risk_names_its_agent_and_instant(town_index, selection, exported):
    rows = {row["clip_id"]: row for row in town_index.store.read("clips").to_pylist()}
    item, document = selection.items[0], documents(exported)[0]
    row = rows[item.clip_id]
    assert row["risk_tracks"] > 0
    (event,) = document["events"].values()
    numbers = {one["name"]: one["val"] for one in event["event_data"]["num"]}
    assert event["type"] == row["risk_tracks_measure"]
    assert numbers["risk"] == pytest.approx(row["risk_tracks"]) and numbers["time_us"] == row["risk_tracks_time_us"]
    assert numbers[event["type"]] == pytest.approx(row["risk_tracks_value"])
    (relation,) = document["relations"].values()
    agent = document["objects"][relation["rdf_objects"][0]["uid"]]
    assert agent["name"] == row["risk_tracks_agent"]
    curve = {r["time_us"]: r["risk_tracks"] for r in town_index.store.read("frames").to_pylist()}
    (action,) = document["actions"].values()
    for k in filled(action["frame_intervals"]):
        frame = document["frames"][str(k)]
        value = frame["actions"]["0"]["action_data"]["num"][0]["val"]
        near = min(curve, key=lambda t: abs(t - frame["frame_properties"]["timestamp"]))
        assert value == pytest.approx(curve[near])


def test_licence_and_origin_travel_along(town_index, selection, exported):
    for document in documents(exported):
        told = document["metadata"]
        assert told["schema_version"] == "1.0.0" and told["annotator"].startswith("sceneminer")
        assert "licence: not stated" in told["comment"] and told["dataset"] == "nuscenes"
    assert str(town_index.folder.parent) not in "".join(path.read_text() for path in exported.path.iterdir())
    assert {path.name for path in exported.path.iterdir()} >= {"index.json", "origin.json", "SOURCES.md"}
    with pytest.raises(IndexFault, match="new place"):
        export_openlabel(town_index, selection, exported.path)


@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/data/kitti")
def test_the_schema_takes_what_others_write_in_the_same_words(schema, exported):
    """Our coordinate systems and transforms are named as the KITTI files of the standard's authors name them."""
    theirs = json.loads((REAL / "openlabel100_kitti_tracking_0012.json").read_text())["openlabel"]
    ours = documents(exported)[0]
    assert {"odom", "vehicle-iso8855"} <= set(theirs["coordinate_systems"]) & set(ours["coordinate_systems"])
    same = [set(d["frames"]["0"]["frame_properties"]["transforms"]) for d in (theirs, ours)]
    assert same[0] == same[1]
