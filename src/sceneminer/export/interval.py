"""An interval of a Selection with its log opened: what the exporters that write recordings read."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from sceneminer import __version__
from sceneminer.data.adapters.video_log import readable
from sceneminer.data.errors import DataError
from sceneminer.data.hdmap import HdMap
from sceneminer.data.log import HELD_US as POSE_HELD_US
from sceneminer.data.log import Log
from sceneminer.data.track import Track
from sceneminer.export.card import ClipCard, read_cards
from sceneminer.export.origin import LogOrigin, Origin, clean
from sceneminer.export.reopen import open_indexed_log
from sceneminer.export.subject import HELD_US, MAX_GAP_US
from sceneminer.export.words import label_tag_names, risk_words, top_tags
from sceneminer.geometry.pose import interpolate_poses
from sceneminer.index.errors import IndexFault, QueryError
from sceneminer.index.schema import FRAMES_SCHEMA
from sceneminer.index.search import Index
from sceneminer.index.selection import Selected, Selection
from sceneminer.index.where import quote
from sceneminer.mine.printable import one_line

MAP_REACH_M = 100.0
"""How far around ego's way the map is exported."""
WORLD, EGO = "world", "ego"
"""Names of the frames that every recording has."""
_TAKEN = frozenset({WORLD, EGO, "tf", "agents", "map", "risk", "about"})
FRAME_COLUMNS = [name for name in FRAMES_SCHEMA.names if name not in ("log_id", "unit_id")]


@dataclass(frozen=True, eq=False)
class Interval:
    """One item and everything recorded in its span."""

    rank: int
    item: Selected
    name: str
    """Safe as a file name, and unique within the Selection."""
    log: Log
    """Only measurements with start_us ≤ time ≤ end_us; poses and ids are the whole log's."""
    tracks: tuple[Track, ...]
    """Those with a box in the span."""
    hdmap: HdMap | None
    card: ClipCard | None
    """The best clip; None where it is gone from the index."""
    frames: pa.Table
    """Ego and risk over time: ``FRAME_COLUMNS`` of the index's table."""
    origin: LogOrigin

    @property
    def focus(self) -> str | None:
        """Track id of the riskiest agent."""
        card = self.card
        return card.why_tracks.agent if card and card.explained and card.risk_source == "tracks" else None

    @property
    def instant_us(self) -> int:
        """The riskiest instant of the best clip where one is known, else the middle."""
        at = self.card.why.time_us if self.card and self.card.explained else None
        inside = at is not None and self.item.start_us <= at <= self.item.end_us
        return at if at is not None and inside else (self.item.start_us + self.item.end_us) // 2

    def box_times_us(self) -> Int[ndarray, "t"]:
        """All times in the span at which any agent is annotated."""
        times = [track.times_us for track in self.tracks]
        every = np.unique(np.concatenate(times)) if times else np.zeros(0, np.int64)
        return every[(every >= self.item.start_us) & (every <= self.item.end_us)]

    def pose_times_us(self) -> Int[ndarray, "t"]:
        """Times in the span at which ego's pose is given or a sensor measured, and the pose is known."""
        if not self.log.has_poses:
            return np.zeros(0, np.int64)
        given = self.log.pose_times_us
        given = given[(given >= self.item.start_us) & (given <= self.item.end_us)]
        measured = [series.times_us for series in self.log.series.values()]
        times = np.unique(np.concatenate([given, self.box_times_us(), *measured]))
        return times[self.log.poses_at(times)[1] <= POSE_HELD_US]

    def ground_m(self) -> float:
        """Height of the ground under ego in the world, the median over the span; 0 where poses are unknown."""
        times = self.pose_times_us()
        return float(np.median(self.log.poses_at(times)[0][:, 2, 3])) if len(times) else 0.0


def iter_intervals(
    index: Index, selection: Selection, origin: Origin, left_out: list[tuple[str, str]]
) -> Iterator[Interval]:
    """Items in order with their logs opened; what cannot be is named in ``left_out``."""

    @lru_cache(maxsize=4)
    def opened(log_id: str) -> tuple[Log, tuple[Track, ...], HdMap | None] | str:
        try:
            log = open_indexed_log(index, log_id)
        except (IndexFault, DataError) as error:
            return str(error)
        return log, _tracks(log, left_out), _map(log, left_out)

    digits = max(4, len(str(len(selection.items))))
    for rank, item in enumerate(selection.items):
        found = opened(clean(item.log_id))
        if isinstance(found, str):
            left_out.append((clean(item.clip_id), found))
            continue
        log, tracks, hdmap = found
        part = log.between(item.start_us, item.end_us + 1)
        near = tuple(t for t in tracks if np.any((t.times_us >= item.start_us) & (t.times_us <= item.end_us)))
        if not near and not any(len(series) for series in part.series.values()):
            left_out.append((clean(item.clip_id), "expected measurements or tracks in this interval, found neither"))
            continue
        offset_ms = (item.start_us - log.start_us) // 1000
        yield Interval(
            rank=rank,
            item=item,
            name=f"{rank:0{digits}d}-{readable(log.name)}+{offset_ms:07d}",
            log=part,
            tracks=near,
            hdmap=_near(hdmap, log, item),
            card=_card(index, item, left_out),
            frames=read_frames(index, item),
            origin=origin.logs[clean(item.log_id)],
        )


def read_frames(index: Index, item: Selected) -> pa.Table:
    """Ego and risk over an interval, ten times a second, in order of time."""
    span = f"time_us >= {item.start_us} AND time_us <= {item.end_us}"
    where = f"log_id = {quote(clean(item.log_id))} AND {span}"
    return index.store.read("frames", columns=FRAME_COLUMNS, where=where).sort_by("time_us")


def boxes_over(
    track: Track, times_us: Int[ndarray, "t"]
) -> tuple[Float[ndarray, "t 4 4"], Float[ndarray, "t 3"], Bool[ndarray, "t"]]:
    """``world_from_box``, size and presence of a track at times: interpolated, or held for ``HELD_US`` at most."""
    poses, held_us = interpolate_poses(track.times_us, track.world_from_box, times_us, max_gap_us=MAX_GAP_US)
    nearest = np.argmin(np.abs(track.times_us[None, :] - times_us[:, None]), axis=1)
    return poses, track.size_lwh_m[nearest], held_us <= HELD_US


def sensor_names(log: Log) -> dict[str, str]:
    """A name for each sensor that is safe in topics, frames and files, and unique among them."""
    found: dict[str, str] = {}
    for name in log.series:
        plain = readable(name).replace(".", "_")
        taken = {*found.values(), *_TAKEN}
        found[name] = next(n for n in (plain, *(f"{plain}-{k}" for k in range(2, 10_000))) if n not in taken)
    return found


def about_lines(interval: Interval, origin: Origin) -> list[str]:
    """What an interval is, why it was chosen and whose it is, a line each; names of others cannot break a line."""
    item, log, of = interval.item, interval.log, interval.origin
    first, last = ((t - log.start_us) / 1e6 for t in (item.start_us, item.end_us))
    parts = ", ".join(f"{name} {_said(value)}" for name, value in item.parts.items() if value is not None)
    lines = [
        f"{log.name}, {first:.1f} to {last:.1f} s",
        f"score {_said(item.score)}" + (f" ({parts})" if parts else ""),
    ]
    if interval.card is not None:
        tags = [f"{tag} {p:.2f}" for tag, p in top_tags(interval.card)]
        lines += [risk_words(interval.card), "tags " + (", ".join(tags) or "none")]
        lines += [f"by rules {', '.join(names)}" for names in [label_tag_names(interval.card)] if names]
    where = ", ".join(text for text in (of.dataset, of.split, of.location) if text)
    lines += [f"data set {where}", f"licence {of.licence or 'not stated'}"]
    lines += [f"description {of.description}"] if of.description else []
    lines += [f"query {json.dumps(clean(dict(origin.query)), ensure_ascii=False, sort_keys=True)}"]
    lines += [f"selection {origin.selection}, index {origin.index_version}, sceneminer {__version__}"]
    return [one_line(clean(line)) for line in lines]


def _said(value: object) -> str:
    return "unknown" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def _card(index: Index, item: Selected, left_out: list[tuple[str, str]]) -> ClipCard | None:
    try:
        return read_cards(index, [clean(item.clip_id)])[clean(item.clip_id)]
    except QueryError:
        left_out.append((clean(item.clip_id), "expected the clip in this index, found it gone: without tags and risk"))
        return None


def _tracks(log: Log, left_out: list[tuple[str, str]]) -> tuple[Track, ...]:
    if not (log.has_tracks and log.has_poses):
        return ()
    try:
        return log.store.read_tracks()
    except DataError as error:
        left_out.append((log.log_id, f"without its tracks: {error}"))
        return ()


def _map(log: Log, left_out: list[tuple[str, str]]) -> HdMap | None:
    if not (log.has_map and log.has_poses):
        return None
    try:
        return log.store.read_map()
    except DataError as error:
        left_out.append((log.log_id, f"without its map: {error}"))
        return None


def _near(hdmap: HdMap | None, log: Log, item: Selected) -> HdMap | None:
    times = np.linspace(item.start_us, item.end_us, 9).astype(np.int64)
    known = log.pose_known(times)
    if hdmap is None or not known.any():
        return None
    way = log.poses_at(times[known])[0][:, :2, 3]
    middle = 0.5 * (way.min(0) + way.max(0))
    reach = 0.5 * float((way.max(0) - way.min(0)).max()) + MAP_REACH_M
    return hdmap.near(float(middle[0]), float(middle[1]), reach)
