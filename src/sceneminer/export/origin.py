"""Where a Selection comes from: what travels along with everything that is exported from it."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sceneminer import __version__
from sceneminer.index.hardness import index_version
from sceneminer.index.search import Index
from sceneminer.index.selection import Selected, Selection

BATCH = 2000
"""Rows of the index that are asked for by id at once."""
_LOG_COLUMNS = ["log_id", "name", "dataset", "split", "location", "description", "licence"]


@dataclass(frozen=True)
class LogOrigin:
    """Whose a log is; None where the index does not know."""

    log_id: str
    name: str
    dataset: str | None = None
    split: str | None = None
    location: str | None = None
    description: str | None = None
    licence: str | None = None


@dataclass(frozen=True)
class Origin:
    """The Selection, the index and the logs behind an export."""

    selection: str
    """Content hash."""
    index_version: str
    """When the Selection was made."""
    index_version_now: str
    models: tuple[str, ...]
    query: Mapping[str, Any]
    rule: Mapping[str, Any]
    logs: Mapping[str, LogOrigin]
    """By log id; every log of the Selection."""

    def as_json(self) -> dict[str, Any]:
        return {
            "sceneminer": __version__,
            "selection": self.selection,
            "index_version": self.index_version,
            "index_version_now": self.index_version_now,
            "models": list(self.models),
            "query": clean(dict(self.query)),
            "rule": clean(dict(self.rule)),
            "logs": [log.__dict__ for log in self.logs.values()],
        }


def read_origin(index: Index, selection: Selection) -> Origin:
    names = {clean(item.log_id): clean(item.log_name) for item in selection.items}
    known = index.store.rows_by_id("logs", "log_id", list(names), _LOG_COLUMNS)
    logs = {
        log_id: LogOrigin(**known[log_id]) if log_id in known else LogOrigin(log_id, names[log_id]) for log_id in names
    }
    return Origin(
        selection=selection.content,
        index_version=selection.index_version,
        index_version_now=index_version(index.store),
        models=selection.models,
        query=selection.query,
        rule=selection.rule,
        logs=logs,
    )


def items_in_batches(selection: Selection) -> Iterator[tuple[int, tuple[Selected, ...]]]:
    """Items of a Selection, ``BATCH`` at a time, with the rank of the first."""
    for start in range(0, len(selection.items), BATCH):
        yield start, selection.items[start : start + BATCH]


def clean(value: Any) -> Any:
    """Without what files cannot hold: halves of surrogate pairs are replaced, what is not a number is unknown.

    Also within what a value contains.
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {clean(key): clean(item) for key, item in value.items()}
    return [clean(item) for item in value] if isinstance(value, list | tuple) else value
