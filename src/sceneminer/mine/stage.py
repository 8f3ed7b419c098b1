"""One unit of work through the model: every image decoded once and encoded once, however its clips overlap.

Frames are taken in groups; the images of a group go through the tower in batches of a fixed shape, a broken image
holding its place with zeros, so that neighbours, kills and damage elsewhere cannot change the bits of a row.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from sceneminer.data.clip import Clip
from sceneminer.data.errors import Issue
from sceneminer.data.frame import Frame, iter_frames
from sceneminer.data.log import Log
from sceneminer.mine.decode import Decoded, ImageKey, iter_images
from sceneminer.mine.units import Unit
from sceneminer.model.added import added_heads
from sceneminer.model.forecast_risk import BEFORE_S, CLIP_S, CameraRisk, camera_risk
from sceneminer.model.geometry import ego_motion, sample_points, token_rays
from sceneminer.model.heads import Signal
from sceneminer.model.scene_model import SceneModel
from sceneminer.model.stream import Stream

GROUP_FRAMES = 8
IMAGE_BATCH = 8


@dataclass(frozen=True, eq=False)
class ClipSignals:
    """What came of one clip. ``stream`` and the signals are None where it has no usable image."""

    clip: Clip
    listed: tuple[ImageKey, ...]
    """Images that the log says belong to this clip."""
    masked: tuple[tuple[ImageKey, Issue], ...]
    """Those of them that could not be used."""
    stream: Stream | None
    embedding: Float[ndarray, "e"] | None
    tags: Float[ndarray, "tags"] | None
    camera: CameraRisk | None
    """Physics on the model's forecast; None where it has none, or where nothing metric is known of the log."""
    thumb: UInt8[ndarray, "h w 3"] | None
    added: Mapping[str, float] = field(default_factory=dict)
    """By column, of the heads that users added."""

    @property
    def cameras(self) -> int:
        bad = {key for key, _ in self.masked}
        return len({camera for camera, i in self.listed if (camera, i) not in bad})


@dataclass(eq=False)
class _Features:
    """Of one image: unit embedding, pooled patches, and whole patches until its frames are lifted."""

    embedding: Tensor
    pooled: Tensor
    patches: Tensor | None
    pixels: ndarray


@dataclass(eq=False)
class _Seen:
    """One Frame once its images are through the tower."""

    frame: Frame
    keys: tuple[ImageKey | None, ...]
    bev: Tensor
    rays: ndarray


@dataclass(eq=False)
class _Window:
    """What is still needed of the frames behind us."""

    shapes: dict[str, tuple[int, int]] = field(default_factory=dict)
    """At the tower's input, of each camera's latest image."""
    features: dict[ImageKey, _Features] = field(default_factory=dict)
    issues: dict[ImageKey, Issue] = field(default_factory=dict)
    frames: dict[int, _Seen] = field(default_factory=dict)


def mine_clips(model: SceneModel, unit: Unit, *, min_cameras: int, workers: int) -> Iterator[ClipSignals]:
    """The clips of a unit in time order. Clips with fewer than ``min_cameras`` usable cameras have no stream."""
    config = model.config
    cameras, metric = unit.log.cameras(), forecasts(model, unit.log)
    times = [_frame_times(clip, config.frames_per_clip, config.frame_period_us) for clip in unit.clips]
    all_times = np.unique(np.concatenate(times))
    all_times = all_times[all_times <= unit.log.end_us]
    frames = list(iter_frames(unit.log, all_times, sensors=cameras, tolerance_us=round(0.6 * config.frame_period_us)))
    keys = [tuple(_key(frame, camera) for camera in cameras) for frame in frames]
    last_use = {key: k for k, row in enumerate(keys) for key in row if key is not None}
    order = list(dict.fromkeys(key for row in keys for key in row if key is not None))
    images = iter_images(unit.log, order, model.tower, workers=workers)
    window = _Window()
    pending = list(zip(unit.clips, times, strict=True))
    for first in range(0, len(frames), GROUP_FRAMES):
        group = range(first, min(first + GROUP_FRAMES, len(frames)))
        wanted = dict.fromkeys(key for g in group for key in keys[g] if key is not None)
        new = [key for key in wanted if key not in window.features and key not in window.issues]
        _encode(model, unit.log, new, images, window)
        for g in group:
            window.frames[frames[g].time_us] = _see(model, frames[g], keys[g], cameras, window)
            for key in keys[g]:
                if key in window.features and last_use[key] == g:
                    window.features[key].patches = None
        done_us = frames[group[-1]].time_us
        while pending and min(pending[0][1][-1], all_times[-1]) <= done_us:
            yield _clip(model, *pending.pop(0), window, min_cameras=min_cameras, metric=metric)
        later = {key for key, last in last_use.items() if last > group[-1]}
        _forget(window, before_us=int(pending[0][1][0]) if pending else done_us + 1, later=later)
    for clip, at in pending:
        yield _clip(model, clip, at, window, min_cameras=min_cameras, metric=metric)


def _frame_times(clip: Clip, frames: int, period_us: int) -> ndarray:
    return clip.start_us + np.arange(frames, dtype=np.int64) * period_us


def _key(frame: Frame, camera: str) -> ImageKey | None:
    measurement = frame.measurements[camera]
    return (camera, measurement.index) if measurement.valid else None


def _encode(
    model: SceneModel, log: Log, keys: list[ImageKey], images: Iterator[tuple[ImageKey, Decoded]], window: _Window
) -> None:
    """Pull these images from the decoders and run them through the tower, shape by shape, in full batches."""
    decoded: dict[ImageKey, ndarray | None] = {}
    for key in keys:
        got, image = next(images)
        assert got == key, "images arrive in the order asked for"
        if isinstance(image, Issue):
            window.issues[key], decoded[key] = image, None
        else:
            window.shapes[key[0]], decoded[key] = image.shape[:2], image
    shapes: dict[tuple[int, int], list[tuple[ImageKey, ndarray | None]]] = {}
    for key, image in decoded.items():
        shape = _broken_shape(model, log, key, window) if image is None else image.shape[:2]
        if shape is not None:
            shapes.setdefault(shape, []).append((key, image))
    for (height, width), entries in sorted(shapes.items()):
        for first in range(0, len(entries), IMAGE_BATCH):
            part = entries[first : first + IMAGE_BATCH]
            batch = np.zeros((IMAGE_BATCH, height, width, 3), np.uint8)
            for row, (_, image) in enumerate(part):
                if image is not None:
                    batch[row] = image
            out = model.encode(torch.from_numpy(batch).permute(0, 3, 1, 2).contiguous())
            pooled = model.pool(out.patches)
            for row, (key, image) in enumerate(part):
                if image is not None:
                    window.features[key] = _Features(out.embeddings[row], pooled[row], out.patches[row], image)


def _broken_shape(model: SceneModel, log: Log, key: ImageKey, window: _Window) -> tuple[int, int] | None:
    """Where a broken image holds its place: the shape it was to have, by its calibration or its camera's other images.

    None where nothing of this camera has been seen.
    """
    camera, i = key
    calibration = log.series[camera].sensor(i).camera
    if calibration is None:
        return window.shapes.get(camera)
    return model.tower.input_size(calibration.width_px, calibration.height_px)


def _see(
    model: SceneModel, frame: Frame, keys: tuple[ImageKey | None, ...], cameras: tuple[str, ...], window: _Window
) -> _Seen:
    config = model.config
    there = [None if key is None else window.features.get(key) for key in keys]
    valid = torch.tensor([[f is not None for f in there]])
    blank = torch.zeros(1, 1, 1, model.tower.patch_dim)
    patches = [blank if f is None or f.patches is None else f.patches[None] for f in there]
    points = sample_points(frame, cameras, grid=config.grid, heights_m=config.heights_m)
    with torch.no_grad():
        bev = model.lift_frames(patches, valid, [points])[0]
    return _Seen(frame, keys, bev, token_rays(frame, cameras, token_grid=config.image_token_grid))


def forecasts(model: SceneModel, log: Log) -> bool:
    """Whether risk can be told of a log's clips: the model has a forecast head at its own spacing of frames, and the
    log a rig and ego poses (an assumed rig counts: it is there only on request)."""
    timed = model.config.frames_per_clip * model.config.frame_period_us == round(CLIP_S * 1e6)
    timed &= (model.config.frames_per_clip - 1) * model.config.frame_period_us == round(BEFORE_S * 1e6)
    return "forecast" in model.heads and timed and log.rig.source != "none" and log.has_poses


def _clip(
    model: SceneModel, clip: Clip, at_us: ndarray, window: _Window, *, min_cameras: int, metric: bool
) -> ClipSignals:
    seen = [window.frames.get(int(time)) for time in at_us]
    listed = tuple(dict.fromkeys(key for s in seen if s for key in s.keys if key is not None))
    masked = tuple((key, window.issues[key]) for key in listed if key in window.issues)
    usable = ClipSignals(clip, listed, masked, None, None, None, None, None)
    if usable.cameras < min_cameras:
        return usable
    stream = _stream(model, seen, window)
    with torch.no_grad():
        signals = model.signals(stream)
    return ClipSignals(
        clip,
        listed,
        masked,
        stream,
        _only(signals["embedding"]),
        _only(signals["tags"]),
        _camera(signals["forecast"]) if metric else None,
        _thumb(seen, window),
        {
            c: float(v)
            for h in added_heads(model.heads.values())
            for c, v in zip(h.columns, _only(signals[h.name]), strict=True)
        },
    )


def _only(signal: Signal) -> ndarray:
    """A signal of one tensor, of the only clip."""
    assert isinstance(signal, Tensor), "embedding, tags and added heads emit one tensor"
    return signal[0].numpy()


def _camera(signal: Signal) -> CameraRisk:
    assert isinstance(signal, Mapping), "the forecast head emits several tensors"
    return camera_risk({name: value[0].numpy() for name, value in signal.items()})


@torch.no_grad()
def _stream(model: SceneModel, seen: list[_Seen | None], window: _Window) -> Stream:
    config = model.config
    views = max(len(s.keys) for s in seen if s)
    t, (ty, tx) = len(seen), config.image_token_grid
    embeddings = torch.zeros(1, t, views, model.tower.embed_dim)
    patches = torch.zeros(1, t, views, ty, tx, model.tower.patch_dim)
    valid = torch.zeros(1, t, views, dtype=torch.bool)
    rays = torch.full((1, t, views, ty, tx, 3), torch.nan)
    bev = torch.zeros(1, t, config.bev_width + 1, *config.grid.shape)
    for i, s in enumerate(seen):
        if s is None:
            continue
        bev[0, i], rays[0, i] = s.bev, torch.from_numpy(s.rays)
        for v, key in enumerate(s.keys):
            features = None if key is None else window.features.get(key)
            if features is not None:
                embeddings[0, i, v], patches[0, i, v], valid[0, i, v] = features.embedding, features.pooled, True
    motion = torch.from_numpy(ego_motion([s.frame if s else None for s in seen]))[None]
    return model.make_stream(
        embeddings=embeddings, patches=patches, valid=valid, rays=rays, bev=bev, last_from_frame=motion
    )


def _thumb(seen: list[_Seen | None], window: _Window) -> ndarray | None:
    """The front camera in the middle of the clip, or what is nearest to that."""
    best = None
    for i, s in enumerate(seen):
        for key in s.keys if s else ():
            if key in window.features:
                rank = ("FRONT" not in key[0].upper(), len(key[0]), abs(i - len(seen) // 2))
                if best is None or rank < best[0]:
                    best = (rank, key)
    return None if best is None else window.features[best[1]].pixels


def _forget(window: _Window, *, before_us: int, later: set[ImageKey]) -> None:
    """Drop what neither a clip still to come nor a later frame (``later``: images it shares) will ask for."""
    window.frames = {time: s for time, s in window.frames.items() if time >= before_us}
    kept = {key for s in window.frames.values() for key in s.keys} | later
    window.features = {key: f for key, f in window.features.items() if key in kept}
    window.issues = {key: issue for key, issue in window.issues.items() if key in kept}
