"""What somebody says of clips: labels or values from a CSV file, a column of the index, or clips marked as relevant."""

import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.index.errors import IndexFault
from sceneminer.model.added import Task, require_name

RELEVANT = "relevant"
MAX_ROWS = 10_000_000
NAMED = 5


@dataclass(frozen=True, eq=False)
class LabelSet:
    """Of each clip, once each: 1 or 0 for each label, or a value; NaN where nothing is said."""

    task: Task
    outputs: tuple[str, ...]
    """Labels, in order; empty for a value and for relevance."""
    clip_ids: tuple[str, ...]
    values: Float[ndarray, "n o"]
    source: str
    """Where they come from, in a few words."""

    def updated(self, other: "LabelSet") -> "LabelSet":
        """These and others of the same head; where both speak of a clip and a label, the others hold."""
        row: dict[str, ndarray] = dict(zip(self.clip_ids, self.values, strict=True))
        for clip, new in zip(other.clip_ids, other.values, strict=True):
            before = row[clip] if clip in row else new  # noqa: SIM401
            row[clip] = np.array([a if math.isnan(b) else b for a, b in zip(before, new, strict=True)])
        return LabelSet(self.task, self.outputs, tuple(row), np.array([*row.values()]), other.source)

    def of_clips(self, kept: Iterable[int]) -> "LabelSet":
        """Some of the rows."""
        rows = list(kept)
        ids = tuple(self.clip_ids[i] for i in rows)
        return LabelSet(self.task, self.outputs, ids, self.values[rows], self.source)


def read_labels(path: Path) -> LabelSet:
    """Labels from a CSV file; IndexFault names the line that is not understood, or the clip that is said to be both.

    Long: ``clip_id,label`` with one line a clip and label; a listed clip is without the labels it has no line for, and
    an empty label says that it has none. With a third column ``value`` (1 or 0), what has no line is not known.
    Wide: ``clip_id`` and one column a label, with 1, 0, or nothing where it is not known.
    """
    header, rows = _open(path)
    if header[1:] in (["label"], ["label", "value"]):
        return _long(path, header, rows)
    outputs = tuple(header[1:])
    _require_labels(path, outputs)
    said: dict[tuple[str, str], float] = {}
    for line, row in rows:
        for label, cell in zip(outputs, row[1:], strict=True):
            if cell:
                _say(said, (row[0], label), _binary(path, line, cell), path)
    return _label_set("labels", outputs, said, path.name)


def read_values(path: Path) -> LabelSet:
    """A number a clip from a CSV file of ``clip_id,value``; an empty value is left out."""
    header, rows = _open(path)
    if len(header) != 2:
        raise IndexFault(f"expected clip_id and one column of values in {path}, found {', '.join(header)}")
    said: dict[tuple[str, str], float] = {}
    for line, row in rows:
        if row[1]:
            _say(said, (row[0], ""), _finite(path, line, row[1]), path)
    return _label_set("value", (), said, path.name)


def mark(relevant: Iterable[str], not_relevant: Iterable[str] = ()) -> LabelSet:
    """Clips that are what is looked for, and some that are not."""
    said: dict[tuple[str, str], float] = {}
    for clip, value in ((c, v) for ids, v in ((relevant, 1.0), (not_relevant, 0.0)) for c in ids):
        _say(said, (clip, ""), value, None)
    count = sum(value == 1.0 for value in said.values())
    return _label_set("relevance", (), said, f"{count} clips marked as relevant, {len(said) - count} as not")


def read_ids(text: str) -> tuple[str, ...]:
    """Ids of clips, separated by commas, or one a line in the file of this name."""
    path = Path(text)
    if "," not in text and path.is_file():
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise IndexFault(f"expected ids of clips in UTF-8 in {path}, found {error.reason}") from None
        ids = tuple(line.strip() for line in lines if line.strip() and line.strip() != "clip_id")
    else:
        ids = tuple(part.strip() for part in text.split(",") if part.strip())
    if not ids:
        raise IndexFault(f"expected ids of clips, found none in {text!r}")
    return ids


def write_labels(labels: LabelSet, path: Path) -> None:
    """As ``read_labels`` and ``read_values`` read them; relevance as one label of that name."""
    header = ("value",) if labels.task == "value" else labels.outputs or (RELEVANT,)
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["clip_id", *header])
        for clip, row in zip(labels.clip_ids, labels.values, strict=True):
            out.writerow([clip, *("" if math.isnan(v) else f"{v:.17g}" for v in row.tolist())])


def _open(path: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The header, ``clip_id`` first, and the lines after it with their numbers."""
    rows = _lines(path)
    _, header = next(rows, (0, []))
    if len(header) < 2 or header[0] != "clip_id" or len(set(header)) != len(header):
        said = ", ".join(header) if header else "nothing"
        raise IndexFault(f"expected a header of clip_id and other columns, each once, in {path}; found {said[:200]}")
    return header, _of_width(path, rows, len(header))


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for row in reader:
                if row:
                    yield reader.line_num, [cell.strip() for cell in row]
                if reader.line_num > MAX_ROWS:
                    raise IndexFault(f"expected at most {MAX_ROWS} lines in {path}, found more")
    except OSError as error:
        raise IndexFault(f"expected a CSV file at {path}, found {error.strerror}") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise IndexFault(f"expected a CSV file in UTF-8 at {path}, found: {error}") from None


def _of_width(path: Path, rows: Iterator[tuple[int, list[str]]], width: int) -> Iterator[tuple[int, list[str]]]:
    for line, row in rows:
        if len(row) != width or not row[0]:
            raise IndexFault(
                f"expected a clip id and {width - 1} more cells in line {line} of {path}, found {row!r:.200}"
            )
        yield line, row


def _long(path: Path, header: list[str], rows: Iterator[tuple[int, list[str]]]) -> LabelSet:
    said: dict[tuple[str, str], float] = {}
    clips: dict[str, None] = {}
    for line, row in rows:
        clips[row[0]] = None
        if row[1]:
            cell = row[2] if len(row) == 3 else ""
            _say(said, (row[0], row[1]), _binary(path, line, cell) if cell else 1.0, path)
        elif len(header) == 3:
            raise IndexFault(f"expected a label in line {line} of {path}, found none")
    outputs = tuple(sorted({label for _, label in said}))
    _require_labels(path, outputs)
    if len(header) == 2:
        said |= {(clip, label): 0.0 for clip in clips for label in outputs if (clip, label) not in said}
    return _label_set("labels", outputs, said, path.name)


def _require_labels(path: Path, labels: tuple[str, ...]) -> None:
    if not labels:
        raise IndexFault(f"expected labels in {path}, found none")
    for label in labels:
        if label == "label":
            raise IndexFault(f"expected labels by their names in {path}, found one named label")
        try:
            require_name(label, "a label")
        except ValueError as error:
            raise IndexFault(f"{error} in {path}") from None


def _say(said: dict[tuple[str, str], float], key: tuple[str, str], value: float, path: Path | None) -> None:
    if said.setdefault(key, value) != value:
        of = f" of {key[1]}" if key[1] else ""
        where = f" in {path}" if path else ""
        raise IndexFault(f"expected one value{of} for clip {key[0]}{where}, found {said[key]:g} and {value:g}")


def _binary(path: Path, line: int, cell: str) -> float:
    if cell not in ("0", "1"):
        raise IndexFault(f"expected 1 or 0 in line {line} of {path}, found {cell[:80]!r}")
    return float(cell)


def _finite(path: Path, line: int, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not abs(value) < 1e30:
        raise IndexFault(f"expected a finite number in line {line} of {path}, found {cell[:80]!r}")
    return value


def _label_set(task: Task, outputs: tuple[str, ...], said: dict[tuple[str, str], float], source: str) -> LabelSet:
    clips = tuple(dict.fromkeys(clip for clip, _ in said))
    if not clips:
        raise IndexFault(f"expected clips with something said of them, found none in {source}")
    row, column = {c: i for i, c in enumerate(clips)}, {o: i for i, o in enumerate(outputs or ("",))}
    values = np.full((len(clips), len(column)), np.nan)
    for (clip, label), value in said.items():
        values[row[clip], column[label]] = value
    return LabelSet(task, outputs, clips, values, source)
