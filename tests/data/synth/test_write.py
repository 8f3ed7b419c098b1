"""Synthetic Drives as nuScenes folders: tables, timing, annotations, reproducibility, resuming."""

import calendar
import hashlib
import itertools
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shapely import MultiPoint, contains_xy

from sceneminer.data.errors import DataError
from sceneminer.data.synth.annotate import actor_pose, attribute_of
from sceneminer.data.synth.lidar import lidar_sweep
from sceneminer.data.synth.map_expansion import map_offset
from sceneminer.data.synth.render import camera_image
from sceneminer.data.synth.rig import CHANNELS, MOUNT_OF, rig_sensors
from sceneminer.data.synth.scene import ego_at
from sceneminer.data.synth.tables import CATEGORIES, TABLES, token
from sceneminer.data.synth.write import write_dataset
from sceneminer.data.synth.write_log import LogJob, drive_of, open_town, town_of
from sceneminer.geometry.box import box_corners, points_in_box
from sceneminer.geometry.camera import project
from sceneminer.geometry.pose import invert, pose_from_quat, transform

SIZE_HW = (64, 112)
SEED = 5
FULL = {"logs": 1, "seed": SEED, "split": "val", "rate": "full", "size_hw": SIZE_HW, "duration_s": 1.2}


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """One log of 1.2 s with every sensor at its own rate."""
    out = tmp_path_factory.mktemp("full") / "town"
    return write_dataset(out, **FULL, workers=1)


@pytest.fixture(scope="module")
def tables(full):
    return {path.stem: json.loads(path.read_text()) for path in (full / "v1.0-val").glob("*.json")}


@pytest.fixture(scope="module")
def by_token(tables):
    return {name: {row["token"]: row for row in rows} for name, rows in tables.items()}


@pytest.fixture(scope="module")
def recorded(full):
    """The Drive behind the folder, and what renders it."""
    job = LogJob(full, "val", SEED, 0, 0, "full", SIZE_HW, CHANNELS, FULL["duration_s"])
    town, renderer = open_town("val", SEED, 0)
    return drive_of(job, town), renderer


def seconds(tables, row):
    """Time of a row on the Drive's clock, which starts when the log file's name says."""
    start = time.strptime(tables["log"][0]["logfile"][5:24], "%Y-%m-%d-%H-%M-%S")
    return (row["timestamp"] - calendar.timegm(start) * 1_000_000) / 1e6


def test_the_13_tables_and_lidarseg(tables):
    assert len(TABLES) == 13
    assert set(tables) == {*TABLES, "lidarseg", "captions"}
    assert all(tables.values())


REFERENCES = {
    ("calibrated_sensor", "sensor_token"): "sensor",
    ("sample_data", "sample_token"): "sample",
    ("sample_data", "ego_pose_token"): "ego_pose",
    ("sample_data", "calibrated_sensor_token"): "calibrated_sensor",
    ("sample", "scene_token"): "scene",
    ("scene", "log_token"): "log",
    ("scene", "first_sample_token"): "sample",
    ("scene", "last_sample_token"): "sample",
    ("instance", "category_token"): "category",
    ("instance", "first_annotation_token"): "sample_annotation",
    ("instance", "last_annotation_token"): "sample_annotation",
    ("sample_annotation", "sample_token"): "sample",
    ("sample_annotation", "instance_token"): "instance",
    ("sample_annotation", "visibility_token"): "visibility",
    ("lidarseg", "sample_data_token"): "sample_data",
}


def test_tokens_are_unique_and_references_resolve(tables, by_token):
    for name, rows in tables.items():
        assert len(by_token[name]) == len(rows), name
    for (name, field), target in REFERENCES.items():
        assert all(row[field] in by_token[target] for row in tables[name]), (name, field)
    for row in tables["sample_annotation"]:
        assert all(t in by_token["attribute"] for t in row["attribute_tokens"])
    logs = {token for row in tables["map"] for token in row["log_tokens"]}
    assert logs == set(by_token["log"])
    assert len({row["ego_pose_token"] for row in tables["sample_data"]}) == len(tables["sample_data"])


def chains(rows, key):
    """Rows by group, in the order of their next tokens; fails on a loop, a fork or a loose end."""
    groups = {}
    for row in rows:
        groups.setdefault(key(row), {})[row["token"]] = row
    for name, group in groups.items():
        (first,) = [row for row in group.values() if row["prev"] == ""]
        order = [first]
        while order[-1]["next"]:
            following = group[order[-1]["next"]]
            assert following["prev"] == order[-1]["token"]
            order.append(following)
        assert len(order) == len(group)
        yield name, order


def test_chains_run_in_time_order(tables, by_token):
    for _, order in chains(tables["sample"], lambda row: row["scene_token"]):
        assert all(a["timestamp"] < b["timestamp"] for a, b in itertools.pairwise(order))
        scene = by_token["scene"][order[0]["scene_token"]]
        assert (scene["first_sample_token"], scene["last_sample_token"]) == (order[0]["token"], order[-1]["token"])
        assert scene["nbr_samples"] == len(order)
    channels = list(chains(tables["sample_data"], lambda row: row["calibrated_sensor_token"]))
    assert len(channels) == len(CHANNELS)
    for _, order in channels:
        assert all(a["timestamp"] < b["timestamp"] for a, b in itertools.pairwise(order))
    for name, order in chains(tables["sample_annotation"], lambda row: row["instance_token"]):
        instance = by_token["instance"][name]
        times = [by_token["sample"][row["sample_token"]]["timestamp"] for row in order]
        assert times == sorted(set(times))
        assert instance["nbr_annotations"] == len(order)
        assert (instance["first_annotation_token"], instance["last_annotation_token"]) == (
            order[0]["token"],
            order[-1]["token"],
        )


def test_captions_name_spans_of_their_scene(tables, by_token):
    for row in tables["captions"]:
        assert set(row) == {"token", "scene_token", "start", "end", "text", "kind"}
        assert row["scene_token"] in by_token["scene"]
        assert row["text"]
        assert seconds(tables, {"timestamp": row["start"]}) >= 0.0
        assert row["start"] < row["end"]
        assert seconds(tables, {"timestamp": row["end"]}) <= FULL["duration_s"]


def channel_of(by_token, row):
    sensor = by_token["calibrated_sensor"][row["calibrated_sensor_token"]]["sensor_token"]
    return by_token["sensor"][sensor]["channel"]


def test_rates_and_keyframes_are_those_of_nuscenes(tables, by_token):
    counts, keys = dict.fromkeys(CHANNELS, 0), dict.fromkeys(CHANNELS, 0)
    for row in tables["sample_data"]:
        counts[channel_of(by_token, row)] += 1
        keys[channel_of(by_token, row)] += row["is_key_frame"]
    assert counts == {channel: 24 if channel == "LIDAR_TOP" else 14 for channel in CHANNELS}
    assert set(keys.values()) == {3} == {len(tables["sample"])}


def test_cameras_fire_where_the_sweep_passes_them(tables, by_token):
    for row in tables["sample_data"]:
        if row["is_key_frame"]:
            channel = channel_of(by_token, row)
            offset_us = row["timestamp"] - by_token["sample"][row["sample_token"]]["timestamp"]
            assert abs(offset_us - MOUNT_OF[channel].offset_us) < (1 if channel == "LIDAR_TOP" else 1000)


def test_a_sweep_belongs_to_the_keyframe_that_follows_it(tables, by_token):
    last = max(row["timestamp"] for row in tables["sample"])
    for row in tables["sample_data"]:
        sample = by_token["sample"][row["sample_token"]]["timestamp"]
        lag_us = sample - row["timestamp"]
        assert lag_us < 700_000
        assert lag_us > -50_000 or sample == last


def test_media_are_there_and_named_as_in_nuscenes(full, tables, by_token):
    logfile = tables["log"][0]["logfile"]
    for row in tables["sample_data"]:
        channel, path = channel_of(by_token, row), full / row["filename"]
        folder = "samples" if row["is_key_frame"] else "sweeps"
        suffix = "pcd.bin" if channel == "LIDAR_TOP" else "jpg"
        assert row["filename"] == f"{folder}/{channel}/{logfile}__{channel}__{row['timestamp']}.{suffix}"
        if suffix == "jpg":
            with Image.open(path) as image:
                assert image.size == (row["width"], row["height"]) == SIZE_HW[::-1]
        else:
            assert path.stat().st_size % 20 == 0


def test_lidar_files_hold_points_with_labels(full, tables, by_token):
    assert len(tables["lidarseg"]) == len(tables["sample"])
    used = set()
    for row in tables["lidarseg"]:
        labels = np.fromfile(full / row["filename"], np.uint8)
        data = by_token["sample_data"][row["sample_data_token"]]
        points = np.fromfile(full / data["filename"], "<f4").reshape(-1, 5)
        assert len(points) == len(labels) > 5000
        assert np.all(np.isfinite(points))
        assert points[:, 3].min() >= 0
        assert points[:, 3].max() <= 255
        assert set(np.unique(points[:, 4])) <= set(range(32))
        used |= set(labels.tolist())
    names = {CATEGORIES[i][0] for i in used}
    assert {"flat.driveable_surface", "flat.sidewalk", "static.manmade"} <= names
    assert [row["index"] for row in tables["category"]] == list(range(32))


def test_ego_poses_are_the_drives_at_each_sensors_own_time(tables, recorded):
    drive, _ = recorded
    for row in tables["ego_pose"]:
        x, y, z, yaw, _ = ego_at(drive, seconds(tables, row))
        expected = np.add([x, y, z], [*map_offset(drive.town), 0.0])
        assert np.allclose(row["translation"], expected, atol=1e-3)
        assert np.allclose(row["rotation"], [np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)], atol=1e-6)
    xy = np.array([row["translation"][:2] for row in tables["ego_pose"]])
    assert xy.min() > 0


def by_actor(tables, by_token, drive):
    """(sample token, actor) → annotation, by the place and size of the box at the keyframe."""
    found = {}
    offset = np.array([*map_offset(drive.town), 0.0])
    for row in tables["sample_annotation"]:
        time_s = seconds(tables, by_token["sample"][row["sample_token"]])
        width, length, height = row["size"]
        center = np.array(row["translation"]) - offset
        for actor in drive.actors:
            if np.allclose(actor.size_lwh_m, (length, width, height), atol=1e-3):
                pose, present = actor_pose(actor, time_s)
                if present and np.allclose(pose[:3, 3], center, atol=2e-3):
                    found[row["sample_token"], actor.actor_id] = row
    return found


def test_boxes_hold_the_pixels_of_their_actors(tables, by_token, recorded):
    drive, renderer = recorded
    annotations = by_actor(tables, by_token, drive)
    assert len(annotations) == len(tables["sample_annotation"])
    actors = {actor.actor_id: actor for actor in drive.actors}
    rig = rig_sensors(SIZE_HW)
    inside = total = 0
    for data in tables["sample_data"]:
        channel = channel_of(by_token, data)
        if not data["is_key_frame"] or channel == "LIDAR_TOP":
            continue
        sensor = rig.sensors[channel]
        time_s = seconds(tables, data)
        view = camera_image(renderer, drive, time_s, ego_from_camera=sensor.ego_from_sensor, camera=sensor.camera)
        pose = by_token["ego_pose"][data["ego_pose_token"]]
        mount = by_token["calibrated_sensor"][data["calibrated_sensor_token"]]
        world_from_ego = pose_from_quat(np.array(pose["translation"]), np.array(pose["rotation"]))
        ego_from_camera = pose_from_quat(np.array(mount["translation"]), np.array(mount["rotation"]))
        camera_from_world = invert(world_from_ego @ ego_from_camera)
        for actor_id in np.unique(view.actor_id[view.actor_id >= 0]):
            row = annotations.get((data["sample_token"], int(actor_id)))
            if row is None:
                continue
            actor = actors[int(actor_id)]
            before, after = actor.at(time_s)[0], actor.at(seconds(tables, by_token["sample"][row["sample_token"]]))[0]
            center = np.array(row["translation"]) - np.array([*(after - before)[:2], 0.0])
            box = pose_from_quat(center, np.array(row["rotation"]))
            corners = transform(camera_from_world, box_corners(box, np.array(row["size"])[[1, 0, 2]]))
            if corners[:, 2].min() < 0.5:
                continue
            uv, _ = project(sensor.camera, corners)
            hull = MultiPoint(uv).convex_hull.buffer(1.0)
            v, u = np.nonzero(view.actor_id == actor_id)
            inside += np.sum(contains_xy(hull, u.astype(float), v.astype(float)))
            total += len(u)
    assert total > 100
    assert inside >= 0.95 * total


def test_what_a_camera_sees_near_ego_is_annotated(tables, by_token, recorded):
    drive, renderer = recorded
    annotations = by_actor(tables, by_token, drive)
    rig = rig_sensors(SIZE_HW)
    sample, checked = tables["sample"][1], 0
    actors = {actor.actor_id: actor for actor in drive.actors}
    for data in tables["sample_data"]:
        channel = channel_of(by_token, data)
        if data["is_key_frame"] and channel.startswith("CAM") and data["sample_token"] == sample["token"]:
            sensor, time_s = rig.sensors[channel], seconds(tables, data)
            view = camera_image(renderer, drive, time_s, ego_from_camera=sensor.ego_from_sensor, camera=sensor.camera)
            for actor_id in np.unique(view.actor_id[view.actor_id >= 0]):
                state, present = actors[int(actor_id)].at(seconds(tables, sample))
                if present and np.hypot(*(state[:2] - ego_at(drive, time_s)[:2])) < 75.0:
                    assert (sample["token"], int(actor_id)) in annotations
                    checked += 1
    assert checked > 10


def test_lidar_points_of_an_actor_lie_in_its_box(full, tables, by_token, recorded):
    drive, renderer = recorded
    annotations = by_actor(tables, by_token, drive)
    actors = {actor.actor_id: actor for actor in drive.actors}
    sensor = rig_sensors(SIZE_HW).sensors["LIDAR_TOP"]
    checked = 0
    for data in tables["sample_data"]:
        if not data["is_key_frame"] or channel_of(by_token, data) != "LIDAR_TOP":
            continue
        sweep = lidar_sweep(renderer, drive, seconds(tables, data), ego_from_lidar=sensor.ego_from_sensor)
        stored = np.fromfile(full / data["filename"], "<f4").reshape(-1, 5)
        assert np.allclose(stored[:, :3], sweep.points, atol=1e-3)
        pose = by_token["ego_pose"][data["ego_pose_token"]]
        mount = by_token["calibrated_sensor"][data["calibrated_sensor_token"]]
        world = pose_from_quat(np.array(pose["translation"]), np.array(pose["rotation"])) @ pose_from_quat(
            np.array(mount["translation"]), np.array(mount["rotation"])
        )
        points = transform(world, sweep.points.astype(np.float64))
        for actor_id in np.unique(sweep.actor_id[sweep.actor_id >= 0]):
            row = annotations.get((data["sample_token"], int(actor_id)))
            if row is None:
                continue
            mine = points[sweep.actor_id == actor_id]
            assert row["num_lidar_pts"] == len(mine)
            moved_m = 0.05 * abs(actors[int(actor_id)].at(seconds(tables, data))[0][4])
            box = pose_from_quat(np.array(row["translation"]), np.array(row["rotation"]))
            held = points_in_box(box, np.array(row["size"])[[1, 0, 2]], mine, margin_m=0.15 + moved_m)
            assert np.mean(held) >= 0.97, (actors[int(actor_id)].category, len(mine))
            checked += len(mine)
    assert checked > 100


def test_attributes_say_what_the_actors_do(tables, by_token, recorded):
    drive, _ = recorded
    actors = {actor.actor_id: actor for actor in drive.actors}
    used = set()
    for (sample, actor_id), row in by_actor(tables, by_token, drive).items():
        expected = attribute_of(actors[actor_id], seconds(tables, by_token["sample"][sample]))
        names = [by_token["attribute"][t]["name"] for t in row["attribute_tokens"]]
        assert names == ([] if expected is None else [expected])
        kind = by_token["category"][by_token["instance"][row["instance_token"]]["category_token"]]["name"]
        assert kind == actors[actor_id].category
        used |= set(names)
    assert used


# Writing again: the same bytes, whoever writes them, and however often they are interrupted.

SMALL = {"logs": 3, "seed": SEED, "split": "val", "size_hw": (32, 56), "sensors": ("CAM_FRONT",), "duration_s": 1.0}


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    seen = []
    out = tmp_path_factory.mktemp("small") / "town"
    write_dataset(out, **SMALL, workers=1, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    return digest(out)


@pytest.mark.slow
def test_a_killed_run_of_two_workers_is_continued_by_one_to_the_same_bytes(small, tmp_path):
    out = tmp_path / "town"
    code = "from pathlib import Path\nfrom sceneminer.data.synth.write import write_dataset\n"
    code += f"if __name__ == '__main__':\n    write_dataset(Path({str(out)!r}), **{SMALL!r}, workers=2)\n"
    script = tmp_path / "run.py"
    script.write_text(code)
    run = subprocess.Popen([sys.executable, script])
    while not list((out / ".partial").glob("log-*.json")):
        assert run.poll() is None, "the run ended before it could be killed"
        time.sleep(0.02)
    run.kill()
    run.wait()
    assert not (out / "v1.0-val").exists()
    seen = []
    write_dataset(out, **SMALL, workers=1, on_progress=lambda done, total: seen.append(done))
    assert seen[0] > 1
    assert digest(out) == small


def test_a_finished_folder_is_left_alone_and_another_job_refused(full):
    before = digest(full)
    write_dataset(full, **FULL, workers=1)
    with pytest.raises(DataError, match=r"seed 5 \(asked: 6\)"):
        write_dataset(full, **{**FULL, "seed": 6}, workers=1)
    assert digest(full) == before


def test_a_folder_with_something_else_is_refused(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"expected an empty folder or none.*holiday\.jpg"):
        write_dataset(tmp_path, **SMALL)
    with pytest.raises(DataError, match="found a file"):
        write_dataset(tmp_path / "holiday.jpg", **SMALL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logs": 0}, "1 to 9999 logs, found 0"),
        ({"seed": -1}, "seed from 0 on, found -1"),
        ({"size_hw": (8, 8)}, "found 8x8"),
        ({"sensors": ("CAM_TOP",)}, "found CAM_TOP"),
        ({"sensors": ()}, "found none"),
        ({"duration_s": 0.1}, "found 0.1"),
        ({"workers": 0}, "found 3 and 0"),
    ],
)
def test_bad_arguments_are_named_before_anything_is_written(change, message, tmp_path):
    with pytest.raises(DataError, match=message):
        write_dataset(tmp_path / "town", **{**SMALL, **change})
    assert not (tmp_path / "town").exists()


def test_other_splits_and_seeds_have_other_towns_and_tokens(full, tables):
    job = LogJob(full, "val", SEED, 0, 0, "full", SIZE_HW, CHANNELS, 1.0)
    assert tables["log"][0]["token"] == token("log", job.key)
    others = [replace(job, split="train"), replace(job, seed=SEED + 1), replace(job, index=1)]
    assert len({job.key, *(other.key for other in others)}) == 4
    towns = [town_of("val", SEED, 0), town_of("train", SEED, 0), town_of("val", SEED + 1, 0), town_of("val", SEED, 1)]
    assert len({town.name for town in towns}) == 4
    assert len({town.lanes[0].centerline.tobytes() for town in towns}) == 4


def test_a_parked_car_is_parked_and_a_waiting_one_stopped(recorded):
    drive, _ = recorded
    parked = next(a for a in drive.actors if a.category == "vehicle.car" and a.role == "parked")
    assert attribute_of(parked, 0.5) == "vehicle.parked"
    waiting = replace(parked, role="traffic", states=np.repeat(parked.states[:1], 40, 0), present=np.ones(40, bool))
    assert attribute_of(waiting, 0.5) == "vehicle.stopped"
