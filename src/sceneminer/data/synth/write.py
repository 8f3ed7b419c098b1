"""Writes synthetic Drives as a nuScenes v1.0 folder: seeded, in parallel, resumable, the same bytes every time.

Each log is a unit of work: its media are written, then its rows as one JSON under ``OUT/.partial``, whole or not at
all. When all logs are there the rows are joined into the tables, and the tables' folder appears in one step: a folder
with tables is complete. Logs are independent, so neither the number of workers nor a kill can change a byte.
"""

import json
import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from sceneminer.data.errors import DataError
from sceneminer.data.synth.rig import CHANNELS
from sceneminer.data.synth.scene import Split
from sceneminer.data.synth.tables import TABLES, Row, fixed_tables, write_json
from sceneminer.data.synth.write_log import LogJob, map_token, write_log
from sceneminer.data.synth.write_schedule import Rate

FORMAT = 1
"""Raised when the same arguments would write other bytes, so that a half-written folder is not continued wrongly."""
JOB_FILE = "synth.json"
_PARTIAL = ".partial"


def write_dataset(
    out: Path,
    *,
    logs: int,
    seed: int,
    split: Split,
    rate: Literal["keyframes", "full"] = "keyframes",
    size_hw: tuple[int, int] = (256, 448),
    sensors: tuple[str, ...] | None = None,
    duration_s: float = 20.0,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    logs_per_town: int = 3,
) -> Path:
    """Write ``logs`` drives of ``duration_s`` seconds as nuScenes tables, media and maps; returns ``out``.

    Images are ``size_hw`` (height, width) pixels; ``sensors`` are channel names, None: the whole rig. ``on_progress``
    gets (logs done, logs in all). A folder that an equal call left unfinished is continued, a finished one is left
    as it is. DataError: arguments out of range, or ``out`` holds anything else.
    """
    _check(logs=logs, seed=seed, split=split, rate=rate, size_hw=size_hw, sensors=sensors, duration_s=duration_s)
    if logs_per_town < 1 or (workers is not None and workers < 1):
        raise DataError(f"expected at least 1 log a town and 1 worker, found {logs_per_town} and {workers}")
    channels = tuple(c for c in CHANNELS if sensors is None or c in sensors)
    jobs = [
        LogJob(Path(out), split, seed, i, i // logs_per_town, rate, (size_hw[0], size_hw[1]), channels, duration_s)
        for i in range(logs)
    ]
    folder = _Folder(Path(out), split)
    if folder.open(_job_record(jobs[0], logs=logs, logs_per_town=logs_per_town)):
        return folder.out
    pending = [job for job in jobs if not folder.part(job.index).exists()]
    for done, (index, rows) in enumerate(_record(pending, workers or os.cpu_count() or 1), logs - len(pending) + 1):
        write_json(folder.part(index), rows)
        if on_progress is not None:
            on_progress(done, logs)
    folder.finish(channels, logs)
    return folder.out


@dataclass(frozen=True)
class _Folder:
    out: Path
    split: str

    @property
    def tables(self) -> Path:
        return self.out / f"v1.0-{self.split}"

    def part(self, index: int) -> Path:
        return self.out / _PARTIAL / f"log-{index:05d}.json"

    def open(self, record: Row) -> bool:
        """Claim the folder for a job; True when that job is finished already. DataError: it holds something else."""
        if self.out.exists() and not self.out.is_dir():
            raise DataError(f"expected a folder or nothing at {self.out}, found a file")
        path = self.out / JOB_FILE
        if path.is_file():
            found = json.loads(path.read_text())
            if found != record:
                names = sorted(k for k in {*found, *record} if found.get(k) != record.get(k))
                differs = ", ".join(f"{name} {found.get(name)} (asked: {record.get(name)})" for name in names)
                raise DataError(f"expected an empty folder at {self.out}, found a data set with {differs}")
            return self.tables.exists()
        if self.out.exists() and any(self.out.iterdir()):
            first = sorted(p.name for p in self.out.iterdir())[0]
            raise DataError(f"expected an empty folder or none at {self.out}, found {first} in it")
        write_json(path, record)
        return False

    def finish(self, channels: tuple[str, ...], logs: int) -> None:
        """Join the logs' rows to tables, show them in one step, and drop the parts."""
        tables: dict[str, list[Row]] = {name: [] for name in TABLES}
        tables |= fixed_tables(channels)
        for index in range(logs):
            for name, rows in json.loads(self.part(index).read_text()).items():
                tables.setdefault(name, []).extend(rows)
        tables["map"] = _map_rows(tables["log"])
        staged = self.out / _PARTIAL / "tables"
        for name, rows in tables.items():
            write_json(staged / f"{name}.json", rows)
        staged.replace(self.tables)
        shutil.rmtree(self.out / _PARTIAL)


def _map_rows(logs: list[Row]) -> list[Row]:
    by_location: dict[str, list[str]] = {}
    for row in logs:
        by_location.setdefault(row["location"], []).append(row["token"])
    return [
        {
            "category": "semantic_prior",
            "token": map_token(location),
            "filename": f"maps/{map_token(location)}.png",
            "log_tokens": tokens,
        }
        for location, tokens in by_location.items()
    ]


def _record(jobs: list[LogJob], workers: int) -> Iterator[tuple[int, dict[str, list[Row]]]]:
    """Each job's rows as it finishes, in any order."""
    if min(workers, len(jobs)) <= 1:
        for job in jobs:
            yield job.index, write_log(job)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), context, initializer=_die_with_parent) as pool:
        running = {pool.submit(write_log, job): job.index for job in jobs}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _die_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever; it ends instead."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _job_record(job: LogJob, *, logs: int, logs_per_town: int) -> Row:
    return {
        "writer": "sceneminer synth",
        "format": FORMAT,
        "logs": logs,
        "seed": job.seed,
        "split": job.split,
        "rate": job.rate,
        "size_hw": list(job.size_hw),
        "sensors": list(job.channels),
        "duration_s": job.duration_s,
        "logs_per_town": logs_per_town,
    }


def _check(
    *,
    logs: int,
    seed: int,
    split: str,
    rate: str,
    size_hw: tuple[int, int],
    sensors: tuple[str, ...] | None,
    duration_s: float,
) -> None:
    if not 1 <= logs <= 9999:
        raise DataError(f"expected 1 to 9999 logs, found {logs}")
    if seed < 0:
        raise DataError(f"expected a seed from 0 on, found {seed}")
    if split not in get_args(Split):
        raise DataError(f"expected split {', '.join(get_args(Split))}, found {split!r}")
    if rate not in get_args(Rate):
        raise DataError(f"expected rate {' or '.join(get_args(Rate))}, found {rate!r}")
    if min(size_hw) < 16 or max(size_hw) > 4096:
        raise DataError(f"expected an image size of 16 to 4096 pixels a side, found {size_hw[0]}x{size_hw[1]}")
    unknown = [name for name in sensors or () if name not in CHANNELS]
    if unknown or sensors == ():
        raise DataError(f"expected sensors among {', '.join(CHANNELS)}; found {', '.join(unknown) or 'none'}")
    if not 1.0 <= duration_s <= 600.0:
        raise DataError(f"expected 1 to 600 seconds a log, found {duration_s}")
