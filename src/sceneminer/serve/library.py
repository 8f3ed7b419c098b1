"""Selections and exports of a server: files in one folder, by names that are no paths; exports run beside."""

import itertools
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sceneminer.export.formats import export_selection
from sceneminer.index.errors import IndexFault
from sceneminer.index.hardness import index_version
from sceneminer.index.head_files import filter_names
from sceneminer.index.query import Query, query_of
from sceneminer.index.search import Index
from sceneminer.index.selection import Selected, Selection, read_selection, write_selection
from sceneminer.index.where_plan import parse_plan
from sceneminer.index.where_text import parse_text
from sceneminer.serve.clips import item_of, rows_of

MAX_JOBS, MAX_RUNNING = 100, 16
"""Exports that are remembered, and that may run or wait at once."""


class UnknownNameError(LookupError):
    """There is no selection or job of that name."""


class TakenNameError(IndexFault):
    """There is a selection of that name already."""


class CrowdedError(IndexFault):
    """As much as may be is at work already."""


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
        self._writing, self._counting = threading.Lock(), threading.Lock()

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.selection.json"

    def require_new(self, name: str) -> None:
        """TakenNameError where a selection is called so."""
        if self._path(name).exists():
            raise TakenNameError(f"expected a new name for the selection, found {name!r} taken")

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
        """UnknownNameError where there is none of that name; IndexFault where it is damaged."""
        if not self._path(name).is_file():
            raise UnknownNameError(f"expected a selection called {name!r}, found none")
        return read_selection(self._path(name))

    def keep(self, name: str, selection: Selection) -> None:
        """TakenNameError where a selection is called so."""
        self.require_new(name)
        write_selection(selection, self._path(name))

    def pick(self, name: str, clip_ids: list[str], query: dict[str, Any] | None) -> Selection:
        """A selection of clips picked by hand, in that order; IndexFault names one that is not in the index."""
        self.require_new(name)
        ids = list(dict.fromkeys(clip_ids))
        found = query_of(query, "the query") if query else None
        if found is not None:
            _require_terms(found, self.index)
        rows = rows_of(self.index, ids)
        items: tuple[Selected, ...] = tuple(item_of(rows[clip]) for clip in ids)
        models = tuple(sorted({row["stream_fingerprint"] for row in rows.values()} - {None}))
        rule = {"picked": "by hand", "n": len(items)}
        saved = {} if found is None else found.as_json()
        selection = Selection(items, index_version(self.index.store), models, saved, rule)
        self.keep(name, selection)
        return selection

    def job(self, job: str) -> Job:
        """UnknownNameError where this server began none of that name, or has forgotten it."""
        if job not in self.jobs:
            raise UnknownNameError(f"expected a job of this server, found none called {job}")
        return self.jobs[job]

    def export(self, name: str, to: str) -> Job:
        """Begin an export into a new place in the folder; one runs at a time. CrowdedError: too many wait."""
        selection = self.read(name)
        with self._counting:
            running = [key for key, known in self.jobs.items() if known.state == "running"]
            if len(running) >= MAX_RUNNING:
                raise CrowdedError(f"expected at most {MAX_RUNNING} exports at once, found as many; try again later")
            for old in [key for key in self.jobs if key not in running][:-MAX_JOBS]:
                del self.jobs[old]
            job = Job(f"job-{next(self._numbers)}")
            self.jobs[job.job] = job
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
        except Exception as error:
            # Whatever it was: a job that nobody ends would be waited for without end.
            job.error, job.state = str(error) or type(error).__name__, "failed"
            if not isinstance(error, (ValueError, OSError)):
                raise

    def _new_place(self, name: str, to: str) -> Path:
        suffix = {"parquet": ".parquet", "csv": ".csv"}.get(to, "")
        for number in itertools.count(1):
            more = "" if number == 1 else f"-{number}"
            out = self.folder / f"{name}-{to}{more}{suffix}"
            if not out.exists():
                return out
        raise AssertionError


def _require_terms(query: Query, index: Index) -> None:
    """QueryError where a search would not take its text or its filter."""
    if query.text is not None:
        parse_text(query.text)
    if query.where is not None:
        parse_plan(query.where, added=filter_names(index.store))


def _say(job: Job, line: str) -> None:
    job.said = line
