"""What can be wrong with a log, as values that are counted and named, and as errors for users."""

from dataclasses import dataclass
from typing import Literal

IssueKind = Literal[
    "missing_file",
    "broken_file",
    "escaping_path",
    "too_large",
    "bad_table",
    "missing_table",
    "bad_row",
    "no_pose",
    "no_calibration",
    "odd_time",
    "unsupported",
]


@dataclass(frozen=True)
class Issue:
    """One thing that was not usable, and what was done without it."""

    kind: IssueKind
    subject: str
    """The file, table or row, relative to the data root: never an absolute path."""
    reason: str
    """What was expected and what was found, in one sentence."""
    count: int = 1
    """How many rows or files this line stands for."""


class DataError(ValueError):
    """Input that cannot be used at all; the message says what was expected and what was found."""


class MediaError(DataError):
    """One image or point file that cannot be used; carries the Issue that names it."""

    def __init__(self, issue: Issue):
        super().__init__(f"{issue.subject}: {issue.reason}")
        self.issue = issue

    def __reduce__(self):
        return (MediaError, (self.issue,))
