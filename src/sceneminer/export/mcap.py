"""Intervals as MCAP files in Foxglove's schemas: images, calibration, transforms, boxes, map, LiDAR and risk.

A folder with one file an interval: Foxglove opens a file as a recording, and drives in one file would share a clock.
Messages are protobuf, but for the risk, which is JSON with a schema of its own. Frames: ``world``, ``ego``, sensors.
"""

import json
from collections.abc import Iterable
from heapq import merge
from pathlib import Path
from typing import Any

from sceneminer import __version__
from sceneminer.data.errors import DataError
from sceneminer.export.formats import ExportReport, Say
from sceneminer.export.interval import Interval, about_lines, iter_intervals, sensor_names
from sceneminer.export.mcap_messages import (
    Stamped,
    iter_about,
    iter_agents,
    iter_map,
    iter_poses,
    iter_risk,
    iter_sensor,
)
from sceneminer.export.origin import Origin, clean, read_origin
from sceneminer.export.sources import write_sources
from sceneminer.export.whole import new_folder
from sceneminer.index.search import Index
from sceneminer.index.selection import Selection

CHUNK_BYTES = 4 * 2**20
LAST_US = (2**63 - 1) // 1000
RISK_SCHEMA: dict[str, Any] = {
    "title": "sceneminer.Risk",
    "type": "object",
    "properties": {
        "timestamp": {
            "type": "object",
            "title": "time",
            "properties": {"sec": {"type": "integer"}, "nsec": {"type": "integer"}},
        },
        "risk": {"type": "number", "description": "from the tracks, 0 to 1"},
        "agent": {"type": "string", "description": "track behind the risk"},
        "measure": {"type": "string"},
        "value": {"type": "number"},
        "ego_speed_mps": {"type": "number"},
    },
}


def export_mcap(index: Index, selection: Selection, out: Path, *, say: Say | None = None) -> ExportReport:
    """A new folder with an MCAP file an interval, and its sources. DataError without the extra ``mcap``.

    Images are the files' own bytes. Times are the log's own, in ns. Radar has no schema there and is named.
    """
    _require_mcap()
    left_out: list[tuple[str, str]] = []
    origin = read_origin(index, selection)
    items = 0
    with new_folder(out) as folder:
        for interval in iter_intervals(index, selection, origin, left_out):
            _write(folder / f"{interval.name}.mcap", interval, origin, left_out)
            items += 1
            if say:
                say(f"{interval.rank + 1} of {len(selection.items)} items")
        files = items + write_sources(folder, origin, selection)
    return ExportReport(out, items, files, tuple(left_out))


def _require_mcap() -> None:
    try:
        import mcap.writer
        import mcap_protobuf.schema
    except ImportError as error:
        raise DataError("expected mcap, found none: pip install 'sceneminer[mcap]'") from error
    assert mcap.writer and mcap_protobuf.schema


def _write(path: Path, interval: Interval, origin: Origin, left_out: list[tuple[str, str]]) -> None:
    from mcap.writer import CompressionType, Writer

    with path.open("wb") as file:
        writer = Writer(file, chunk_size=CHUNK_BYTES, compression=CompressionType.ZSTD)
        writer.start(library=f"sceneminer {__version__}")
        writer.add_metadata("sceneminer", _metadata(interval, origin))
        channels: dict[str, int] = {}
        schemas: dict[str, int] = {}
        off_clock = 0
        for stamped in _messages(interval, origin, left_out):
            if not 0 <= stamped.time_us <= LAST_US:
                off_clock += 1
                continue
            if stamped.topic not in channels:
                channels[stamped.topic] = _channel(writer, stamped, schemas)
            told = stamped.message
            data = json.dumps(told).encode() if isinstance(told, dict) else told.SerializeToString()
            time_ns = stamped.time_us * 1000
            writer.add_message(channels[stamped.topic], log_time=time_ns, publish_time=time_ns, data=data)
        writer.finish()
    if off_clock:
        left_out.append((interval.name, f"{off_clock} messages: MCAP has no times before 1970"))


def _messages(interval: Interval, origin: Origin, left_out: list[tuple[str, str]]) -> Iterable[Stamped]:
    streams = [iter_about(interval, about_lines(interval, origin)), iter_map(interval), iter_poses(interval)]
    for name, topic in sensor_names(interval.log).items():
        if interval.log.series[name].modality == "radar":
            left_out.append((f"{interval.name} {clean(name)}", "radar: logs do not read it yet"))
            continue
        streams.append(iter_sensor(interval, name, topic, left_out))
    return merge(*streams, iter_agents(interval), iter_risk(interval), key=lambda stamped: stamped.time_us)


def _channel(writer: Any, stamped: Stamped, schemas: dict[str, int]) -> int:
    """A new channel for a message's topic; a schema is written once."""
    from mcap_protobuf.schema import build_file_descriptor_set

    if isinstance(stamped.message, dict):
        name, kind, described = RISK_SCHEMA["title"], "jsonschema", json.dumps(RISK_SCHEMA).encode()
    else:
        message = type(stamped.message)
        name, kind = message.DESCRIPTOR.full_name, "protobuf"
        described = build_file_descriptor_set(message).SerializeToString()
    if name not in schemas:
        schemas[name] = writer.register_schema(name, kind, described)
    return writer.register_channel(stamped.topic, kind.removesuffix("schema"), schemas[name])


def _metadata(interval: Interval, origin: Origin) -> dict[str, str]:
    item, of = interval.item, interval.origin
    facts = {
        "sceneminer": __version__,
        "selection": origin.selection,
        "index_version": origin.index_version,
        "rank": str(interval.rank),
        "clip_id": item.clip_id,
        "log_id": item.log_id,
        "log_name": item.log_name,
        "start_us": str(item.start_us),
        "end_us": str(item.end_us),
        "score": "" if item.score is None else repr(item.score),
        "parts": json.dumps(dict(item.parts), sort_keys=True),
        "query": json.dumps(dict(origin.query), sort_keys=True),
        "dataset": of.dataset or "",
        "split": of.split or "",
        "location": of.location or "",
        "description": of.description or "",
        "licence": of.licence or "",
    }
    return {name: clean(text) for name, text in facts.items()}
