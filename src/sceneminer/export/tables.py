"""A Selection as one table, a row an item: Parquet with vectors, or CSV for a spreadsheet."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sceneminer import __version__
from sceneminer.export.formats import ExportReport, Say
from sceneminer.export.interval import FRAME_COLUMNS, read_frames
from sceneminer.export.origin import Origin, clean, items_in_batches, read_origin
from sceneminer.export.whole import new_file
from sceneminer.index.schema import FRAMES_SCHEMA
from sceneminer.index.search import Index
from sceneminer.index.selection import Selected, Selection

_ITEM = (
    ("rank", pa.int64()),
    ("clip_id", pa.string()),
    ("log_id", pa.string()),
    ("log_name", pa.string()),
    ("start_us", pa.int64()),
    ("end_us", pa.int64()),
    ("score", pa.float64()),
)
_ORIGIN = ("dataset", "split", "location", "description", "licence")
_STAMP = ("selection", "index_version", "sceneminer")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""How a cell begins that spreadsheets take for a formula."""


def export_parquet(
    index: Index, selection: Selection, out: Path, *, frames: bool = False, say: Say | None = None
) -> ExportReport:
    """One Parquet file: each item with its parts, all columns of its best clip, its vector and whose its log is.

    ``frames`` adds a column of lists: ego and risk ten times a second over each interval. The file's own metadata
    holds query, rule and licences as JSON under ``sceneminer``. IndexFault where ``out`` is there already.
    """
    origin = read_origin(index, selection)
    layout = _layout(index, selection, vectors=True)
    fields = [pa.field(name, kind) for name, kind in layout.columns]
    if frames:
        fields.append(pa.field("frames", pa.list_(pa.struct([FRAMES_SCHEMA.field(name) for name in FRAME_COLUMNS]))))
    schema = pa.schema(fields, metadata={"sceneminer": json.dumps(origin.as_json(), ensure_ascii=False)})
    left_out: list[tuple[str, str]] = []
    with new_file(out) as part, pq.ParquetWriter(part, schema, compression="zstd") as writer:
        for rows in _rows(index, selection, layout, origin, left_out):
            if frames:
                for row in rows:
                    row["frames"] = read_frames(index, selection.items[row["rank"]]).to_pylist()
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            _tell(say, rows, selection)
    return ExportReport(out, len(selection.items), 1, tuple(left_out))


def export_csv(index: Index, selection: Selection, out: Path, *, say: Say | None = None) -> ExportReport:
    """The same as CSV without vectors (RFC 4180, UTF-8, a header; null is an empty cell).

    A text that a spreadsheet would take for a formula gets a single quote in front. IndexFault where ``out`` is there.
    """
    origin = read_origin(index, selection)
    layout = _layout(index, selection, vectors=False)
    left_out: list[tuple[str, str]] = []
    with new_file(out) as part, part.open("w", encoding="utf-8", newline="") as file:
        _write_csv(file, layout, _rows(index, selection, layout, origin, left_out), say, selection)
    return ExportReport(out, len(selection.items), 1, tuple(left_out))


@dataclass(frozen=True)
class _Layout:
    """Columns of the table, and where those of the clip and of the score's parts come from."""

    columns: tuple[tuple[str, pa.DataType], ...]
    parts: dict[str, str]
    """Part of a score: its column."""
    clip: dict[str, str]
    """Column of ``clips``: its column here."""


def _layout(index: Index, selection: Selection, *, vectors: bool) -> _Layout:
    parts = {name: (f"part_{clean(name)}", kind) for name, kind in _part_types(selection.items).items()}
    own = {"clip_id", "log_id", "log_name", *_ORIGIN}
    kinds = {name: kind for name, kind in index.store.columns("clips").items() if name not in own}
    kinds = {name: kind for name, kind in kinds.items() if vectors or not pa.types.is_fixed_size_list(kind)}
    columns = [*_ITEM, *parts.values(), *((name, pa.string()) for name in _ORIGIN)]
    taken = {name for name, _ in columns} | set(_STAMP) | {"frames"}
    clip = {name: f"clip_{name}" if name in taken else name for name in kinds}
    columns += [(clip[name], kind) for name, kind in kinds.items()]
    columns += [(name, pa.string()) for name in _STAMP]
    return _Layout(tuple(columns), {name: column for name, (column, _) in parts.items()}, clip)


def _part_types(items: Sequence[Selected]) -> dict[str, pa.DataType]:
    """Numbers are float64, flags bool, all else, and what is mixed, text."""
    found: dict[str, set[type]] = {}
    for item in items:
        for name, value in item.parts.items():
            found.setdefault(name, set()).update(() if value is None else (type(value),))
    return {name: _part_type(kinds) for name, kinds in sorted(found.items())}


def _part_type(kinds: set[type]) -> pa.DataType:
    if kinds and kinds <= {int, float}:
        return pa.float64()
    return pa.bool_() if kinds == {bool} else pa.string()


def _rows(
    index: Index, selection: Selection, layout: _Layout, origin: Origin, left_out: list[tuple[str, str]]
) -> Iterator[list[dict[str, Any]]]:
    kinds = dict(layout.columns)
    stamp = dict(zip(_STAMP, (origin.selection, origin.index_version, __version__), strict=True))
    for first, items in items_in_batches(selection):
        ids = [clean(item.clip_id) for item in items]
        clips = index.store.rows_by_id("clips", "clip_id", ids, ["clip_id", *layout.clip])
        rows = []
        for k, item in enumerate(items):
            row = {name: clean(getattr(item, name)) for name, _ in _ITEM if name != "rank"} | stamp
            row["score"] = None if item.score is None else float(item.score)
            for name, column in layout.parts.items():
                row[column] = _typed(item.parts.get(name), kinds[column])
            log = origin.logs[row["log_id"]]
            row |= {"rank": first + k, **{name: getattr(log, name) for name in _ORIGIN}}
            clip = clips.get(row["clip_id"])
            if clip is None:
                left_out.append(
                    (row["clip_id"], "expected the clip in this index, found it gone: its columns are null")
                )
            else:
                row |= {column: clip[name] for name, column in layout.clip.items()}
            rows.append(row)
        yield rows


def _typed(value: Any, kind: pa.DataType) -> Any:
    if value is None:
        return None
    if pa.types.is_float64(kind):
        return float(value)
    return value if pa.types.is_boolean(kind) else clean(str(value))


def _write_csv(
    file: TextIO,
    layout: _Layout,
    batches: Iterator[list[dict[str, Any]]],
    say: Say | None,
    selection: Selection,
) -> None:
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow([name for name, _ in layout.columns])
    for rows in batches:
        writer.writerows([[_cell(row.get(name), kind) for name, kind in layout.columns] for row in rows])
        _tell(say, rows, selection)


def _cell(value: Any, kind: pa.DataType) -> str:
    if value is None:
        return ""
    if pa.types.is_boolean(kind):
        return "true" if value else "false"
    if pa.types.is_float32(kind):
        return str(np.float32(value))  # not the digits of its float64
    text = str(value)
    return f"'{text}" if pa.types.is_string(kind) and text.startswith(_FORMULA) else text


def _tell(say: Say | None, rows: list[dict[str, Any]], selection: Selection) -> None:
    if say and rows:
        say(f"{rows[-1]['rank'] + 1} of {len(selection.items)} items")
