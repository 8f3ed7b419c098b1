"""Boxes of MCAP recordings as tracks: where they are in the world, and what is said of those that cannot be."""

import json
import pickle

import numpy as np
import pytest
from mcap.writer import Writer
from mcap_tree import START_NS, STEP_NS, agent, foxglove_drive, write_foxglove

from sceneminer.data.adapters import mcap_recording, mcap_series
from sceneminer.data.errors import MediaError
from sceneminer.data.log import Log
from sceneminer.data.open import open_log


def drive_with(entities, *, count: int = 4, topic: str = "/agents") -> list:
    """The drive with other agents: ``entities`` gives those of a step and its time in ns."""
    found = [message for message in foxglove_drive(count) if message[1] != "SceneUpdate"]
    for k in range(count):
        at = START_NS + k * STEP_NS
        found.append((topic, "SceneUpdate", at, {"entities": entities(k, at)}))
    return found


def said(log: Log) -> set[tuple[str, str, int]]:
    return {(issue.kind, issue.reason, issue.count) for issue in log.issues}


@pytest.mark.parametrize("as_json", [False, True], ids=["protobuf", "json"])
def test_agents_are_where_the_transforms_put_them(tmp_path, as_json):
    log = open_log(write_foxglove(tmp_path / "a.mcap", foxglove_drive(5), as_json=as_json))
    assert log.has_tracks and not log.issues
    ahead, beside = log.store.read_tracks()
    assert (ahead.track_id, ahead.category, ahead.source_category) == ("ahead", "car", "car")
    assert (beside.category, beside.source_category) == ("pedestrian", "human.pedestrian.adult")
    np.testing.assert_array_equal(ahead.times_us, (START_NS + np.arange(5) * STEP_NS) // 1000)
    np.testing.assert_allclose(ahead.world_from_box[:, :3, 3], [[10 + k, 2, 0.8] for k in range(5)])
    np.testing.assert_allclose(beside.world_from_box[:, :3, 3], [[k + 5, 3, 0.9] for k in range(5)], atol=1e-9)
    np.testing.assert_allclose(ahead.size_lwh_m, [[4.0, 1.8, 1.6]] * 5)
    again = pickle.loads(pickle.dumps(log))  # noqa: S301
    assert [track.track_id for track in again.store.read_tracks()] == ["ahead", "beside"]
    assert len(pickle.dumps(log.store)) < 1000


def test_an_agent_goes_on_in_the_next_file(tmp_path):
    drive = foxglove_drive(10)
    step = len(drive) // 10
    write_foxglove(tmp_path / "run" / "d_0.mcap", drive[: 5 * step])
    write_foxglove(tmp_path / "run" / "d_1.mcap", drive[5 * step :])
    ahead = open_log(tmp_path / "run").store.read_tracks()[0]
    np.testing.assert_allclose(ahead.world_from_box[:, 0, 3], 10.0 + np.arange(10))


def test_classes_and_attributes_are_taken_from_metadata(tmp_path):
    told = [
        {"category": "truck", "source_category": "BOX_TRUCK", "attribute": "parked"},
        {"Class": "Traffic Cone"},
        {"label": "vehicle.bus.rigid"},
        {"type": "zeppelin"},
        {},
    ]
    path = write_foxglove(
        tmp_path / "a.mcap",
        drive_with(lambda k, at: [agent(at, "map", f"{n}", (9 * n, 9, 0), **facts) for n, facts in enumerate(told)]),
    )
    log = open_log(path)
    tracks = log.store.read_tracks()
    assert [t.category for t in tracks] == ["truck", "cone", "bus", "other", "other"]
    assert [t.source_category for t in tracks] == ["BOX_TRUCK", "Traffic Cone", "vehicle.bus.rigid", "zeppelin", ""]
    assert tracks[0].attributes == (frozenset({"parked"}),) * 4 and tracks[1].attributes == ()
    reason = "expected classes of agents that are known, found zeppelin, (none); taken as other"
    assert said(log) == {("unsupported", reason, 2)}


def test_boxes_that_were_made_up_between_others_are_passed_over(tmp_path):
    def entities(k, at):
        facts = {"category": "car", "interpolated": "true" if k == 2 else "false"}
        return [agent(at, "map", "a", (k, 0, 0), **facts)]

    log = open_log(write_foxglove(tmp_path / "a.mcap", drive_with(entities)))
    np.testing.assert_allclose(log.store.read_tracks()[0].world_from_box[:, 0, 3], [0, 1, 3])
    assert not log.issues


def test_what_is_no_agent_is_counted_by_name(tmp_path):
    def entities(k, at):
        label = agent(at, "map", "label", (0, 0, 0)) | {"cubes": [], "texts": [{"text": "Main Street"}]}
        many = agent(at, "map", "many", (0, 0, 0))
        many["cubes"] = many["cubes"] * 3
        nameless = agent(at, "map", "", (0, 0, 0))
        flat = agent(at, "map", "flat", (0, 0, 0), (4.0, 0.0, 1.0))
        nowhere = agent(at, "map", "nowhere", (float("nan"), 0, 0))
        long = agent(at, "map", "x" * 1000, (0, 0, 0))
        lost = agent(at, "moon", "lost", (0, 0, 0), category="car")
        good = agent(at, "map", "good", (k, 0, 0), category="car")
        return [label, many, nameless, flat, nowhere, long, lost, good, good, {"timestamp": {"seconds": 1}}]

    log = open_log(write_foxglove(tmp_path / "a.mcap", drive_with(entities)))
    assert [track.track_id for track in log.store.read_tracks()] == ["good"]
    other = "expected entities with an id and one cube each, found {}; left out"
    assert said(log) == {
        ("unsupported", other.format("texts"), 4),
        ("unsupported", other.format("several cubes"), 4),
        ("unsupported", other.format("a cube without an id"), 4),
        ("bad_row", "expected boxes with finite poses and sizes and short texts, found others; left out", 12),
        ("no_pose", "expected transforms from map to moon then, found none; left out", 4),
        ("odd_time", "expected an agent once at each time, found repeats; the first is kept", 4),
    }


def test_of_topics_that_show_agents_the_fullest_is_taken(tmp_path):
    path = write_foxglove(
        tmp_path / "a.mcap",
        [
            *foxglove_drive(4),
            *drive_with(lambda k, at: [agent(at, "map", "ahead", (0, 0, 0), category="bus")], topic="/guessed")[-4:],
        ],
    )
    log = open_log(path)
    assert [track.category for track in log.store.read_tracks()] == ["car", "pedestrian"]
    assert said(log) == {("unsupported", "expected one topic of boxes, found 2; /agents is taken", 4)}


def test_without_poses_there_is_no_world_to_be_in(tmp_path):
    path = write_foxglove(tmp_path / "a.mcap", [message for message in foxglove_drive(4) if message[0] != "/tf"])
    log = open_log(path)
    assert not log.has_tracks and log.store.read_tracks() == ()
    assert ("no_pose", "expected ego's poses beside boxes, found none; no tracks without them", 8) in said(log)


def test_boxes_beside_ego_are_unknown_where_ego_is(tmp_path):
    far = START_NS + 60 * STEP_NS
    late = agent(far, "base_link", "beside", (5, 1, 0.9), category="human.pedestrian.adult")
    held = agent(START_NS + 6 * STEP_NS, "base_link", "beside", (5, 1, 0.9), category="human.pedestrian.adult")
    drive = foxglove_drive(4)
    drive += [("/agents", "SceneUpdate", far, {"entities": [late]})]
    drive += [("/agents", "SceneUpdate", START_NS + 6 * STEP_NS, {"entities": [held]})]
    log = open_log(write_foxglove(tmp_path / "a.mcap", drive))
    beside = log.store.read_tracks()[1]
    assert len(beside.times_us) == 5 and beside.world_from_box[-1, 0, 3] == pytest.approx(8.0)
    assert ("no_pose", "expected transforms from map to base_link then, found none; left out", 1) in said(log)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[1]",
        b"[" * 100_000,
        b'{"entities": 3}',
        b'{"entities": [3]}',
        b'{"entities": [{"cubes": 3, "id": "a"}]}',
        b'{"entities": [{"cubes": [{}], "id": 3}]}',
        b'{"entities": [{"cubes": [{}], "id": "\\ud800"}]}',
        b'{"entities": [{"cubes": [{"size": {"x": 1e999, "y": 1, "z": 1}}], "id": "a"}]}',
        b'{"entities": [{"cubes": [{"size": {"x": 1, "y": 1, "z": 1}, "pose": 4}], "id": "a"}]}',
        b'{"entities": [{"cubes": [{"size": {"x": 1, "y": 1, "z": 1}}], "id": "a", "metadata": [{"key": []}]}]}',
        b'{"entities": [{"cubes": [{"size": {"x": 1, "y": 1, "z": 1}}], "id": "a", "metadata": {"category": 1}}]}',
        json.dumps(
            {"entities": [{"cubes": [{"size": dict.fromkeys("xyz", 1)}], "id": "a", "frame_id": "/map"}]}
        ).encode(),
    ],
    ids=lambda body: body[:60].decode("latin-1"),
)
def test_json_of_other_shapes_is_named_and_takes_nothing_along(tmp_path, body):
    path = write_foxglove(tmp_path / "a.mcap", [])
    with path.open("wb") as out:
        writer = Writer(out)
        writer.start()
        channels: dict[str, int] = {}
        for topic, name, at, fields in foxglove_drive(3):
            if topic not in channels:
                schema = writer.register_schema(f"foxglove.{name}", "jsonschema", b"{}")
                channels[topic] = writer.register_channel(topic, "json", schema)
            single = write_foxglove(tmp_path / "single.mcap", [(topic, name, at, fields)], as_json=True)
            writer.add_message(channels[topic], at, _only_message(single), at)
        writer.add_message(channels["/agents"], START_NS, body, START_NS)
        writer.finish()
    log = open_log(path)
    tracks = {track.track_id: track for track in log.store.read_tracks()}
    assert {name: len(tracks[name].times_us) for name in ("ahead", "beside")} == {"ahead": 3, "beside": 3}
    good = tracks.keys() - {"ahead", "beside"}
    assert good == ({"a"} if b'"/map"' in body else set())
    assert bool(log.issues) == (body != b"{}")


def _only_message(path) -> bytes:
    from mcap.reader import make_reader

    with path.open("rb") as file:
        return next(message.data for _, _, message in make_reader(file).iter_messages())


def test_messages_that_are_too_large_are_left_out_and_said(tmp_path, monkeypatch):
    path = write_foxglove(tmp_path / "a.mcap", foxglove_drive(4))
    monkeypatch.setattr(mcap_series, "MAX_SCENE_BYTES", 50)
    log = open_log(path)
    assert not log.has_tracks
    assert ("too_large", "expected at most 50 bytes, found more in /agents; left out", 4) in said(log)


def test_a_small_file_cannot_unpack_to_any_amount(tmp_path, monkeypatch):
    path = write_foxglove(tmp_path / "a.mcap", foxglove_drive(40))
    monkeypatch.setattr(mcap_recording, "MAX_GATHERED_BYTES", 5000)
    log = open_log(path)
    lost = [issue for issue in log.issues if issue.kind == "too_large"]
    assert lost and all("expected at most 5000 bytes of transforms, infos and boxes together" in i.reason for i in lost)
    assert len(log.series["CAM_FRONT"]) == 40


def test_a_file_that_has_changed_gives_no_tracks(tmp_path):
    log = open_log(write_foxglove(tmp_path / "a.mcap", foxglove_drive(4)))
    write_foxglove(tmp_path / "a.mcap", foxglove_drive(9))
    with pytest.raises(MediaError, match="bytes that were there on opening"):
        log.store.read_tracks()
