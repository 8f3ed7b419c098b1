"""What a run did, and by name what it could not use."""

from collections import Counter
from dataclasses import dataclass

from sceneminer.data.errors import Issue
from sceneminer.data.options import LogSet
from sceneminer.index.quarantine import Quarantine, Quarantined
from sceneminer.mine.units import Unit

NOTES = frozenset({"missing_table", "unsupported", "no_calibration"})
"""Issues that say what a data set does not have; every other kind is damage and shows in the exit code."""


@dataclass(frozen=True)
class MineReport:
    """What a run did and what it could not use."""

    logs: int
    units: int
    units_already: int
    clips: int
    images: int
    images_masked: int
    clips_quarantined: int
    logs_refused: tuple[tuple[str, Issue], ...]
    """Logs that did not open."""
    left_out: tuple[Quarantined, ...]
    """Images, maps, clips and logs of this root that could not be used once open, in this run or an earlier one."""
    issues: tuple[tuple[str, Issue], ...]
    """(log name, or empty for the root; what was not usable on opening)"""
    index_clips: int

    @property
    def exit_code(self) -> int:
        """0 all mined, 3 something was masked by damage, dropped from a table, or quarantined."""
        damaged = any(issue.kind not in NOTES for _, issue in self.issues)
        return 3 if self.left_out or self.logs_refused or damaged else 0


def report_of(
    found: LogSet, units: list[Unit], todo: list[Unit], *, done: Counter[str], quarantine: Quarantine, index_clips: int
) -> MineReport:
    """What a run that mined ``todo`` of ``units`` did; damage counts whether this run or an earlier one met it."""
    ids = {unit.unit_id for unit in units}
    issues = [("", issue) for issue in found.issues]
    issues += [(log.name, issue) for log in found.logs for issue in log.issues]
    return MineReport(
        logs=len(found.logs),
        units=len(units),
        units_already=len(units) - len(todo),
        clips=done["clips"],
        images=done["images"],
        images_masked=quarantine.count("image", units=ids),
        clips_quarantined=quarantine.count("clip", units=ids),
        logs_refused=found.refused,
        left_out=tuple(sorted(line for line in quarantine.lines if line.unit_id in ids)),
        issues=tuple(issues),
        index_clips=index_clips,
    )
