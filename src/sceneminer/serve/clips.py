"""One clip as the page shows it: what the index knows, its log's timeline, and where its images are."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.errors import DataError
from sceneminer.data.log import Log
from sceneminer.export.words import measure_words
from sceneminer.index.errors import IndexFault, QueryError
from sceneminer.index.hardness import WEIGHTS, percentile
from sceneminer.index.head_files import read_entries
from sceneminer.index.hits import EXPLANATION, Hit, risk_source
from sceneminer.index.search import Index
from sceneminer.index.selection import Selected
from sceneminer.index.where import quote
from sceneminer.labels.prompts import TAGS

AROUND_US = 30_000_000
"""Of a log's timeline, before and after a clip."""


class UnknownClipError(QueryError):
    """No clip of that id is in the index."""


def hit_json(hit: Hit) -> dict[str, Any]:
    """A Hit as the API gives it; its clip is the best one."""
    told = asdict(hit)
    told["clip_id"] = told.pop("best_clip_id")
    # A clip's id ends in the milliseconds since its log began.
    told["log_start_us"] = hit.start_us - 1000 * int(hit.clip_ids[0].rsplit("+", 1)[1])
    return plain(told)


def plain(value: Any) -> Any:
    """JSON values: what is not a number is null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def rows_of(index: Index, clip_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Rows of clips, all columns but vectors; UnknownClipError names one that is not there."""
    columns = [name for name in index.store.columns("clips") if name != "embedding"]
    found = index.store.rows_by_id("clips", "clip_id", clip_ids, columns)
    missing = [clip for clip in clip_ids if clip not in found]
    if missing:
        raise UnknownClipError(f"expected the id of a clip in this index, found {missing[0]!r}")
    return found


def item_of(row: dict[str, Any]) -> Selected:
    """A clip as an item of a Selection picked by hand."""
    source = risk_source(row)
    parts = {name: row[name] for name in ("hardness", "ambiguity", "rarity")}
    parts |= {"risk": None if source is None else row[f"risk_{source}"], "risk_source": source}
    parts |= {f"risk_{part}": None if source is None else row[f"risk_{source}_{part}"] for part in EXPLANATION}
    ids = (row["clip_id"], row["log_id"], row["log_name"], row["start_us"], row["end_us"])
    return Selected(*ids, row["hardness"], plain(parts))


def clip_json(index: Index, row: dict[str, Any], log_row: dict[str, Any], log: Log | str) -> dict[str, Any]:
    """Everything that is known of a clip. ``log``: opened again, or why it cannot be."""
    source = risk_source(row)
    heads = {c: row[c] for entry in read_entries(index.store).values() for c in entry.columns if c in row}
    told = {
        **{name: row[name] for name in ("clip_id", "log_id", "log_name", "dataset", "location", "start_us", "end_us")},
        "licence": log_row["licence"],
        "description": log_row["description"] or "",
        "log_start_us": log_row["start_us"],
        "log_end_us": log_row["end_us"],
        "cameras": [] if isinstance(log, str) else cameras_json(log, row),
        "tags": {tag: row[f"tag_{tag}"] for tag in TAGS},
        "label_tags": {tag: row[f"label_tag_{tag}"] for tag in TAGS},
        "heads": heads,
        "risk": None if source is None else _risk(row, source) | {"source": source},
        "risk_tracks": row["risk_tracks"],
        "risk_camera": _camera(row),
        "ego_speed_mps": row["ego_speed_mps"],
        "local_hour": row["local_hour"],
        "hardness": row["hardness"],
        "parts": _parts(index, row),
        "weights": WEIGHTS,
        "timeline": timeline_json(index, row, log_row),
        "missing": log if isinstance(log, str) else None,
    }
    told["neighbours"] = [clip["clip_id"] for clip in told["timeline"]["clips"] if clip["clip_id"] != row["clip_id"]]
    return plain(told)


def cameras_json(log: Log, row: dict[str, Any]) -> list[dict[str, Any]]:
    """Times of each camera's measurements within a clip; their order numbers them."""
    return [
        {
            "name": name,
            "times_us": log.series[name].between(row["start_us"], row["end_us"] + 1).times_us.tolist(),
            "calibrated": log.rig.sensors[name].camera is not None if name in log.rig.sensors else False,
        }
        for name in log.cameras()
    ]


def timeline_json(index: Index, row: dict[str, Any], log_row: dict[str, Any]) -> dict[str, Any]:
    """Risk ten times a second, and each clip's tags and risks, around a clip."""
    start, end = row["start_us"] - AROUND_US, row["end_us"] + AROUND_US
    start, end = max(start, log_row["start_us"]), min(end, log_row["end_us"])
    own = f"log_id = {quote(row['log_id'])}"
    span = f"{own} AND time_us >= {start} AND time_us <= {end}"
    frames = index.store.read("frames", columns=["time_us", "risk_tracks", "speed_mps"], where=span).sort_by("time_us")
    columns = ["clip_id", "start_us", "end_us", "risk_camera", "risk_tracks", *(f"tag_{tag}" for tag in TAGS)]
    near = f"{own} AND start_us >= {start} AND end_us <= {end}"
    clips = index.store.read("clips", columns=columns, where=near).sort_by("start_us").to_pylist()
    return {
        "start_us": start,
        "end_us": end,
        "risk": {
            "times_us": frames["time_us"].to_pylist(),
            "tracks": frames["risk_tracks"].to_pylist(),
            "speed_mps": frames["speed_mps"].to_pylist(),
        },
        "clips": [
            {name: clip[name] for name in ("clip_id", "start_us", "end_us", "risk_camera", "risk_tracks")}
            | {"tags": {tag: clip[f"tag_{tag}"] for tag in TAGS}}
            for clip in clips
        ],
    }


def open_again(index: Index, log_id: str) -> Log | str:
    """The log, or why it cannot be opened."""
    from sceneminer.export.reopen import open_indexed_log

    try:
        return open_indexed_log(index, log_id)
    except (IndexFault, DataError) as error:
        return str(error)


def _risk(row: dict[str, Any], source: str) -> dict[str, Any]:
    measure = row[f"risk_{source}_measure"]
    value = row[f"risk_{source}_value"]
    return {
        "value": row[f"risk_{source}"],
        **{part: row[f"risk_{source}_{part}"] for part in ("agent", "category", "time_us", "measure")},
        "measure_value": value,
        "words": None if measure is None else measure_words(measure, value),
    }


def _camera(row: dict[str, Any]) -> dict[str, Any] | None:
    if row["risk_camera"] is None:
        return None
    return _risk(row, "camera") | {"x_m": row["risk_camera_x_m"], "y_m": row["risk_camera_y_m"]}


def _parts(index: Index, row: dict[str, Any]) -> dict[str, float | None]:
    """Percentiles behind hardness; None where the part is null or was never calibrated."""
    told = index.manifest.get("hardness", {}).get("calibration", {})
    source = risk_source(row)
    values = {"risk": None if source is None else row[f"risk_{source}"]}
    values |= {name: row[name] for name in ("ambiguity", "rarity")}
    return {name: _percentile(value, np.array(told.get(name, []), float)) for name, value in values.items()}


def _percentile(value: float | None, knots: Float[ndarray, "k"]) -> float | None:
    if value is None or not len(knots):
        return None
    return float(percentile(np.array([value]), knots)[0])
