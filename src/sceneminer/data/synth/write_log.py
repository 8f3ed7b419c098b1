"""One log of the town on disk: its Drive recorded by every sensor, and its rows of the nuScenes tables."""

import io
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from sceneminer.data.log import Sensor
from sceneminer.data.synth.annotate import Sightings, add_camera, add_lidar, annotation_tables, ego_pose
from sceneminer.data.synth.basemap import basemap_png
from sceneminer.data.synth.captions import clip_caption_rows
from sceneminer.data.synth.describe import describe_drive
from sceneminer.data.synth.drive import record_drive
from sceneminer.data.synth.layout import build_town
from sceneminer.data.synth.lidar import lidar_sweep
from sceneminer.data.synth.map_expansion import map_expansion, map_offset
from sceneminer.data.synth.render import Renderer, camera_image
from sceneminer.data.synth.rig import MOUNT_OF, rig_sensors
from sceneminer.data.synth.scene import Drive, Split, Town
from sceneminer.data.synth.tables import Row, chain, rounded, sensor_token, token, write_bytes, write_json
from sceneminer.data.synth.write_schedule import Capture, Rate, Schedule, schedule

JPEG_QUALITY = 92
_SPLITS: tuple[Split, ...] = ("train", "val", "test", "far")


@dataclass(frozen=True)
class LogJob:
    """Which log to record, how, and into which folder; the same job writes the same bytes anywhere."""

    out: Path
    split: Split
    seed: int
    index: int
    town_index: int
    rate: Rate
    size_hw: tuple[int, int]
    channels: tuple[str, ...]
    duration_s: float

    @property
    def key(self) -> str:
        """Names the log in every token and seed; another split or seed shares none of them."""
        return f"{self.split}/{self.seed}/{self.index}"


def seed_of(*parts: object) -> int:
    """A 31-bit seed that depends on the parts and on nothing else."""
    return int(token("seed", *parts)[:8], 16) >> 1


def write_log(job: LogJob) -> dict[str, list[Row]]:
    """Record one log: media, its town's map files if they are not there yet, and the log's rows by table."""
    town, renderer = open_town(job.split, job.seed, job.town_index)
    drive = drive_of(job, town)
    _write_maps(job.out, town)
    started = _start(job, drive)
    plan = schedule(
        job.duration_s,
        start_us=round(started.timestamp()) * 1_000_000,
        channels=job.channels,
        rate=job.rate,
        rng=np.random.default_rng(seed_of("timing", job.key)),
    )
    logfile = f"n{900 + _SPLITS.index(job.split)}-{started:%Y-%m-%d-%H-%M-%S}+0000"
    names = [_media_name(capture, logfile) for capture in plan.captures]
    sightings = _record(job, drive, renderer, plan, names)
    return _rows(job, drive, plan, logfile=logfile, names=names, sightings=sightings)


@lru_cache(maxsize=1)
def open_town(split: Split, seed: int, town_index: int) -> tuple[Town, Renderer]:
    """A town and what draws it; kept between logs of one town because building it costs seconds."""
    town = town_of(split, seed, town_index)
    return town, Renderer(town)


def town_of(split: Split, seed: int, town_index: int) -> Town:
    """A data set's town by its index; another split or seed has other towns."""
    return build_town(split, seed * 10_000 + town_index)


def drive_of(job: LogJob, town: Town) -> Drive:
    """The Drive that a log records."""
    return record_drive(town, seed_of("drive", job.key), duration_s=job.duration_s)


def map_token(location: str) -> str:
    return token("map", location)


def _start(job: LogJob, drive: Drive) -> datetime:
    """The Drive's second 0: a day of its own, at the hour that its sun shows."""
    day = datetime(2021 + 5 * _SPLITS.index(job.split), 1, 1, tzinfo=UTC) + timedelta(days=job.index)
    return day + timedelta(seconds=int(drive.environment.hour * 3600))


def _media_name(capture: Capture, logfile: str) -> str:
    folder = "samples" if capture.is_keyframe else "sweeps"
    suffix = "jpg" if MOUNT_OF[capture.channel].modality == "camera" else "pcd.bin"
    return f"{folder}/{capture.channel}/{logfile}__{capture.channel}__{capture.timestamp_us}.{suffix}"


def _write_maps(out: Path, town: Town) -> None:
    expansion = out / "maps" / "expansion" / f"{town.name}.json"
    if not expansion.exists():
        write_json(expansion, map_expansion(town))
    basemap = out / "maps" / f"{map_token(town.name)}.png"
    if not basemap.exists():
        write_bytes(basemap, basemap_png(town))


def _record(job: LogJob, drive: Drive, renderer: Renderer, plan: Schedule, names: list[str]) -> dict[int, Sightings]:
    """Write all media; returns what each keyframe saw. Without LIDAR_TOP, points are counted in sweeps not written."""
    rig = rig_sensors(job.size_hw)
    sightings = {k: Sightings() for k in range(len(plan.keyframes_us))}
    for capture, name in zip(plan.captures, names, strict=True):
        sensor = rig.sensors[capture.channel]
        seen = sightings[capture.sample] if capture.is_keyframe else None
        path = job.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if sensor.camera is None:
            labels = _labels_path(job, capture) if capture.is_keyframe else None
            _write_sweep(path, labels, drive, renderer, capture.time_s, sensor, seen)
        else:
            _write_image(path, drive, renderer, capture.time_s, sensor, seen)
    if "LIDAR_TOP" not in job.channels:
        mount = rig.sensors["LIDAR_TOP"].ego_from_sensor
        for k, time_us in enumerate(plan.keyframes_us):
            end_s = (time_us - plan.start_us) / 1e6
            add_lidar(sightings[k], lidar_sweep(renderer, drive, end_s, ego_from_lidar=mount).actor_id)
    return sightings


def _write_image(
    path: Path, drive: Drive, renderer: Renderer, time_s: float, sensor: Sensor, seen: Sightings | None
) -> None:
    camera, mount = sensor.camera, sensor.ego_from_sensor
    assert camera is not None
    view = camera_image(renderer, drive, time_s, ego_from_camera=mount, camera=camera)
    data = io.BytesIO()
    Image.fromarray(view.rgb).save(data, "JPEG", quality=JPEG_QUALITY)
    path.write_bytes(data.getvalue())
    if seen is not None:
        pixels, depth = view.actor_id, view.depth_m
        add_camera(seen, drive, time_s, actor_id=pixels, depth_m=depth, ego_from_camera=mount, camera=camera)


def _write_sweep(
    path: Path,
    labels: Path | None,
    drive: Drive,
    renderer: Renderer,
    time_s: float,
    sensor: Sensor,
    seen: Sightings | None,
) -> None:
    sweep = lidar_sweep(renderer, drive, time_s, ego_from_lidar=sensor.ego_from_sensor)
    columns = [sweep.points, sweep.intensity[:, None], sweep.ring[:, None]]
    path.write_bytes(np.concatenate(columns, 1).astype("<f4").tobytes())
    if labels is not None:
        labels.parent.mkdir(parents=True, exist_ok=True)
        labels.write_bytes(sweep.label.astype(np.uint8).tobytes())
    if seen is not None:
        add_lidar(seen, sweep.actor_id)


def _data_token(job: LogJob, capture: Capture) -> str:
    return token("sample_data", job.key, capture.channel, capture.timestamp_us)


def _labels_path(job: LogJob, capture: Capture) -> Path:
    return job.out / _labels_name(job, capture)


def _labels_name(job: LogJob, capture: Capture) -> str:
    return f"lidarseg/v1.0-{job.split}/{_data_token(job, capture)}_lidarseg.bin"


def _rows(
    job: LogJob,
    drive: Drive,
    plan: Schedule,
    *,
    logfile: str,
    names: list[str],
    sightings: dict[int, Sightings],
) -> dict[str, list[Row]]:
    scene, log = token("scene", job.key), token("log", job.key)
    samples = chain(
        [
            {"token": token("sample", job.key, k), "timestamp": time_us, "scene_token": scene}
            for k, time_us in enumerate(plan.keyframes_us)
        ]
    )
    sample_tokens = [row["token"] for row in samples]
    times_s = [(time_us - plan.start_us) / 1e6 for time_us in plan.keyframes_us]
    description = describe_drive(drive, np.random.default_rng(seed_of("description", job.key)))
    return {
        "scene": [
            {
                "token": scene,
                "log_token": log,
                "nbr_samples": len(samples),
                "first_sample_token": sample_tokens[0],
                "last_sample_token": sample_tokens[-1],
                "name": f"scene-{1 + _SPLITS.index(job.split)}{job.index:04d}",
                "description": description,
            }
        ],
        "log": [
            {
                "token": log,
                "logfile": logfile,
                "vehicle": logfile[:4],
                "date_captured": logfile[5:15],
                "location": drive.town.name,
            }
        ],
        "sample": samples,
        "calibrated_sensor": _calibrations(job),
        **_capture_rows(job, drive, plan, names=names, samples=sample_tokens),
        "captions": _captions(job, drive, plan.start_us),
        **annotation_tables(drive, job.key, times_s=times_s, samples=sample_tokens, sightings=sightings),
    }


def _captions(job: LogJob, drive: Drive, start_us: int) -> list[Row]:
    """Rows of captions.json (not a nuScenes table): spans in words; test splits have some that training lacks."""
    rng = np.random.default_rng(seed_of("captions", job.key))
    grammar = "held_out" if job.split in ("test", "far") else "train"
    rows = clip_caption_rows(drive, start_us=start_us, rng=rng, grammar=grammar)
    scene = token("scene", job.key)
    return [{"token": token("caption", scene, i), "scene_token": scene, **row} for i, row in enumerate(rows)]


def _calibrations(job: LogJob) -> list[Row]:
    rig, rows = rig_sensors(job.size_hw, job.channels), []
    for channel, sensor in rig.sensors.items():
        quat = np.array(MOUNT_OF[channel].quat_wxyz)
        rows.append(
            {
                "token": token("calibration", job.key, channel),
                "sensor_token": sensor_token(channel),
                "translation": rounded(MOUNT_OF[channel].translation_m, 4),
                "rotation": rounded(quat / np.sqrt(np.sum(quat**2)), 12),
                "camera_intrinsic": [] if sensor.camera is None else [rounded(r, 9) for r in sensor.camera.matrix],
            }
        )
    return rows


def _capture_rows(
    job: LogJob, drive: Drive, plan: Schedule, *, names: list[str], samples: list[str]
) -> dict[str, list[Row]]:
    """sample_data with its ego poses (one each, of the same token, as in nuScenes), and lidarseg."""
    data: dict[str, list[Row]] = {channel: [] for channel in job.channels}
    poses, labels = [], []
    shift = (*map_offset(drive.town), 0.0)
    for capture, name in zip(plan.captures, names, strict=True):
        key = _data_token(job, capture)
        camera = MOUNT_OF[capture.channel].modality == "camera"
        data[capture.channel].append(
            {
                "token": key,
                "sample_token": samples[capture.sample],
                "ego_pose_token": key,
                "calibrated_sensor_token": token("calibration", job.key, capture.channel),
                "timestamp": capture.timestamp_us,
                "fileformat": "jpg" if camera else "pcd",
                "is_key_frame": capture.is_keyframe,
                "height": job.size_hw[0] if camera else 0,
                "width": job.size_hw[1] if camera else 0,
                "filename": name,
            }
        )
        pose = ego_pose(drive, capture.time_s)
        yaw = np.arctan2(pose[1, 0], pose[0, 0])
        poses.append(
            {
                "token": key,
                "timestamp": capture.timestamp_us,
                "rotation": rounded((np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)), 9),
                "translation": rounded(pose[:3, 3] + shift, 4),
            }
        )
        if capture.is_keyframe and not camera:
            filename = _labels_name(job, capture)
            labels.append({"token": key, "sample_data_token": key, "filename": filename})
    rows: dict[str, list[Row]] = {"sample_data": [row for channel in data.values() for row in chain(channel)]}
    rows["ego_pose"] = poses
    return {**rows, "lidarseg": labels} if labels else rows
