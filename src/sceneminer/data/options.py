"""How a root is opened, and what comes of it."""

from dataclasses import dataclass
from pathlib import Path

from sceneminer.data.errors import Issue
from sceneminer.data.log import Log


@dataclass(frozen=True)
class OpenOptions:
    """What a user may say about a root. An adapter ignores what it has no use for."""

    media_root: Path | None = None
    """Where media lie when not under the data root itself."""
    cameras: tuple[str, ...] | None = None
    """Only these cameras; None: all."""
    split: str | None = None
    """nuScenes: a table folder (v1.0-mini, or mini for short); Argoverse 2: train, val, test."""
    fps: float | None = None
    """Frames a second of plain image folders, where no file says it."""
    sweeps: bool = True
    """Whether measurements between keyframes are taken."""
    logs: tuple[str, ...] | None = None
    """Only logs with these names or ids; None: all."""


@dataclass(frozen=True, eq=False)
class LogSet:
    """The Logs under a root, and what could not be opened."""

    logs: tuple[Log, ...]
    refused: tuple[tuple[str, Issue], ...] = ()
    """(log name, why) of logs whose tables are unusable."""
    issues: tuple[Issue, ...] = ()
    """What concerns the root as a whole, e.g. a missing optional table."""
