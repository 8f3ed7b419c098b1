"""A Selection as a self-contained nuScenes v1.0 folder of just its intervals, each a scene of its own.

Layout and columns: nuScenes schema (nuscenes-devkit, docs/schema_nuscenes.md). Tokens are digests of what they name,
so the same Selection of the same logs gives the same bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sceneminer.data.errors import DataError
from sceneminer.data.hdmap import HdMap
from sceneminer.data.log import Log
from sceneminer.data.synth.tables import CATEGORIES, TABLES, Row, write_json
from sceneminer.data.track import Track
from sceneminer.export.card import read_cards
from sceneminer.export.formats import ExportReport, Say
from sceneminer.export.nuscenes_boxes import category_name, vocabulary
from sceneminer.export.nuscenes_map import MapWriter
from sceneminer.export.nuscenes_media import MediaWriter
from sceneminer.export.nuscenes_scene import VERSION, SceneRows, SceneSource, open_source, scene_rows
from sceneminer.export.origin import clean, read_origin
from sceneminer.export.reopen import open_indexed_log
from sceneminer.export.sources import write_sources
from sceneminer.export.whole import new_folder
from sceneminer.export.words import risk_words
from sceneminer.index.errors import IndexFault, QueryError
from sceneminer.index.search import Index
from sceneminer.index.selection import Selected, Selection

_FIRST_DATE_US = 10**15


def export_nuscenes(
    index: Index, selection: Selection, out: Path, *, link: bool = False, say: Say | None = None
) -> ExportReport:
    """A new folder ``out`` with ``v1.0-sceneminer``, ``samples``, ``sweeps``, ``maps`` and whose the recordings are.

    ``link``: media are hard links to the recordings' own files where that is possible. IndexFault where ``out`` is
    there already. What nuScenes has no words for (lens distortion, a fisheye) is named in the report.
    """
    with new_folder(out) as folder:
        work = _Work(index, MediaWriter(folder, link=link))
        done = 0
        for log, items in _iter_logs(index, selection, work.left_out):
            work.add(log, items)
            done += len(items)
            if say is not None:
                say(f"{done} of {len(selection.items)} intervals")
        work.left_out += [*_same_starts(list(work.scenes.values())), *_without_labels(work)]
        _write_tables(folder / VERSION, work)
        files = work.media.files + len(list((folder / VERSION).iterdir()))
        files += write_sources(folder, read_origin(index, selection), selection)
    left_out = (*work.left_out, *work.media.left_out(), *work.maps.left_out)
    return ExportReport(out, len(work.scenes), files, left_out)


@dataclass
class _Work:
    """An export while its logs are gone through, one after the other."""

    index: Index
    media: MediaWriter
    maps: MapWriter = field(init=False)
    scenes: dict[int, SceneRows] = field(default_factory=dict)
    """By place in the Selection."""
    logs: list[Row] = field(default_factory=list)
    categories: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.maps = MapWriter(self.media)

    def add(self, log: Log, items: list[tuple[int, Selected]]) -> None:
        source = open_source(log, self._tracks(log))
        found: dict[int, SceneRows] = {}
        for rank, item in items:
            rows = scene_rows(source, item, self.media, description=self._description(item, log))
            if isinstance(rows, str):
                self.left_out.append((_name(item), rows))
            else:
                found[rank] = rows
        if found:
            self.scenes |= found
            self._add_log(source)

    def _add_log(self, source: SceneSource) -> None:
        log = source.log
        location = self.maps.add(log, self._map(log), source.log_token)
        date = datetime.fromtimestamp(log.start_us / 1e6, UTC) if log.start_us >= _FIRST_DATE_US else None
        self.logs.append(
            {
                "token": source.log_token,
                "logfile": clean(log.name),
                "vehicle": "",
                "date_captured": f"{date:%Y-%m-%d}" if date else "",
                "location": location,
                "licence": None if log.licence is None else clean(log.licence),
                "source_log_id": log.log_id,
                "source_dataset": log.dataset,
            }
        )
        self.categories.update(category_name(track) for track in source.tracks)
        for track in source.tracks:
            self.attributes.update(clean(name) for names in track.attributes for name in names)
        self.left_out += _unsaid(log)

    def _tracks(self, log: Log) -> tuple[Track, ...]:
        try:
            return log.store.read_tracks() if log.has_tracks else ()
        except DataError as error:
            self.left_out.append((f"{log.name} tracks", str(error)))
            return ()

    def _map(self, log: Log) -> HdMap | None:
        try:
            return log.store.read_map() if log.has_map else None
        except DataError as error:
            self.left_out.append((f"{log.name} map", str(error)))
            return None

    def _description(self, item: Selected, log: Log) -> str:
        """The log's own words, and why the interval was chosen."""
        score = "no score" if item.score is None else f"score {item.score:.3f}"
        try:
            card = read_cards(self.index, [clean(item.clip_id)])[clean(item.clip_id)]
            why = f"{score}, {risk_words(card)}"
        except QueryError:
            why = f"{score}, its clip is no longer in the index"
        return clean(f"{log.description} [chosen by sceneminer: {why}]".strip())


def _iter_logs(
    index: Index, selection: Selection, left_out: list[tuple[str, str]]
) -> Iterator[tuple[Log, list[tuple[int, Selected]]]]:
    """Each log once with its items and their places in the Selection; what can't be used is said."""
    by_log: dict[str, dict[tuple[int, int], tuple[int, Selected]]] = {}
    for rank, item in enumerate(selection.items):
        spans = by_log.setdefault(clean(item.log_id), {})
        if spans.setdefault((item.start_us, item.end_us), (rank, item))[0] != rank:
            left_out.append((_name(item), "expected each interval once, found it in the selection before"))
    for log_id, spans in by_log.items():
        try:
            yield open_indexed_log(index, log_id), list(spans.values())
        except IndexFault as error:
            left_out += [(_name(item), str(error)) for _, item in spans.values()]


def _write_tables(folder: Path, work: _Work) -> None:
    """All 13 tables, scenes in the order of the Selection, and the sweeps' labels where there are any."""
    tables: dict[str, dict[str, Row]] = {name: {} for name in TABLES}
    for rows in (work.scenes[rank] for rank in sorted(work.scenes)):
        for name, found in rows.tables.items():
            tables.setdefault(name, {}).update((row["token"], row) for row in found)
        for name, data in rows.labels.items():
            work.media.write(name, data)
    for name, found in vocabulary(work.categories, work.attributes).items():
        tables[name].update((row["token"], row) for row in found)
    tables["log"].update((row["token"], row) for row in work.logs)
    tables["map"].update((row["token"], row) for row in work.maps.rows())
    for name, found in tables.items():
        write_json(folder / f"{name}.json", list(found.values()))


def _without_labels(work: _Work) -> list[tuple[str, str]]:
    """Drop the point labels where classes that nuScenes does not have are used: the devkit would not open both."""
    unknown = sorted(work.categories - {name for name, _ in CATEGORIES})
    labelled = [rows for rows in work.scenes.values() if rows.labels]
    if not unknown or not labelled:
        return []
    for rows in labelled:
        rows.labels.clear()
        del rows.tables["lidarseg"]
    reason = f"expected nuScenes' own classes beside them, or the devkit does not open; found {', '.join(unknown)}"
    return [(f"point labels of {len(labelled)} scenes", reason)]


def _same_starts(scenes: list[SceneRows]) -> list[tuple[str, str]]:
    """Scenes of overlapping intervals may begin with one keyframe, at which the devkit's ``list_scenes`` stops."""
    starts = {rows.tables["sample"][0]["timestamp"] for rows in scenes}
    if len(starts) == len(scenes):
        return []
    reason = f"expected each scene to start at its own time, found {len(scenes) - len(starts)} that start with another"
    return [("the devkit's list_scenes, which cannot sort them", reason)]


def _unsaid(log: Log) -> list[tuple[str, str]]:
    """What of a log's calibration nuScenes cannot say."""
    found = []
    for name, series in log.series.items():
        cameras = [sensor.camera for sensor in series.calibrations if sensor.camera is not None]
        if any(camera.model == "fisheye" for camera in cameras):
            found.append((f"{log.name} {name}", "a fisheye lens, which nuScenes has no words for: without intrinsics"))
        elif any(any(camera.distortion) for camera in cameras):
            reason = "lens distortion, which nuScenes has no words for: its images are as they are, its matrix is kept"
            found.append((f"{log.name} {name}", reason))
    return found


def _name(item: Selected) -> str:
    return f"{clean(item.log_name)} {item.start_us} to {item.end_us} µs"
