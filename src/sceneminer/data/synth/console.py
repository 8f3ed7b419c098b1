"""Writing a synthetic data set with a progress bar and a closing line on what was written."""

import sys
from pathlib import Path
from typing import cast, get_args

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sceneminer.data.errors import DataError
from sceneminer.data.synth.rig import CHANNELS
from sceneminer.data.synth.scene import Split
from sceneminer.data.synth.write import write_dataset
from sceneminer.data.synth.write_schedule import Rate


def synth_with_progress(
    out: Path,
    *,
    logs: int,
    seed: int,
    split: str,
    rate: str,
    size_hw: tuple[int, int],
    sensors: tuple[str, ...] | None,
    duration_s: float,
    workers: int | None,
    logs_per_town: int = 3,
) -> None:
    """Write a data set, show how far it is, and say what lies there now.

    DataError: a split, rate, size, sensor or number that is out of range, or ``out`` holds something else.
    """
    if split not in get_args(Split) or rate not in get_args(Rate):
        splits, rates = ", ".join(get_args(Split)), " or ".join(get_args(Rate))
        raise DataError(f"expected split {splits} and rate {rates}; found {split!r} and {rate!r}")
    written = [0]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("logs"))
    console = Console(stderr=True, highlight=False)
    bar = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console)
    bar.disable = not sys.stderr.isatty()
    with bar:
        task = bar.add_task("rendering", total=logs)

        def show(done: int, total: int) -> None:
            written[0] += 1
            bar.update(task, completed=done, total=total)

        write_dataset(
            out,
            logs=logs,
            seed=seed,
            split=cast(Split, split),
            rate=cast(Rate, rate),
            size_hw=size_hw,
            sensors=sensors,
            duration_s=duration_s,
            workers=workers,
            on_progress=show,
            logs_per_town=logs_per_town,
        )
    _print_written(out, written[0], logs, duration_s, rate, size_hw, len(sensors or CHANNELS))


def _print_written(
    out: Path, written: int, logs: int, duration_s: float, rate: str, size_hw: tuple[int, int], sensors: int
) -> None:
    console = Console(highlight=False, soft_wrap=True)
    what = f"{logs} logs of {duration_s:g} s ({rate}, {size_hw[0]}x{size_hw[1]}, {sensors} sensors)"
    if written == logs:
        console.print(f"wrote {what} to {out}", markup=False)
    elif written:
        console.print(f"wrote the {written} logs that were missing; {out} now has {what}", markup=False)
    else:
        console.print(f"{out} already has these {what}: nothing to do", markup=False)
    console.print(f"mine them with: sceneminer mine {out} --out INDEX", markup=False)
