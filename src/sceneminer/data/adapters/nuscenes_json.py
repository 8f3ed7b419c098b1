"""A nuScenes JSON table, read row by row into Arrow columns of known types.

A table may be larger than memory as Python objects (sample_data of v1.0-trainval: 1.3 GB), and it may be anything at
all: rows are decoded a few megabytes at a time, each value is checked, and what does not fit is counted by reason.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

CHUNK_CHARS = 4 * 2**20
MAX_ROW_CHARS = 16 * 2**20
BATCH_ROWS = 20_000
_BLANK = " \t\r\n"

_INT_RANGE = 2**63


@dataclass(frozen=True)
class Column:
    """One column of a table: its Arrow type, and whether a row without it is of use."""

    type: pa.DataType
    required: bool = False


@dataclass
class Defects:
    """What was wrong with one table, counted by reason while it is read."""

    rows: Counter[str] = field(default_factory=Counter)
    """Reason → rows that were dropped for it."""
    values: Counter[str] = field(default_factory=Counter)
    """Reason → values that were left out of rows that stay."""
    table: str = ""
    """Why reading stopped before the end of the file; empty: it did not."""


def read_table(path: Path, columns: Mapping[str, Column]) -> tuple[pa.Table, Defects]:
    """A table file's usable rows, and its defects; every named column is there, null where a row has no such value."""
    defects = Defects()
    schema = pa.schema([pa.field(name, column.type) for name, column in columns.items()])
    batches: list[pa.RecordBatch] = []
    rows: list[dict[str, Any]] = []
    for row in _iter_rows(path, defects):
        if not isinstance(row, dict):
            defects.rows[f"expected an object, found {type(row).__name__}"] += 1
            continue
        rows.append(row)
        if len(rows) == BATCH_ROWS:
            batches.append(_batch(rows, columns, schema, defects))
            rows = []
    if rows:
        batches.append(_batch(rows, columns, schema, defects))
    return pa.Table.from_batches(batches, schema=schema), defects


def _iter_rows(path: Path, defects: Defects) -> Iterator[Any]:
    """The elements of a top-level JSON list, decoded as the file is read; stops at the first syntax error."""
    decode = json.JSONDecoder().raw_decode
    text, at, opened, last = "", 0, False, False
    try:
        with path.open(encoding="utf-8-sig") as file:
            while True:
                at = _skip(text, at, opened)
                if opened and at < len(text) and text[at] == "]":
                    return
                if at < len(text) and not opened:
                    if text[at] != "[":
                        defects.table = f"expected a list of rows, found a file that begins with {text[at]!r}"
                        return
                    at, opened = at + 1, True
                    continue
                row = at < len(text) and _decoded(decode, text, at, last)
                if row:
                    yield row[0]
                    at = row[1]
                    continue
                if last:
                    defects.table = "expected a list that is closed, found the end of the file or broken JSON"
                    return
                if len(text) - at > MAX_ROW_CHARS:
                    defects.table = "found broken JSON, or a row of unreasonable size"
                    return
                more = file.read(CHUNK_CHARS)
                text, at, last = text[at:] + more, 0, not more
    except (ValueError, RecursionError, OSError) as error:
        defects.table = f"expected UTF-8 JSON, found {type(error).__name__}"


def _decoded(decode: Any, text: str, at: int, last: bool) -> tuple[Any, int] | None:
    """The next row and where it ends; None while it is not complete."""
    try:
        row, end = decode(text, at)
    except json.JSONDecodeError:
        return None
    # A bare number at the end of what was read so far may go on.
    return (row, end) if end < len(text) or last else None


def _skip(text: str, at: int, opened: bool) -> int:
    skipped = _BLANK + "," if opened else _BLANK
    while at < len(text) and text[at] in skipped:
        at += 1
    return at


def _batch(rows: list[dict[str, Any]], columns: Mapping[str, Column], schema: pa.Schema, defects: Defects):
    arrays: list[pa.Array] = []
    keep = [True] * len(rows)
    for name, column in columns.items():
        values = [row.get(name) for row in rows]
        array = _array(values, column.type)
        if array is None:
            values = _checked(name, values, column, defects)
            array = pa.array(values, column.type)
        arrays.append(array)
        if column.required and array.null_count:
            for i, valid in enumerate(array.is_valid().to_pylist()):
                if not valid and keep[i]:
                    keep[i] = False
                    defects.rows[f"expected a usable {name}"] += 1
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    return batch if all(keep) else batch.filter(pa.array(keep))


def _array(values: list[Any], kind: pa.DataType) -> pa.Array | None:
    """All values at once where every one fits; None sends them through the slow, forgiving way."""
    if pa.types.is_integer(kind) and any(isinstance(v, bool | float) for v in values):
        return None
    if pa.types.is_floating(kind) and any(isinstance(v, bool) for v in values):
        return None
    try:
        return pa.array(values, kind)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        return None


def _checked(name: str, values: list[Any], column: Column, defects: Defects) -> list[Any]:
    result = [_fit(value, column.type) for value in values]
    lost = sum(new is None and old is not None for old, new in zip(values, result, strict=True))
    if lost and not column.required:
        defects.values[f"expected {name} as {column.type}"] += lost
    return result


def _fit(value: Any, kind: pa.DataType) -> Any:
    """The value if it is of the type or says the same (1.0 for 1), else None."""
    if pa.types.is_string(kind):
        return value if isinstance(value, str) and _encodes(value) else None
    if pa.types.is_boolean(kind):
        return value if isinstance(value, bool) else None
    if pa.types.is_integer(kind):
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return int(value) if whole and not isinstance(value, bool) and abs(value) < _INT_RANGE else None
    if pa.types.is_floating(kind):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return float(value) if number and abs(value) < 1e300 else None
    assert pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind), kind
    if not isinstance(value, list):
        return None
    if pa.types.is_fixed_size_list(kind) and len(value) != kind.list_size:
        return None
    items = [_fit(item, kind.value_type) for item in value]
    return None if any(item is None for item in items) else items


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
