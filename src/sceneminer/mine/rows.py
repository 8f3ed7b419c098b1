"""A mined unit as rows of the index's tables."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from sceneminer.data.clip import Clip
from sceneminer.data.errors import DataError, Issue, MediaError
from sceneminer.index.quarantine import Quarantined, What
from sceneminer.index.schema import AGENTS_SCHEMA, FRAMES_SCHEMA, THUMBS_SCHEMA, clips_schema, tokens_schema
from sceneminer.labels.prompts import TAGS
from sceneminer.mine.stage import ClipSignals, mine_clips
from sceneminer.mine.tracks import track_signals
from sceneminer.mine.units import MiningPlan, Unit
from sceneminer.model.added import added_heads
from sceneminer.model.forecast_risk import CameraRisk
from sceneminer.model.scene_model import SceneModel


@dataclass(frozen=True, eq=False)
class UnitRows:
    """Everything that one unit adds to an index."""

    unit: Unit
    tables: dict[str, pa.Table]
    """clips, tokens, frames, agents, thumbs"""
    quarantined: tuple[Quarantined, ...]
    images: int

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

    ``on_clip`` is called for each clip as it is done, quarantined or not. A unit whose tables turn out to be unusable
    gives no rows, and says why.
    """
    added = [column for head in added_heads(model.heads.values()) for column in head.columns]
    rows = _Rows(unit, plan, stream_fingerprint, added)
    try:
        tracks = track_signals(unit)
    except DataError as error:
        issue = error.issue if isinstance(error, MediaError) else Issue("bad_table", unit.log.name, str(error))
        rows.say("log", unit.log.name, issue.kind, f"{issue.subject}: {issue.reason}")
        empty = {"frames": FRAMES_SCHEMA.empty_table(), "agents": AGENTS_SCHEMA.empty_table()}
        return rows.done(model.tower.embed_dim, **empty)
    if tracks.unusable_map is not None:
        issue = tracks.unusable_map
        rows.say("map", issue.subject, issue.kind, issue.reason)
    signals = (
        mine_clips(model, unit, min_cameras=plan.min_cameras, workers=workers)
        if unit.log.cameras()
        else (ClipSignals(clip, (), (), None, None, None, None, None) for clip in unit.clips)
    )
    for found, known in zip(signals, tracks.clips, strict=True):
        if on_clip:
            on_clip(found.clip)
        rows.add(found, known)
    return rows.done(model.tower.embed_dim, frames=tracks.frames, agents=tracks.agents)


class _Rows:
    """Rows of a unit as its clips come, and what is left out of them."""

    def __init__(self, unit: Unit, plan: MiningPlan, stream_fingerprint: str, added: list[str]):
        self.unit, self.plan, self.fingerprint, self.added = unit, plan, stream_fingerprint, added
        self.clips: list[dict[str, Any]] = []
        self.tokens: list[dict[str, Any]] = []
        self.thumbs: list[dict[str, Any]] = []
        self.quarantined: dict[Quarantined, None] = {}
        self.images: set[tuple[str, int]] = set()
        self.gap: list[Clip] = []
        """Clips since the last one in which anything was recorded."""

    def say(self, what: What, subject: str, kind: str, reason: str, count: int = 1) -> None:
        line = Quarantined(self.unit.log.log_id, self.unit.unit_id, what, subject, kind, reason, count)
        self.quarantined[line] = None

    def add(self, found: ClipSignals, known: dict[str, Any]) -> None:
        """A clip's rows, or why it has none. ``known``: its columns that need no image."""
        log = self.unit.log
        self.images.update(found.listed)
        for (camera, i), issue in found.masked:
            self.say("image", log.series[camera].files[i], issue.kind, issue.reason)
        reason = _unusable(self.unit, found, self.plan)
        if not found.listed and reason:
            self.gap.append(found.clip)
            return
        self.close_gap()
        if reason:
            self.say("clip", found.clip.clip_id, "too_few_cameras", reason)
            return
        self.clips.append({**_identity(self.unit, found.clip), **known, **_model_columns(found, self.fingerprint)})
        ids = {"clip_id": found.clip.clip_id, "log_id": log.log_id, "unit_id": self.unit.unit_id}
        if found.stream is not None:
            stream = {
                "stream_fingerprint": self.fingerprint,
                "tokens": found.stream.tokens[0].numpy().reshape(-1),
                "mean_embedding": found.stream.embedding[0].numpy(),
            }
            self.tokens.append(ids | stream)
        if found.thumb is not None:
            self.thumbs.append(ids | {"jpeg": _jpeg(found.thumb)})

    def close_gap(self) -> None:
        """One line for neighbouring clips in which the log has nothing at all."""
        if not self.gap:
            return
        first, last = self.gap[0], self.gap[-1]
        start_s, end_s = ((t - self.unit.log.start_us) / 1e6 for t in (first.start_us, last.end_us))
        reason = f"expected images or tracks from {start_s:.1f} to {end_s:.1f} s of the log, found neither"
        self.say("clip", first.clip_id, "nothing_recorded", reason, len(self.gap))
        self.gap = []

    def done(self, embed_dim: int, *, frames: pa.Table, agents: pa.Table) -> UnitRows:
        self.close_gap()
        tables = {
            "clips": pa.Table.from_pylist(self.clips, schema=clips_schema(embed_dim, added=self.added)),
            "tokens": pa.Table.from_pylist(self.tokens, schema=tokens_schema(embed_dim)),
            "frames": frames,
            "agents": agents,
            "thumbs": pa.Table.from_pylist(self.thumbs, schema=THUMBS_SCHEMA),
        }
        return UnitRows(self.unit, tables, tuple(self.quarantined), len(self.images))


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
        "local_hour": None if log.utc_offset_s is None else (clip.start_us / 1e6 + log.utc_offset_s) / 3600 % 24,
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
        row.update(found.added)
    if found.camera is not None:
        row.update(camera_columns(found.camera, found.clip.start_us))
    return row


def camera_columns(camera: CameraRisk, start_us: int) -> dict[str, Any]:
    """Columns of ``clips`` that physics on a forecast fills, for a clip that begins at ``start_us``."""
    return {
        "risk_camera": camera.risk,
        "risk_camera_agent": None if camera.agent is None else f"forecast {camera.agent}",
        "risk_camera_category": camera.kind,
        "risk_camera_time_us": None if camera.after_s is None else start_us + round(camera.after_s * 1e6),
        "risk_camera_measure": camera.measure,
        "risk_camera_value": camera.value,
        "risk_camera_x_m": camera.x_m,
        "risk_camera_y_m": camera.y_m,
        "ambiguity": camera.ambiguity_m,
    }


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
