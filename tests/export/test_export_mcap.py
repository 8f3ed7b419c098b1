"""MCAP files, read back with the mcap libraries: messages are those of the log, and times are in order."""

import json
from dataclasses import replace
from pathlib import Path
from string import ascii_letters

import numpy as np
import pytest
from make_selection import make_selection

from sceneminer.data.clip import Clip
from sceneminer.data.open import open_logs
from sceneminer.data.track import Track, states_at
from sceneminer.export.interval import iter_intervals
from sceneminer.export.mcap import export_mcap
from sceneminer.export.mcap_messages import iter_agents
from sceneminer.export.origin import read_origin
from sceneminer.export.reopen import open_indexed_log
from sceneminer.geometry.pose import quat_to_rotation
from sceneminer.index.selection import Selected
from sceneminer.labels.ego import ego_states
from sceneminer.labels.risk import measure
from sceneminer.labels.tags import label_tags

pytest.importorskip("mcap_protobuf", reason="the extra mcap is not installed")


def read_mcap(path: Path) -> tuple[dict[str, list], dict[str, str], dict[str, str]]:
    """(time in ns, message) by topic, the schema of each topic, and sceneminer's metadata."""
    from mcap.reader import make_reader
    from mcap_protobuf.decoder import DecoderFactory

    found: dict[str, list] = {}
    schemas = {}
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True, decoder_factories=[DecoderFactory()])
        for schema, channel, message in reader.iter_messages():
            schemas[channel.topic] = schema.name
            decode = DecoderFactory().decoder_for(channel.message_encoding, schema)
            told = json.loads(message.data) if decode is None else decode(message.data)
            found.setdefault(channel.topic, []).append((message.log_time, told))
        metadata = {record.name: record.metadata for record in reader.iter_metadata()}
    return found, schemas, metadata["sceneminer"]


@pytest.fixture(scope="module")
def exported(town_index, tmp_path_factory):
    selection = make_selection(town_index)
    report = export_mcap(town_index, selection, tmp_path_factory.mktemp("mcap") / "out")
    assert report.left_out == () and report.items == 2
    return selection, report, open_indexed_log(town_index, selection.items[0].log_id)


def stamp_us(message) -> int:
    return message.timestamp.seconds * 1_000_000 + message.timestamp.nanos // 1000


def test_a_file_an_interval_with_its_origin(exported):
    selection, report, _ = exported
    files = sorted(report.path.glob("*.mcap"))
    assert [path.name for path in files] == ["0000-scene-0001+0000000.mcap", "0001-scene-0002+0000000.mcap"]
    _, schemas, told = read_mcap(files[0])
    assert told["selection"] == selection.content and told["clip_id"] == selection.items[0].clip_id
    assert told["dataset"] == "nuscenes" and told["start_us"] == str(selection.items[0].start_us)
    assert schemas["/CAM_FRONT/image"] == "foxglove.CompressedImage" and schemas["/agents"] == "foxglove.SceneUpdate"


def test_images_and_lenses_are_the_logs(exported):
    selection, report, log = exported
    item = selection.items[0]
    found, _, _ = read_mcap(report.path / "0000-scene-0001+0000000.mcap")
    for name in log.cameras():
        series = log.series[name].between(item.start_us, item.end_us)
        images = found[f"/{name}/image"]
        assert [time // 1000 for time, _ in images] == [stamp_us(m) for _, m in images] == series.times_us.tolist()
        for (_, image), file in zip(images, series.files, strict=True):
            assert image.data == (log.store.media.folder / file).read_bytes() and image.format == "jpeg"
            assert image.frame_id == name
        lenses = [series.calibrations[c].camera for c in dict.fromkeys(series.calibration_index.tolist())]
        told = [m for _, m in found[f"/{name}/calibration"]]
        assert [(m.width, m.height, list(m.K)) for m in told] == [
            (c.width_px, c.height_px, c.matrix.ravel().tolist()) for c in lenses
        ]
    cloud = found["/LIDAR_TOP"][0][1]
    points = log.store.read_points(log.series["LIDAR_TOP"], 0)
    assert np.frombuffer(cloud.data, "<f4").reshape(-1, 4)[:, :3] == pytest.approx(points.xyz_m, abs=1e-5)


def test_transforms_and_boxes_are_the_logs(exported):
    _, report, log = exported
    found, _, _ = read_mcap(report.path / "0000-scene-0001+0000000.mcap")
    transforms = [one for _, message in found["/tf"] for one in message.transforms]
    for one in transforms:
        at = (one.translation.x, one.translation.y, one.translation.z)
        turn = quat_to_rotation(np.array([one.rotation.w, one.rotation.x, one.rotation.y, one.rotation.z]))
        if one.child_frame_id == "ego":
            pose = log.poses_at(np.array([stamp_us(one)]))[0][0]
        else:
            assert one.parent_frame_id == "ego"
            pose = log.rig.sensors[one.child_frame_id].ego_from_sensor
        assert at == pytest.approx(pose[:3, 3], abs=1e-9) and turn == pytest.approx(pose[:3, :3], abs=1e-9)
    assert {one.child_frame_id for one in transforms} == {"ego", "CAM_FRONT", "CAM_BACK", "LIDAR_TOP"}
    tracks = {track.track_id: track for track in log.store.read_tracks()}
    seen = 0
    for time, update in found["/agents"]:
        for entity in update.entities:
            track = tracks[entity.id]
            k = int(np.flatnonzero(track.times_us * 1000 == time)[0])
            cube = entity.cubes[0]
            assert (cube.size.x, cube.size.y, cube.size.z) == pytest.approx(track.size_lwh_m[k])
            assert (cube.pose.position.x, cube.pose.position.y) == pytest.approx(track.world_from_box[k, :2, 3])
            assert {pair.key: pair.value for pair in entity.metadata}["category"] == track.category
            seen += 1
    assert seen == sum(len(track.times_us) for track in tracks.values())


def test_a_gap_in_an_agents_boxes_is_bridged_and_says_so(town_index):
    selection = make_selection(town_index, items=1)
    (interval,) = iter_intervals(town_index, selection, read_origin(town_index, selection), [])

    def track(name, steps):
        poses = np.tile(np.eye(4), (len(steps), 1, 1))
        poses[:, 0, 3] = steps
        times = interval.item.start_us + 500_000 * np.array(steps)
        return Track(name, "car", "car", times, poses, np.ones((len(steps), 3)))

    tracks = (track("whole", [0, 1, 2]), track("gap", [0, 2]), track("short", [0]))
    updates = [stamped.message for stamped in iter_agents(replace(interval, tracks=tracks))]
    told = [{e.id: {pair.key: pair.value for pair in e.metadata} for e in update.entities} for update in updates]
    assert [sorted(one) for one in told] == [["gap", "short", "whole"], ["gap", "whole"], ["gap", "whole"]]
    assert [[name for name in sorted(one) if "interpolated" in one[name]] for one in told] == [[], ["gap"], []]
    assert updates[1].entities[1].cubes[0].pose.position.x == 1.0
    assert [[d.id for d in update.deletions] for update in updates] == [[], ["short"], []]


def test_risk_is_json_with_its_schema(exported, town_index):
    selection, report, _ = exported
    item = selection.items[0]
    found, schemas, _ = read_mcap(report.path / "0000-scene-0001+0000000.mcap")
    frames = town_index.store.read("frames", where=f"log_id = '{item.log_id}'").to_pylist()
    known = {f["time_us"]: f["risk_tracks"] for f in frames if item.start_us <= f["time_us"] <= item.end_us}
    assert schemas["/risk"] == "sceneminer.Risk"
    assert {time // 1000: message["risk"] for time, message in found["/risk"]} == pytest.approx(known)
    assert "licence not stated" in found["/about"][0][1].message


def test_names_of_others_are_neither_paths_nor_topics(hostile_index, tmp_path):
    gone = Selected("x", "../../x", "../../x", 0, 1, None)
    report = export_mcap(hostile_index, make_selection(hostile_index, extra=(gone,)), tmp_path / "deep" / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
    assert all(set(path.name) <= {*ascii_letters, *"0123456789+-._"} for path in report.path.iterdir())
    assert sum(".jpg" in what for what, _ in report.left_out) == 1 and "x" in dict(report.left_out)


def test_a_fisheye_keeps_its_lens_and_odd_names_become_topics(fisheye_index, tmp_path):
    report = export_mcap(fisheye_index, make_selection(fisheye_index), tmp_path / "out")
    found, _, _ = read_mcap(next(report.path.glob("*.mcap")))
    lens = found["/rear/calibration"][0][1]
    assert lens.distortion_model == "kannala_brandt" and list(lens.D) == [0.01, 0.0, 0.0, 0.0]
    assert "/fr-ont-b/image" in found and found["/rear/image"][0][1].format == "png"


def test_bare_frames_have_images_alone(bare_index, tmp_path):
    report = export_mcap(bare_index, make_selection(bare_index, items=1), tmp_path / "bare")
    found, _, _ = read_mcap(next(report.path.glob("*.mcap")))
    assert {"/about", "/camera/image"} <= set(found) and not {"/tf", "/camera/calibration", "/agents"} & set(found)


def test_the_files_open_again_as_logs(exported):
    selection, report, log = exported
    item = selection.items[0]
    again = open_logs(report.path, adapter="mcap")
    assert again.refused == () and len(again.logs) == 2
    back = next(one for one in again.logs if one.start_us < item.end_us)
    assert set(back.cameras()) == set(log.cameras()) and back.rig.source == "calibrated"
    for name in log.cameras():
        was = log.series[name].between(item.start_us, item.end_us)
        assert back.series[name].times_us.tolist() == was.times_us.tolist()
        assert np.array_equal(back.store.read_image(back.series[name], 0), log.store.read_image(was, 0))
        assert back.rig.sensors[name].camera == was.calibrations[int(was.calibration_index[0])].camera
        pose = log.rig.sensors[name].ego_from_sensor
        assert back.rig.sensors[name].ego_from_sensor == pytest.approx(pose, abs=1e-9)
    points, read = (one.store.read_points(one.series["LIDAR_TOP"], 0) for one in (log, back))
    assert read.xyz_m == pytest.approx(points.xyz_m, abs=1e-5)
    at = back.pose_times_us
    assert back.poses_at(at)[0] == pytest.approx(log.poses_at(at)[0], abs=1e-9)


def test_tracks_and_what_is_told_of_them_come_back(exported, town_index):
    selection, report, log = exported
    item = selection.items[0]
    back = next(one for one in open_logs(report.path, adapter="mcap").logs if one.start_us < item.end_us)
    said = [(issue.subject, issue.reason, issue.count) for issue in back.issues if issue.kind != "no_calibration"]
    assert said == [("/map", "expected entities with an id and one cube each, found lines; left out", 7)]
    found = {track.track_id: track for track in back.store.read_tracks()}
    tracks = {track.track_id: track for track in log.store.read_tracks()}
    assert found.keys() == tracks.keys() and len(found) == 2
    for name, track in tracks.items():
        again = found[name]
        assert (again.category, again.source_category) == (track.category, track.source_category)
        assert again.times_us.tolist() == track.times_us.tolist()
        assert (again.attributes or (frozenset(),) * len(track.times_us)) == track.attributes
        assert again.world_from_box == pytest.approx(track.world_from_box, abs=1e-9)
        assert again.size_lwh_m == pytest.approx(track.size_lwh_m)
    bare = replace(log, has_map=False, description="", start_us=back.start_us, end_us=back.end_us)
    was, now = (label_tags(one, (Clip("", one.log_id, one.start_us, one.end_us),)) for one in (bare, back))
    assert now == was and any(value is not None for value in was[0].values())
    times = np.arange(back.start_us, back.end_us, 100_000)
    was, now = (ego_states(one, times) for one in (log, back))
    np.testing.assert_allclose([now.x_m, now.y_m, now.yaw_rad], [was.x_m, was.y_m, was.yaw_rad], atol=1e-6)
    assert np.nanmax(measure(states_at(back.store.read_tracks(), times), now).risk) > 0
