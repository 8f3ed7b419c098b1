"""Mining a root into an index: plan units, skip what is committed, run the rest here, commit together, refresh."""

import copy
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pyarrow as pa

from sceneminer.data.clip import Clip
from sceneminer.data.errors import DataError
from sceneminer.data.open import open_logs
from sceneminer.data.options import LogSet, OpenOptions
from sceneminer.index.errors import IndexFault
from sceneminer.index.hardness import refresh_hardness
from sceneminer.index.quarantine import Quarantine, Quarantined
from sceneminer.index.schema import EMPTY_UNITS_SCHEMA, UNIT_TABLES
from sceneminer.index.store import Store, writer_lock
from sceneminer.mine.report import MineReport, report_of
from sceneminer.mine.rows import UnitRows, mine_unit
from sceneminer.mine.target import log_rows, open_or_create, require_ours, with_index_heads
from sceneminer.mine.units import MiningPlan, Unit, units_of, without_endless
from sceneminer.model.fingerprint import stream_fingerprint
from sceneminer.model.scene_model import SceneModel
from sceneminer.model.tower import NumericMode
from sceneminer.model.zoo import TINY, resolve_model

COMMIT_CLIPS = 1024
COMMIT_SECONDS = 15.0
Executor = Callable[[list[Unit], SceneModel, MiningPlan, str, int], Iterator[UnitRows]]


@dataclass(frozen=True)
class Progress:
    """Where a run is; ``clips_total`` counts what was left to do when it began."""

    clips_done: int
    clips_total: int
    log: str


def mine(
    root: Path | str,
    out: Path | str,
    *,
    options: OpenOptions | None = None,
    plan: MiningPlan | None = None,
    model: str | Path | SceneModel = TINY,
    precision: NumericMode | None = None,
    workers: int = 2,
    retry_quarantined: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    executor: Executor | None = None,
) -> MineReport:
    """Mine the logs under ``root`` into the index at ``out``; a second call continues or adds.

    Raises DataError where nothing under ``root`` can be used, IndexFault where the index was made with another model
    or plan, CheckpointError for a model that cannot be loaded.
    """
    options, plan, folder = options or OpenOptions(), plan or MiningPlan(), Path(out)
    found = without_endless(open_logs(root, options), plan)
    require_ours(folder)
    if not found.logs:
        raise _none_usable(found, root, folder)
    scene_model, source = _load(model, precision, plan)
    fingerprint = stream_fingerprint(scene_model)
    with writer_lock(folder):
        store = open_or_create(folder, scene_model, source, fingerprint, plan)
        scene_model = with_index_heads(scene_model, store, fingerprint)
        quarantine = Quarantine(folder)
        _name_refused(quarantine, found)
        units = [unit for log in found.logs for unit in units_of(log, plan, stream_fingerprint=fingerprint)]
        _make_way(store, quarantine, units, retry=retry_quarantined)
        committed = store.committed_units()
        store.drop_uncommitted(committed)
        store.upsert("logs", "log_id", log_rows(found.logs, Path(root), options))
        todo = [unit for unit in units if unit.unit_id not in committed]
        watch = _Watch(todo, on_progress)
        run = executor or partial(run_here, on_clip=watch.clip)
        done = _commit_all(run(todo, scene_model, plan, fingerprint, workers), store, quarantine, watch)
        refresh_hardness(store)
        store.optimize()
        return report_of(found, units, todo, done=done, quarantine=quarantine, index_clips=store.rows("clips"))


def run_here(
    units: list[Unit],
    model: SceneModel,
    plan: MiningPlan,
    fingerprint: str,
    workers: int,
    on_clip: Callable[[Clip], None] | None = None,
) -> Iterator[UnitRows]:
    """The local executor: units one after another in this process, decode threads ahead of the model."""
    for unit in units:
        yield mine_unit(unit, model, plan, stream_fingerprint=fingerprint, workers=workers, on_clip=on_clip)


class _Watch:
    """Counts clips for whoever shows progress: each as it is done where the executor says so, else unit by unit."""

    def __init__(self, todo: list[Unit], on_progress: Callable[[Progress], None] | None):
        self.on_progress, self.total = on_progress, sum(len(unit.clips) for unit in todo)
        self.names = {unit.log.log_id: unit.log.name for unit in todo}
        self.before, self.within = 0, 0

    def clip(self, clip: Clip) -> None:
        self.within += 1
        self._show(self.names[clip.log_id])

    def unit(self, unit: Unit) -> None:
        self.before, self.within = self.before + len(unit.clips), 0
        self._show(unit.log.name)

    def _show(self, name: str) -> None:
        if self.on_progress:
            self.on_progress(Progress(self.before + self.within, self.total, name))


def _load(model: str | Path | SceneModel, precision: NumericMode | None, plan: MiningPlan) -> tuple[SceneModel, str]:
    if isinstance(model, SceneModel):
        # A shallow copy: the plan sets the spacing of frames, and the caller's model keeps its own.
        loaded, source = copy.copy(model), str(getattr(model.tower, "folder", model.tower.name))
    else:
        folder = resolve_model(model)
        loaded = SceneModel.from_pretrained(folder, numeric_mode=precision)
        source = str(Path(model).resolve()) if Path(model).is_dir() else str(model)
    period_us = plan.length_us // loaded.config.frames_per_clip
    # Frames are spread over the whole clip; their spacing is part of the stream and of its fingerprint.
    loaded.config = replace(loaded.config, frame_period_us=period_us)
    return loaded, source


def _commit_all(
    results: Iterator[UnitRows],
    store: Store,
    quarantine: Quarantine,
    watch: _Watch,
) -> Counter[str]:
    """Write units as they come, several together; what is finished is written even when interrupted.

    Units leave ``waiting`` before they are written: a commit that is interrupted or fails half-way is never repeated
    here, its rows are dropped and mined again by the next run.
    """
    done: Counter[str] = Counter()
    waiting: list[UnitRows] = []
    since = time.monotonic()
    try:
        for rows in results:
            waiting.append(rows)
            done.update(units=1, clips=rows.clips, images=rows.images)
            watch.unit(rows.unit)
            if sum(w.clips for w in waiting) >= COMMIT_CLIPS or time.monotonic() - since > COMMIT_SECONDS:
                ready, waiting = waiting, []
                _commit(store, quarantine, ready)
                since = time.monotonic()
    finally:
        _commit(store, quarantine, waiting)
    return done


def _commit(store: Store, quarantine: Quarantine, units: list[UnitRows]) -> None:
    """Side tables first, ``clips`` last: a unit exists from the moment its clips do."""
    if not units:
        return
    quarantine.replace(
        [(rows.unit.log.log_id, rows.unit.unit_id) for rows in units],
        [line for rows in units for line in rows.quarantined],
    )
    for name in UNIT_TABLES:
        store.append(name, pa.concat_tables([rows.tables[name] for rows in units]))
    empty = [{"unit_id": r.unit.unit_id, "log_id": r.unit.log.log_id} for r in units if r.clips == 0]
    store.append("empty_units", pa.Table.from_pylist(empty, schema=EMPTY_UNITS_SCHEMA))
    store.append("clips", pa.concat_tables([rows.tables["clips"] for rows in units]))


def _none_usable(found: LogSet, root: Path | str, folder: Path) -> DataError:
    """What to raise where no log can be used; each is named in the quarantine all the same."""
    why = "; ".join(f"{name}: {issue.reason}" for name, issue in found.refused[:5]) or "no log at all"
    if found.refused:
        with writer_lock(folder):
            _name_refused(Quarantine(folder), found)
        why += f"; all are named in {folder / 'quarantine.jsonl'}"
    return DataError(f"expected at least one usable log under {root}, found none ({why})")


def _make_way(store: Store, quarantine: Quarantine, units: list[Unit], *, retry: bool) -> None:
    """Remove what is to be mined anew. IndexFault where a log has changed and nobody said to replace it."""
    outdated, ids = _outdated(store, units), {unit.unit_id for unit in units}
    if outdated and not retry:
        raise IndexFault(_changed(sorted(set(outdated.values()))))
    # Only what this run can mine again: other roots may lie elsewhere today.
    _forget_units(store, outdated.keys() | (quarantine.units() & ids if retry else set()))
    # Units that are no more, also those that a run cut short at this point has left named.
    logs = {unit.log.log_id for unit in units}
    gone = [line for line in quarantine.lines if line.unit_id and line.log_id in logs and line.unit_id not in ids]
    quarantine.replace([(line.log_id, line.unit_id) for line in gone], [])


def _outdated(store: Store, units: list[Unit]) -> dict[str, str]:
    """Units in the index, with their log, of logs that have since been given other cameras or times."""
    logs, ids = {unit.log.log_id for unit in units}, {unit.unit_id for unit in units}
    return {unit: log for unit, log in store.committed_units().items() if log in logs and unit not in ids}


def _changed(log_ids: list[str]) -> str:
    named = ", ".join(log_ids[:3]) + (f" and {len(log_ids) - 3} more" if len(log_ids) > 3 else "")
    return (
        f"expected the cameras and times that the index has of {named}, found others: mine into another folder, "
        "or replace what is there by --retry-quarantined"
    )


def _forget_units(store: Store, units: set[str]) -> None:
    for unit in sorted(units):
        for name in ("clips", "empty_units", *UNIT_TABLES):
            store.delete(name, f"unit_id = '{unit}'")


def _name_refused(quarantine: Quarantine, found: LogSet) -> None:
    """Say which logs were refused. Refusals of earlier roots stand; those of logs that open now do not."""
    names = {log.name for log in found.logs} | {name for name, _ in found.refused}
    before = [line for line in quarantine.lines if line.what == "log" and not line.unit_id]
    now = [
        Quarantined(issue.subject or name, "", "log", name, issue.kind, issue.reason) for name, issue in found.refused
    ]
    quarantine.replace(
        [(line.log_id, "") for line in before], [*(line for line in before if line.subject not in names), *now]
    )
