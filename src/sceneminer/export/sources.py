"""Whose the recordings in an exported folder are, for programs (``origin.json``) and for people (``SOURCES.md``)."""

import html
import re
from collections import Counter
from pathlib import Path

from sceneminer import __version__
from sceneminer.export.origin import LogOrigin, Origin, clean
from sceneminer.export.whole import write_origin
from sceneminer.index.selection import Selection
from sceneminer.mine.printable import one_line


def write_sources(folder: Path, origin: Origin, selection: Selection) -> int:
    """Write both files into a folder; returns how many files that is."""
    write_origin(folder, origin)
    intervals = Counter(clean(item.log_id) for item in selection.items)
    rows = [_row(log, intervals[log_id]) for log_id, log in origin.logs.items()]
    lines = [
        "# Where these recordings come from",
        "",
        "Each log is under the licence of the data set that it is from, in this folder too.",
        "",
        "| log | data set | split | location | licence | intervals selected | description |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
        f"Selection {origin.selection}, made from index version {_cell(origin.index_version)} "
        f"(now {_cell(origin.index_version_now)}), exported by sceneminer {__version__}. "
        "The query and the rule that it was made by are in `origin.json`.",
        "",
    ]
    (folder / "SOURCES.md").write_text("\n".join(lines), encoding="utf-8")
    return 2


def _row(log: LogOrigin, intervals: int) -> str:
    cells = (log.name, log.dataset, log.split, log.location, log.licence or "not stated", str(intervals))
    return "| " + " | ".join(_cell(text or "") for text in (*cells, log.description)) + " |"


def _cell(text: str) -> str:
    """Another's text as text: no markup, no line breaks."""
    escaped = html.escape(one_line(clean(text)), quote=False)
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", escaped)
