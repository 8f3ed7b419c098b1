"""A Selection as ASAM OpenLABEL 1.0 files, one an interval, as annotation tools take one file a scene.

Source: ASAM OpenLABEL 1.0.0 and its JSON schema (https://openlabel.asam.net/V1-0-0/schema). Frames are the keyframes
and the times of boxes; timestamps are µs on the recording's clock.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from sceneminer import __version__
from sceneminer.export.formats import ExportReport, Say
from sceneminer.export.interval import Interval, iter_intervals
from sceneminer.export.openlabel_scene import WORLD, coordinate_systems, frame_properties, streams_of
from sceneminer.export.openlabel_signals import risk_action, risk_events, tag_elements
from sceneminer.export.openlabel_words import frame_intervals, number, text
from sceneminer.export.origin import Origin, clean, read_origin
from sceneminer.export.sources import write_sources
from sceneminer.export.whole import new_folder
from sceneminer.geometry.pose import rotation_to_quat
from sceneminer.index.search import Index
from sceneminer.index.selection import Selection
from sceneminer.labels.prompts import TAGS

SCHEMA_VERSION = "1.0.0"
BOX = "box"
OBJECTS, SCENE_TAGS, MEASURES = "0", "1", "2"
"""Uids of our ontologies."""


def export_openlabel(index: Index, selection: Selection, out: Path, *, say: Say | None = None) -> ExportReport:
    """A new folder ``out``: a file an interval, ``index.json`` with what each is, and whose the recordings are.

    IndexFault where ``out`` is there already. An interval without a keyframe or box is left out by name.
    """
    origin = read_origin(index, selection)
    left_out: list[tuple[str, str]] = []
    listed: list[dict[str, Any]] = []
    with new_folder(out) as folder:
        for interval in iter_intervals(index, selection, origin, left_out):
            times_us = frame_times_us(interval)
            if len(times_us) == 0:
                left_out.append((interval.name, "expected keyframes or boxes in this interval, found neither"))
                continue
            document = {"openlabel": scene_document(index, interval, origin, times_us)}
            _write(folder / f"{interval.name}.json", document)
            listed.append(_listed(interval, len(times_us)))
            if say is not None:
                say(f"{interval.rank + 1} of {len(selection.items)} intervals")
        _write(folder / "index.json", {"files": listed, **origin.as_json()})
        files = len(listed) + 1 + write_sources(folder, origin, selection)
    return ExportReport(out, len(listed), files, tuple(left_out))


def frame_times_us(interval: Interval) -> Int[ndarray, "t"]:
    """Times of an interval's OpenLABEL frames: its keyframes and the times at which agents are annotated."""
    return np.unique(np.concatenate([interval.log.reference_times_us, interval.box_times_us()]))


def scene_document(index: Index, interval: Interval, origin: Origin, times_us: Int[ndarray, "t"]) -> dict[str, Any]:
    """What stands under ``openlabel`` in an interval's file."""
    frames: dict[str, dict[str, Any]] = {
        str(k): {"frame_properties": properties} for k, properties in enumerate(frame_properties(interval, times_us))
    }
    objects, uids = _objects(interval, times_us, frames)
    actions = risk_action(interval, times_us, frames, ontology=MEASURES)
    events, relations = risk_events(index, interval, times_us, uids, ontology=MEASURES)
    tags, contexts = tag_elements(index, interval, times_us, ontology=SCENE_TAGS)
    parts: dict[str, Mapping[str, Any]] = {
        "objects": objects,
        "actions": actions,
        "events": events,
        "relations": relations,
        "contexts": contexts,
        "tags": tags,
    }
    return {
        "metadata": _metadata(interval, origin),
        "ontologies": _ontologies(),
        "coordinate_systems": coordinate_systems(interval),
        "streams": streams_of(interval),
        **{name: part for name, part in parts.items() if part},
        "frame_intervals": [{"frame_start": 0, "frame_end": len(times_us) - 1}],
        "frames": frames,
    }


def _metadata(interval: Interval, origin: Origin) -> dict[str, Any]:
    """The standard's own fields, and ours behind them: whose the log is, and why this interval was chosen."""
    of, item = interval.origin, interval.item
    licence = of.licence or "not stated"
    return {
        "schema_version": SCHEMA_VERSION,
        "file_version": "1.0.0",
        "name": interval.name,
        "annotator": f"sceneminer {__version__}",
        "tagged_file": clean(of.name),
        "comment": clean(f"{of.description or 'no description'} Data set {of.dataset}; licence: {licence}."),
        "log_id": of.log_id,
        "dataset": of.dataset,
        "licence": of.licence,
        "start_us": item.start_us,
        "end_us": item.end_us,
        "timestamp_unit": "us",
        "score": item.score,
        "parts": clean(dict(item.parts)),
        "selection": origin.selection,
        "index_version": origin.index_version,
        "query": clean(dict(origin.query)),
    }


def _ontologies() -> dict[str, Any]:
    """Whose words types are; an address names the words, nothing is fetched from it."""
    base = f"urn:sceneminer:{__version__}"
    return {
        OBJECTS: {"uri": f"{base}:categories"},
        SCENE_TAGS: {"uri": f"{base}:tags", "boundary_list": list(TAGS), "boundary_mode": "include"},
        MEASURES: {"uri": f"{base}:measures"},
    }


def _objects(
    interval: Interval, times_us: Int[ndarray, "t"], frames: dict[str, dict[str, Any]]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Objects with their boxes put into frames, and their uids by track id. Boxes are as annotated, none made up."""
    objects: dict[str, Any] = {}
    uids: dict[str, str] = {}
    for k, track in enumerate(interval.tracks):
        uid = uids[track.track_id] = str(k)
        at = np.flatnonzero(np.isin(track.times_us, times_us))
        rows = np.searchsorted(times_us, track.times_us[at])
        for i, row in zip(at.tolist(), rows.tolist(), strict=True):
            pose, size = track.world_from_box[i], track.size_lwh_m[i]
            w, x, y, z = rotation_to_quat(pose[:3, :3]).tolist()
            value = [*pose[:3, 3].tolist(), x, y, z, w, *size.tolist()]
            data: dict[str, Any] = {"cuboid": [{"name": BOX, "coordinate_system": WORLD, "val": value}]}
            if track.attributes and track.attributes[i]:
                names = sorted(clean(name) for name in track.attributes[i])
                data["vec"] = [{"name": "attributes", "type": "values", "val": names}]
            if track.lidar_points is not None and track.lidar_points[i] >= 0:
                data["num"] = [number("lidar_points", int(track.lidar_points[i]))]
            frames[str(row)].setdefault("objects", {})[uid] = {"object_data": data}
        spans = frame_intervals(rows)
        objects[uid] = {
            "name": clean(track.track_id),
            "type": track.category,
            "ontology_uid": OBJECTS,
            "coordinate_system": WORLD,
            "frame_intervals": spans,
            "object_data": {"text": [text("source_category", track.source_category)]},
            "object_data_pointers": {BOX: {"type": "cuboid", "frame_intervals": spans}},
        }
    return objects, uids


def _listed(interval: Interval, frames: int) -> dict[str, Any]:
    item = interval.item
    return {
        "file": f"{interval.name}.json",
        "log_id": interval.origin.log_id,
        "clip_id": clean(item.clip_id),
        "start_us": item.start_us,
        "end_us": item.end_us,
        "score": item.score,
        "frames": frames,
    }


def _write(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
