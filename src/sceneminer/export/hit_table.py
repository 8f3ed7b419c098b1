"""Hits as a table, for people and for pipes."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sceneminer.index.hits import Hit
from sceneminer.mine.printable import one_line


def print_hits(hits: Sequence[Hit], *, score: str) -> None:
    """One row an interval; ``score`` names what it was ranked by. A terminal too narrow for rows has lines instead."""
    agents = any("agents" in hit.parts for hit in hits)
    names = ("#", score, "log", "from", "to", "best at", "risk", "why", *(["agents"] * agents), "best clip")
    rows = [_row(rank, hit, agents) for rank, hit in enumerate(hits, 1)]
    table = Table(box=None, pad_edge=False)
    for name in names:
        right = name in ("#", score, "from", "to", "best at", "risk")
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    # In a file or a pipe nothing is as narrow as a terminal: one hit, one line.
    console = Console(width=None if sys.stdout.isatty() else 10_000, highlight=False)
    if console.measure(table, options=console.options.update(max_width=10_000)).maximum <= console.width:
        console.print(table)
    else:
        for row in rows:
            _print_lines(console, row, score)
    if not hits:
        print("nothing found")


def _row(rank: int, hit: Hit, agents: bool) -> tuple[str, ...]:
    shown = "–" if hit.score is None else f"{hit.score:.3f}"
    who = [_agents(hit)] if agents else []
    return tuple(map(one_line, (str(rank), shown, hit.log_name, *_span(hit), *_risk(hit), *who, hit.best_clip_id)))


def _print_lines(console: Console, row: tuple[str, ...], score: str) -> None:
    """A hit in lines of its own; its id, to be copied, is never broken."""
    rank, value, log, start, end, best, risk, why, *rest = row
    first = f"{rank:>2}  {score} {value}  {log}  {start} to {end}, best at {best}"
    for line in (first, f"risk {risk} {why}", *rest):
        indent = "" if line is first else "    "
        console.print(Text(indent + line), soft_wrap=True)


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
