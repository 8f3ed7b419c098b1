"""A Selection, and what replaying it found, as a table or as JSON."""

import json
import sys
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sceneminer.index.replay import Replay
from sceneminer.index.selection import Selected, Selection
from sceneminer.mine.printable import one_line


def print_replay(then: Selection, found: Replay, *, as_json: bool = False) -> None:
    """The Selection as it is, each item with what has become of it, and a line that sums up."""
    if as_json:
        print(json.dumps(_document(then, found), indent=2, allow_nan=False))
        return
    table = Table(box=None, pad_edge=False)
    for name in ("#", "score", "log", "from", "to", "risk", "clip", "now"):
        table.add_column(name, justify="left" if name in ("log", "clip", "now") else "right", overflow="fold")
    for rank, item in enumerate(then.items, 1):
        table.add_row(str(rank), *(Text(one_line(cell)) for cell in (*_cells(item), _state(item, found))))
    Console(width=None if sys.stdout.isatty() else 10_000, highlight=False).print(table)
    for line in summary(then, found):
        print(line)


def summary(then: Selection, found: Replay) -> list[str]:
    """What changed, in a few lines; one that says so where nothing did."""
    if found.same:
        return [f"same: {len(then.items)} clips, chosen again in the same order with the same scores"]
    lines = []
    if found.version_then != found.version_now:
        lines.append(f"the index was {found.version_then}, it is {found.version_now}")
    if found.models_changed:
        lines.append("its clips were made by other models")
    counts = {
        "gone from the index": found.gone,
        "no longer chosen": found.left,
        "newly chosen": found.new,
        "chosen with another score": found.rescored,
    }
    lines += [f"{len(items)} {what}: {_some(items)}" for what, items in counts.items() if items]
    if found.reordered:
        lines.append("the order of those chosen again differs")
    return lines


def _some(items: tuple[Selected, ...]) -> str:
    more = f" and {len(items) - 5} more" if len(items) > 5 else ""
    return one_line(", ".join(item.clip_id for item in items[:5]) + more)


def _cells(item: Selected) -> tuple[str, ...]:
    offset_us = int(item.clip_id.rsplit("+", 1)[1]) * 1000 if "+" in item.clip_id else 0
    start_us = item.start_us - offset_us
    risk = item.parts.get("risk")
    return (
        "–" if item.score is None else f"{item.score:.3f}",
        item.log_name,
        f"{(item.start_us - start_us) / 1e6:.1f} s",
        f"{(item.end_us - start_us) / 1e6:.1f} s",
        f"{risk:.2f}" if isinstance(risk, float) else "–",
        item.clip_id,
    )


def _state(item: Selected, found: Replay) -> str:
    for word, items in (("gone", found.gone), ("not chosen", found.left), ("other score", found.rescored)):
        if any(other.clip_id == item.clip_id for other in items):
            return word
    return "same"


def _document(then: Selection, found: Replay) -> dict[str, object]:
    parts = {name: [asdict(item) for item in getattr(found, name)] for name in ("gone", "left", "new", "rescored")}
    return {
        "same": found.same,
        "index_version": {"then": found.version_then, "now": found.version_now},
        "models_changed": found.models_changed,
        "reordered": found.reordered,
        **parts,
        "items": [asdict(item) for item in then.items],
    }
