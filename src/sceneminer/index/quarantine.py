"""``quarantine.jsonl``: every file, clip and log that could not be used, with the reason; the same after any rerun."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

What = Literal["image", "map", "clip", "log"]


@dataclass(frozen=True, order=True)
class Quarantined:
    """One line: what was left out, and why."""

    log_id: str
    unit_id: str
    """Empty for a log that did not even open."""
    what: What
    subject: str
    """File name relative to the media root (images and maps), clip id, or log name."""
    kind: str
    reason: str
    count: int = 1
    """How many clips this line stands for: a gap without any recording is one line."""


class Quarantine:
    """The file of one index. Lines are kept sorted and unique, and replaced as a whole for a unit mined again."""

    def __init__(self, folder: Path):
        self.path = folder / "quarantine.jsonl"
        self.lines: set[Quarantined] = set(_read(self.path))

    def replace(self, owners: Iterable[tuple[str, str]], lines: Iterable[Quarantined]) -> None:
        """Forget what was said of these (log_id, unit_id) pairs and say this instead; written atomically."""
        gone = set(owners)
        kept = {line for line in self.lines if (line.log_id, line.unit_id) not in gone}
        new = kept | set(lines)
        if new != self.lines:
            self.lines = new
            _write(self.path, sorted(new))

    def forget_logs(self, log_ids: set[str]) -> None:
        """Drop what was said of these logs."""
        self.replace([(line.log_id, line.unit_id) for line in self.lines if line.log_id in log_ids], [])

    def units(self) -> set[str]:
        return {line.unit_id for line in self.lines if line.unit_id}

    def count(self, what: What, *, units: set[str] | None = None) -> int:
        """How many images, clips or logs the lines stand for; of these units only, if given."""
        lines = [line for line in self.lines if line.what == what and (units is None or line.unit_id in units)]
        # Each unit of a log says of itself that the log or its map is unusable.
        return len({line.log_id for line in lines}) if what in ("log", "map") else sum(line.count for line in lines)


def _read(path: Path) -> list[Quarantined]:
    if not path.exists():
        return []
    lines = []
    # Not splitlines: file names may hold what Unicode takes for a line's end, and JSON does not.
    for number, text in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not text:
            continue
        try:
            lines.append(Quarantined(**json.loads(text)))
        except (ValueError, TypeError) as error:
            raise ValueError(f"expected lines written by sceneminer in {path}, found line {number}: {error}") from error
    return lines


def _write(path: Path, lines: list[Quarantined]) -> None:
    temporary = path.with_suffix(".jsonl.new")
    # A half of a surrogate pair, as broken names have it, becomes the JSON escape for it.
    with temporary.open("w", encoding="utf-8", errors="backslashreplace") as handle:
        for line in lines:
            handle.write(json.dumps(asdict(line), ensure_ascii=False) + "\n")
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(path)
