"""Selections and exports of a server: files in one folder, by names that are no paths; exports run beside."""

import itertools
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sceneminer.data.errors import DataError
from sceneminer.export.formats import export_selection
from sceneminer.index.errors import IndexFault
from sceneminer.index.hardness import index_version
from sceneminer.index.query import query_of
from sceneminer.index.search import Index
from sceneminer.index.selection import Selected, Selection, read_selection, write_selection
from sceneminer.serve.clips import item_of, rows_of

MAX_JOBS = 100


@dataclass
class Job:
    """One export."""

    job: str
    state: str = "running"
    said: str = ""
    """The last line of progress."""
    path: str | None = None
    items: int = 0
    files: int = 0
    left_out: list[list[str]] = field(default_factory=list)
    error: str | None = None


class Library:
    """The selections of one folder, and the exports that were asked for since the server began."""

    def __init__(self, index: Index, folder: Path):
        self.index, self.folder = index, folder
        self.jobs: dict[str, Job] = {}
        self._numbers = itertools.count(1)
        self._writing = threading.Lock()

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.selection.json"

    def names(self) -> list[dict[str, Any]]:
        """Name, number of items and index version of each selection; one that is damaged says so."""
        found = []
        for path in sorted(self.folder.glob("*.selection.json")):
            name = path.name.removesuffix(".selection.json")
            try:
                selection = read_selection(path)
                found.append({"name": name, "items": len(selection.items), "made_from": selection.index_version})
            except IndexFault as error:
                found.append({"name": name, "items": 0, "made_from": None, "error": str(error)})
        return found

    def read(self, name: str) -> Selection:
        return read_selection(self.path(name))

    def keep(self, name: str, selection: Selection) -> None:
        write_selection(selection, self.path(name))

    def pick(self, name: str, clip_ids: list[str], query: dict[str, Any] | None) -> Selection:
        """A selection of clips picked by hand, in that order; IndexFault names one that is not in the index."""
        ids = list(dict.fromkeys(clip_ids))
        if query:
            query_of(query, "the query")
        rows = rows_of(self.index, ids)
        items: tuple[Selected, ...] = tuple(item_of(rows[clip]) for clip in ids)
        models = tuple(sorted({row["stream_fingerprint"] for row in rows.values()} - {None}))
        rule = {"picked": "by hand", "n": len(items)}
        selection = Selection(items, index_version(self.index.store), models, query or {}, rule)
        self.keep(name, selection)
        return selection

    def export(self, name: str, to: str) -> Job:
        """Begin an export into a new place in the folder; one runs at a time, the others wait."""
        selection = self.read(name)
        job = Job(f"job-{next(self._numbers)}")
        self.jobs[job.job] = job
        for old in [key for key, known in self.jobs.items() if known.state != "running"][:-MAX_JOBS]:
            del self.jobs[old]
        threading.Thread(target=self._run, args=(job, selection, name, to), daemon=True).start()
        return job

    def _run(self, job: Job, selection: Selection, name: str, to: str) -> None:
        try:
            with self._writing:
                out = self._new_place(name, to)
                report = export_selection(self.index, selection, out, to=to, say=lambda line: _say(job, line))
            job.path, job.items, job.files = str(report.path), report.items, report.files
            job.left_out = [list(pair) for pair in report.left_out]
            job.state = "done"
        except (IndexFault, DataError, OSError, ValueError) as error:
            job.error, job.state = str(error), "failed"

    def _new_place(self, name: str, to: str) -> Path:
        suffix = {"parquet": ".parquet", "csv": ".csv"}.get(to, "")
        for number in itertools.count(1):
            more = "" if number == 1 else f"-{number}"
            out = self.folder / f"{name}-{to}{more}{suffix}"
            if not out.exists():
                return out
        raise AssertionError


def _say(job: Job, line: str) -> None:
    job.said = line
