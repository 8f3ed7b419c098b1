"""A Selection: a frozen, ordered list of intervals that remembers the query, the rule and the index it was made from.

On disk it is one JSON file. Its ``content`` hash covers everything else in it, so that a changed file is refused: what
was looked at is what is exported, replayed and reported.
"""

import hashlib
import json
import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sceneminer.index.errors import IndexFault

SELECTION_FORMAT = 1
MAX_ITEMS = 1_000_000
MAX_BYTES = 1 << 30
_KEYS = ("format", "kind", "index", "query", "rule", "items", "content")


@dataclass(frozen=True)
class Selected:
    """One interval of one log, and why it is here."""

    clip_id: str
    """The best clip of the interval."""
    log_id: str
    log_name: str
    start_us: int
    end_us: int
    score: float | None
    parts: Mapping[str, Any] = field(default_factory=dict)
    """What the score is made of: numbers, texts or None by name."""


@dataclass(frozen=True)
class Selection:
    """Items in the order of choice; ``query`` and ``rule`` are what ``sceneminer replay`` runs again."""

    items: tuple[Selected, ...]
    index_version: str
    """Of the index that it was made from: see ``hardness.index_version``."""
    models: tuple[str, ...]
    """Stream fingerprints of the clips in that index, sorted."""
    query: Mapping[str, Any]
    """As ``Query.as_json`` gives it; empty where clips were picked by hand."""
    rule: Mapping[str, Any]
    """Number asked for, weights, quotas, what was excluded: as ``select`` was called."""

    @property
    def content(self) -> str:
        """SHA-256 of the whole, in canonical JSON."""
        return hashlib.sha256(_canonical(_content(self))).hexdigest()


def write_selection(selection: Selection, path: Path) -> None:
    """Write a new file, whole or not at all; IndexFault where there is one already: a Selection is not overwritten."""
    document = document_of(selection)
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    part = unfinished(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        take_name(part, path)
    except FileExistsError as error:
        raise IndexFault(f"expected a new file for the selection, found {path} there already") from error
    except OSError as error:
        raise IndexFault(f"expected to write a selection to {path}, found {error.strerror}") from error
    finally:
        if part.exists():
            part.unlink()


def unfinished(path: Path) -> Path:
    """A hidden name beside a path that nobody else uses, for what is not whole yet."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")


def take_name(part: Path, path: Path) -> None:
    """Give a finished file its name. FileExistsError where that is taken, which a rename would not notice."""
    try:
        path.hardlink_to(part)
    except FileExistsError:
        raise
    except OSError:  # file systems without links: the name is claimed by an empty file first
        path.open("x").close()
        part.replace(path)


def read_selection(path: Path) -> Selection:
    """A Selection as it was written. IndexFault where it is none, is of another format, or was changed since."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise IndexFault(f"expected a selection of at most {MAX_BYTES} bytes at {path}, found a larger file")
        document = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        raise IndexFault(f"expected a selection at {path}, found {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise IndexFault(f"expected a selection in JSON at {path}, found something else ({error})") from error
    return selection_of(document, str(path))


def selection_of(document: Any, where: str) -> Selection:
    """A Selection from its JSON values; ``where`` is named in what is raised."""
    if not isinstance(document, dict) or document.get("kind") != "sceneminer selection":
        raise IndexFault(f"expected a selection made by sceneminer at {where}, found another kind of JSON")
    if document.get("format") != SELECTION_FORMAT:
        raise IndexFault(f"expected selection format {SELECTION_FORMAT} at {where}, found {document.get('format')!r}")
    if set(document) != set(_KEYS):
        raise IndexFault(f"expected {', '.join(_KEYS)} in the selection at {where}, found {', '.join(document)}")
    told = document["index"]
    if not isinstance(told, dict) or not all(isinstance(document[key], dict) for key in ("query", "rule")):
        raise IndexFault(f"expected index, query and rule as objects in the selection at {where}")
    models = told.get("models") or []
    if not isinstance(told.get("version"), str) or not _texts(models):
        raise IndexFault(f"expected a version and models of the index in the selection at {where}")
    items = document["items"]
    if not isinstance(items, list) or len(items) > MAX_ITEMS:
        raise IndexFault(f"expected a list of at most {MAX_ITEMS} items in the selection at {where}")
    chosen = tuple(_item(item, k, where) for k, item in enumerate(items))
    selection = Selection(chosen, told["version"], tuple(models), document["query"], document["rule"])
    if selection.content != document["content"]:
        raise IndexFault(
            f"expected the selection at {where} as it was written, found it changed since (its content hash differs)"
        )
    return selection


def _item(value: Any, k: int, where: str) -> Selected:
    kinds = {"clip_id": str, "log_id": str, "log_name": str, "start_us": int, "end_us": int, "parts": dict}
    good = isinstance(value, dict) and set(value) == {*kinds, "score"}
    good = good and all(type(value[name]) is kind for name, kind in kinds.items())
    good = good and (value["score"] is None or type(value["score"]) in (int, float))
    good = good and abs(value["start_us"]) < 2**62 and abs(value["end_us"]) < 2**62
    good = good and all(part is None or type(part) in (int, float, str, bool) for part in value["parts"].values())
    if not good or value["start_us"] > value["end_us"]:
        raise IndexFault(f"expected a clip, its log, interval, score and parts as item {k} of the selection at {where}")
    return Selected(**value)


def _texts(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(text, str) for text in value)


def document_of(selection: Selection) -> dict[str, Any]:
    """A Selection as the JSON values of its file."""
    return _content(selection) | {"content": selection.content}


def _content(selection: Selection) -> dict[str, Any]:
    return {
        "format": SELECTION_FORMAT,
        "kind": "sceneminer selection",
        "index": {"version": selection.index_version, "models": list(selection.models)},
        "query": dict(selection.query),
        "rule": dict(selection.rule),
        "items": [_plain(asdict(item)) for item in selection.items],
    }


def _plain(value: Any) -> Any:
    """What is not a number is unknown."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _canonical(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode()


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
