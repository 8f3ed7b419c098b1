"""Intervals as a dataset folder that FiftyOne imports: a group an interval, a slice a camera, at the riskiest instant.

Written without FiftyOne, in the layout of its ``FiftyOneDataset`` type: ``metadata.json`` (fields, info),
``samples.json`` (MongoDB extended JSON, a sample a line) and ``data/``. Source: FiftyOne's documentation of that type.
"""

import base64
import hashlib
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sceneminer.data.errors import MediaError
from sceneminer.data.frame import Measurement, frame_at
from sceneminer.export.cameras import REACH_M, TOLERANCE_US, box_lines
from sceneminer.export.fiftyone_fields import GROUP, dataset_document
from sceneminer.export.formats import ExportReport, Say
from sceneminer.export.images import EncodedImage, encoded_image
from sceneminer.export.interval import Interval, boxes_over, iter_intervals, sensor_names
from sceneminer.export.origin import clean, read_origin
from sceneminer.export.sources import write_sources
from sceneminer.export.whole import new_folder
from sceneminer.export.words import SHOWN_FROM, label_tag_names, risk_words
from sceneminer.index.search import Index
from sceneminer.index.selection import Selection

_LEAST_SHARE = 1e-5
"""Of an image that a box must cover to be written."""
_EPOCH = {"$date": "1970-01-01T00:00:00Z"}
"""FiftyOne puts the time of the import in its place."""


def export_fiftyone(index: Index, selection: Selection, out: Path, *, say: Say | None = None) -> ExportReport:
    """A new folder for ``fo.Dataset.from_dir(OUT, dataset_type=fo.types.FiftyOneDataset)``.

    Each sample has the interval's ids, score, risk and its parts, tags of at least 0.5, the clip's vector and, where
    the log has tracks, boxes in the image. Query, index version and licences are in the dataset's ``info``.
    """
    left_out: list[tuple[str, str]] = []
    origin = read_origin(index, selection)
    slices: dict[str, None] = {}
    items = files = 0
    with new_folder(out) as folder:
        (folder / "data").mkdir()
        with (folder / "samples.json").open("w", encoding="utf-8") as file:
            file.write('{"samples": [')
            for interval in iter_intervals(index, selection, origin, left_out):
                before = files
                shared = _shared_fields(index, interval)
                for camera, image, sample in _samples(interval, selection.content, left_out):
                    (folder / sample["filepath"]).write_bytes(image.data)
                    file.write((",\n" if files else "\n") + _json(sample | shared))
                    slices[camera] = None
                    files += 1
                items += files > before
                if files == before:
                    left_out.append((interval.name, "expected an image near the instant to show, found none"))
                if say:
                    say(f"{interval.rank + 1} of {len(selection.items)} items")
            file.write("\n]}\n")
        document = dataset_document(origin, tuple(slices))
        (folder / "metadata.json").write_text(_json(document, indent=1) + "\n", encoding="utf-8")
        files += 2 + write_sources(folder, origin, selection)
    return ExportReport(out, items, files, tuple(left_out))


def _samples(
    interval: Interval, selection: str, left_out: list[tuple[str, str]]
) -> Iterator[tuple[str, EncodedImage, dict[str, Any]]]:
    """(slice, image, sample) of each camera that has an image near the instant."""
    log = interval.log
    frame = frame_at(log, interval.instant_us, sensors=log.cameras(), tolerance_us=TOLERANCE_US)
    names = sensor_names(log)
    for camera in log.cameras():
        seen = frame.measurements[camera]
        what = f"{interval.name} {clean(camera)}"
        if not seen.valid:
            left_out.append((what, clean(seen.reason)))
            continue
        try:
            image = encoded_image(log, log.series[camera], seen.index)
        except MediaError as error:
            left_out.append((f"{interval.name} {clean(error.issue.subject)}", error.issue.reason))
            continue
        key = f"{selection} {interval.rank}"
        sample = {
            "_id": object_id(f"{key} {camera}"),
            "filepath": f"data/{interval.name}-{names[camera]}{image.suffix}",
            "tags": [],
            "metadata": {
                "_cls": "ImageMetadata",
                "size_bytes": len(image.data),
                "mime_type": f"image/{image.kind}",
                "width": image.width_px,
                "height": image.height_px,
            },
            "_media_type": "image",
            "_rand": int(object_id(f"rand {key} {camera}")["$oid"][:8], 16) / 16**8,
            "created_at": _EPOCH,
            "last_modified_at": _EPOCH,
            GROUP: {"_id": object_id(key), "_cls": "Group", "name": names[camera]},
            "time_us": seen.time_us,
            "agents": _detections(interval, seen, f"{key} {camera}"),
            **_tags(interval, f"{key} {camera}"),
        }
        yield names[camera], image, sample


def _detections(interval: Interval, seen: Measurement, key: str) -> dict[str, Any] | None:
    """Agents' boxes as seen by a camera, nearest first, also those that others hide; None where nobody can know."""
    if seen.sensor is None or seen.sensor.camera is None or seen.world_from_ego is None or not interval.log.has_tracks:
        return None
    at = np.array([seen.time_us])
    size_px = np.array([seen.sensor.camera.width_px, seen.sensor.camera.height_px])
    found = []
    for track in interval.tracks:
        poses, sizes, present = boxes_over(track, at)
        away_m = float(np.hypot(*(poses[0, :2, 3] - seen.world_from_ego[:2, 3])))
        lines = (
            box_lines(seen.sensor, seen.world_from_ego, poses[0], sizes[0]) if present[0] and away_m < REACH_M else ()
        )
        if not lines:
            continue
        points = np.clip((np.concatenate(lines) + 0.5) / size_px, 0.0, 1.0)
        low, extent = points.min(0), np.ptp(points, axis=0)
        if extent.prod() < _LEAST_SHARE:
            continue
        facts = {"track_id": clean(track.track_id), "away_m": away_m, "riskiest": track.track_id == interval.focus}
        box = [*low.tolist(), *extent.tolist()]
        found.append(_label("Detection", f"{key} {track.track_id}", track.category, bounding_box=box, **facts))
    found.sort(key=lambda label: label["away_m"])
    return {"_cls": "Detections", "detections": found}


def _shared_fields(index: Index, interval: Interval) -> dict[str, Any]:
    """What every camera's sample of an interval has."""
    item, card, of = interval.item, interval.card, interval.origin
    told: dict[str, Any] = {
        "rank": interval.rank,
        "clip_id": clean(item.clip_id),
        "log_id": clean(item.log_id),
        "log_name": clean(item.log_name),
        "start_us": item.start_us,
        "end_us": item.end_us,
        "score": None if item.score is None else float(item.score),
        "source": of.dataset,
        "location": of.location,
        "licence": of.licence,
    }
    if card is None:
        return told
    row = index.store.rows_by_id("clips", "clip_id", [card.clip_id], ["clip_id", "embedding", "ego_speed_mps"])[
        card.clip_id
    ]
    return told | {
        "why": clean(risk_words(card)),
        "risk": card.risk,
        "risk_source": card.risk_source,
        "risk_measure": card.why.measure,
        "risk_value": card.why.value,
        "ambiguity": card.ambiguity,
        "rarity": card.rarity,
        "hardness": card.hardness,
        "ego_speed_mps": row["ego_speed_mps"],
        "embedding": _vector(row["embedding"]),
    }


def _tags(interval: Interval, key: str) -> dict[str, Any]:
    card = interval.card
    if card is None:
        return {}
    sure = [(tag, p) for tag, p in card.tags.items() if p is not None and p >= SHOWN_FROM]
    rules = [(tag, None) for tag in label_tag_names(card)]
    return {"scene_tags": _classifications(sure, f"{key} tag"), "rule_tags": _classifications(rules, f"{key} rule")}


def _classifications(tags: Iterable[tuple[str, float | None]], key: str) -> dict[str, Any]:
    labels = [_label("Classification", f"{key} {tag}", tag, confidence=p) for tag, p in tags]
    return {"_cls": "Classifications", "classifications": labels}


def _label(kind: str, key: str, label: str, **facts: Any) -> dict[str, Any]:
    return {"_id": object_id(key), "_cls": kind, "tags": [], "label": label, **facts}


def _vector(values: list[float] | None) -> dict[str, Any] | None:
    """As FiftyOne keeps vectors: NumPy's file format, deflated, in base64."""
    if values is None:
        return None
    out = io.BytesIO()
    np.save(out, np.asarray(values, np.float32), allow_pickle=False)
    return {"$binary": {"base64": base64.b64encode(zlib.compress(out.getvalue())).decode(), "subType": "00"}}


def object_id(key: str) -> dict[str, str]:
    """A MongoDB id that is a function of what it names."""
    return {"$oid": hashlib.sha256(clean(key).encode()).hexdigest()[:24]}


def _json(value: dict[str, Any], *, indent: int | None = None) -> str:
    return json.dumps(clean(value), indent=indent, ensure_ascii=False, allow_nan=False)
