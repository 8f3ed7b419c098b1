"""Hits as a table, for people and for pipes."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sceneminer.index.hits import Hit
from sceneminer.mine.printable import one_line


def print_hits(hits: Sequence[Hit], *, score: str) -> None:
    """One row an interval; ``score`` names what it was ranked by."""
    table = Table(box=None, pad_edge=False)
    numbers = ("#", score, "from", "to", "best at", "risk")
    agents = any("agents" in hit.parts for hit in hits)
    for name in ("#", score, "log", "from", "to", "best at", "risk", "why", *(["agents"] * agents), "best clip"):
        table.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    for rank, hit in enumerate(hits, 1):
        shown = "–" if hit.score is None else f"{hit.score:.3f}"
        who = [_agents(hit)] if agents else []
        cells = (str(rank), shown, hit.log_name, *_span(hit), *_risk(hit), *who, hit.best_clip_id)
        table.add_row(*(Text(one_line(cell)) for cell in cells))
    # In a file or a pipe nothing is as narrow as a terminal: one hit, one line.
    Console(width=None if sys.stdout.isatty() else 10_000, highlight=False).print(table)
    if not hits:
        print("nothing found")


def _span(hit: Hit) -> tuple[str, ...]:
    """From, to, and where the best clip starts, in seconds of the log; a clip's id ends in its own milliseconds."""
    times = hit.start_us - _log_start_us(hit), hit.end_us - _log_start_us(hit), _offset_us(hit.best_clip_id)
    return tuple(f"{time / 1e6:.1f} s" for time in times)


def _agents(hit: Hit) -> str:
    """Who met the filter's conditions, and from when to when."""
    if "agents" not in hit.parts:
        return "–"
    start, end = ((hit.parts[f"agents_{end}_us"] - _log_start_us(hit)) / 1e6 for end in ("start", "end"))
    return f"{hit.parts['agents']}, {start:.1f} to {end:.1f} s"


def _offset_us(clip_id: str) -> int:
    return int(clip_id.rsplit("+", 1)[1]) * 1000


def _log_start_us(hit: Hit) -> int:
    return hit.start_us - _offset_us(hit.clip_ids[0])


def _risk(hit: Hit) -> tuple[str, str]:
    """The risk of the best clip, and who, when and which measure is behind it, and what it was made from."""
    parts = hit.parts
    if parts["risk"] is None:
        return "–", "risk is null: no tracks with ego poses, no risk head"
    if parts["risk_measure"] is None or parts["risk"] < 0.005:
        return f"{parts['risk']:.2f}", f"from {parts['risk_source']}"
    value = f" {parts['risk_value']:.2f}" if parts["risk_value"] is not None else ""
    at = f" at {(parts['risk_time_us'] - _log_start_us(hit)) / 1e6:.1f} s" if parts["risk_time_us"] is not None else ""
    why = f"{parts['risk_category']} {parts['risk_measure']}{value}{at} (from {parts['risk_source']})"
    return f"{parts['risk']:.2f}", why
