"""Mining with a progress bar and a closing account of what could not be used."""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from sceneminer.data.options import OpenOptions
from sceneminer.mine.printable import one_line
from sceneminer.mine.report import MineReport
from sceneminer.mine.run import Progress as Where
from sceneminer.mine.run import mine
from sceneminer.mine.units import MiningPlan
from sceneminer.model.tower import NumericMode

NAMED = 8
"""How many lines of each kind are printed; all of them are in quarantine.jsonl."""


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} clips/s")


def mine_with_progress(
    root: Path,
    out: Path,
    *,
    options: OpenOptions,
    plan: MiningPlan,
    model: str,
    precision: NumericMode | None,
    workers: int,
    retry_quarantined: bool = False,
) -> int:
    """Mine, show how far it is, say what was masked or quarantined; returns the exit code."""
    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("opening", total=None)

        def show(where: Where) -> None:
            bar.update(task, description=one_line(where.log), completed=where.clips_done, total=where.clips_total)

        report = mine(
            root,
            out,
            options=options,
            plan=plan,
            model=model,
            precision=precision,
            workers=workers,
            retry_quarantined=retry_quarantined,
            on_progress=show,
        )
    print_report(report, out, Console(highlight=False, soft_wrap=True))
    return report.exit_code


def print_report(report: MineReport, out: Path, console: Console) -> None:
    """What was done, and by name what was not."""

    def say(text: str) -> None:
        console.print(one_line(text), markup=False)

    again = f", {report.units_already} of {report.units} units were there already" if report.units_already else ""
    say(f"mined {report.clips} clips from {report.images} images of {report.logs} logs{again}")
    say(f"{out} now has {report.index_clips} clips")
    for name, issue in report.logs_refused[:NAMED]:
        say(f"refused log {name}: {issue.subject}: {issue.reason}")
    for name, issue in report.issues[:NAMED]:
        where = f"{name}: " if name else ""
        count = f" ({issue.count} times)" if issue.count > 1 else ""
        say(f"{where}{issue.kind} {issue.subject}: {issue.reason}{count}")
    if len(report.issues) > NAMED:
        kinds = Counter(issue.kind for _, issue in report.issues[NAMED:])
        say("and " + ", ".join(f"{n} more {kind}" for kind, n in sorted(kinds.items())))
    if report.left_out or report.logs_refused:
        _print_left_out(report, out, say)


def _print_left_out(report: MineReport, out: Path, say: Callable[[str], None]) -> None:
    for what, done in (
        ("image", "masked"),
        ("map", "left out map"),
        ("clip", "quarantined"),
        ("log", "quarantined log"),
    ):
        for line in [line for line in report.left_out if line.what == what][:NAMED]:
            count = f" ({line.count} clips)" if line.count > 1 else ""
            say(f"{done} {line.subject}: {line.reason}{count}")
    lost = {what: len({line.log_id for line in report.left_out if line.what == what}) for what in ("map", "log")}
    maps = f"maps of {lost['map']} logs left out, " if lost["map"] else ""
    say(
        f"{report.images_masked} images masked, {maps}{report.clips_quarantined} clips and "
        f"{len(report.logs_refused) + lost['log']} logs quarantined; all are named in {out / 'quarantine.jsonl'}"
    )
