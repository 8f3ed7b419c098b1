"""A mined unit as rows of the index's tables."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from sceneminer.data.clip import Clip
from sceneminer.index.quarantine import Quarantined
from sceneminer.index.schema import THUMBS_SCHEMA, clips_schema, tokens_schema
from sceneminer.labels.prompts import TAGS
from sceneminer.mine.stage import ClipSignals, mine_clips
from sceneminer.mine.tracks import track_signals
from sceneminer.mine.units import MiningPlan, Unit
from sceneminer.model.scene_model import SceneModel


@dataclass(frozen=True, eq=False)
class UnitRows:
    """Everything that one unit adds to an index."""

    unit: Unit
    tables: dict[str, pa.Table]
    """clips, tokens, frames, agents, thumbs"""
    quarantined: tuple[Quarantined, ...]
    images: int
    images_masked: int

    @property
    def clips(self) -> int:
        return self.tables["clips"].num_rows


def mine_unit(
    unit: Unit,
    model: SceneModel,
    plan: MiningPlan,
    *,
    stream_fingerprint: str,
    workers: int = 2,
    on_clip: Callable[[Clip], None] | None = None,
) -> UnitRows:
    """Mine one unit; the same rows whatever ran before it, on one machine type and numeric mode.

    ``on_clip`` is called for each clip as it is done, quarantined or not.
    """
    tracks = track_signals(unit)
    signals = (
        mine_clips(model, unit, min_cameras=plan.min_cameras, workers=workers)
        if unit.log.cameras()
        else (ClipSignals(clip, (), (), None, None, None, None) for clip in unit.clips)
    )
    clips: list[dict[str, Any]] = []
    tokens: list[dict[str, Any]] = []
    thumbs: list[dict[str, Any]] = []
    quarantined: dict[Quarantined, None] = {}
    images: set[tuple[str, int]] = set()
    gap: list[Clip] = []
    for found, known in zip(signals, tracks.clips, strict=True):
        if on_clip:
            on_clip(found.clip)
        images.update(found.listed)
        for line in _masked(unit, found):
            quarantined[line] = None
        reason = _unusable(unit, found, plan)
        if not found.listed and reason:
            gap.append(found.clip)
            continue
        for line in _gap(unit, gap):
            quarantined[line] = None
        gap = []
        if reason:
            line = Quarantined(unit.log.log_id, unit.unit_id, "clip", found.clip.clip_id, "too_few_cameras", reason)
            quarantined[line] = None
            continue
        ids = {"clip_id": found.clip.clip_id, "log_id": unit.log.log_id, "unit_id": unit.unit_id}
        clips.append({**_identity(unit, found.clip), **known, **_model_columns(found, stream_fingerprint)})
        if found.stream is not None:
            flat = found.stream.tokens[0].numpy().reshape(-1)
            mean = found.stream.embedding[0].numpy()
            tokens.append({**ids, "stream_fingerprint": stream_fingerprint, "tokens": flat, "mean_embedding": mean})
        if found.thumb is not None:
            thumbs.append({**ids, "jpeg": _jpeg(found.thumb)})
    for line in _gap(unit, gap):
        quarantined[line] = None
    dim = model.tower.embed_dim
    tables = {
        "clips": pa.Table.from_pylist(clips, schema=clips_schema(dim)),
        "tokens": pa.Table.from_pylist(tokens, schema=tokens_schema(dim)),
        "frames": tracks.frames,
        "agents": tracks.agents,
        "thumbs": pa.Table.from_pylist(thumbs, schema=THUMBS_SCHEMA),
    }
    masked = sum(line.what == "image" for line in quarantined)
    return UnitRows(unit, tables, tuple(quarantined), len(images), masked)


def _identity(unit: Unit, clip: Clip) -> dict[str, Any]:
    log = unit.log
    return {
        "clip_id": clip.clip_id,
        "log_id": log.log_id,
        "log_name": log.name,
        "dataset": log.dataset,
        "location": log.location,
        "split": log.split,
        "unit_id": unit.unit_id,
        "start_us": clip.start_us,
        "end_us": clip.end_us,
    }


def _model_columns(found: ClipSignals, stream_fingerprint: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "images": len(found.listed) - len(found.masked),
        "images_masked": len(found.masked),
        "cameras": found.cameras,
    }
    if found.stream is not None and found.embedding is not None and found.tags is not None:
        row["stream_fingerprint"] = stream_fingerprint
        row["embedding"] = found.embedding.astype(np.float32)
        row.update({f"tag_{tag}": float(p) for tag, p in zip(TAGS, found.tags, strict=True)})
    return row


def _masked(unit: Unit, found: ClipSignals) -> list[Quarantined]:
    log = unit.log
    return [
        Quarantined(log.log_id, unit.unit_id, "image", log.series[camera].files[i], issue.kind, issue.reason)
        for (camera, i), issue in found.masked
    ]


def _gap(unit: Unit, clips: list[Clip]) -> list[Quarantined]:
    """One line for neighbouring clips in which the log has nothing at all."""
    if not clips:
        return []
    start_s, end_s = ((t - unit.log.start_us) / 1e6 for t in (clips[0].start_us, clips[-1].end_us))
    reason = f"expected images or tracks from {start_s:.1f} to {end_s:.1f} s of the log, found neither"
    first = clips[0].clip_id
    return [Quarantined(unit.log.log_id, unit.unit_id, "clip", first, "nothing_recorded", reason, len(clips))]


def _unusable(unit: Unit, found: ClipSignals, plan: MiningPlan) -> str:
    """Why a clip is quarantined; empty where it is not. A clip that lists no image is no damage if it has tracks."""
    if found.stream is not None or (not found.listed and unit.log.has_tracks):
        return ""
    if not found.listed:
        return "expected images or tracks in this span, found neither"
    return f"expected at least {plan.min_cameras} usable cameras, found {found.cameras}"


def _jpeg(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=85)
    return out.getvalue()
