"""A clip with its log opened again: the instant to draw, the agents and the map around ego then."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.errors import MediaError
from sceneminer.data.hdmap import HdMap
from sceneminer.data.log import Log
from sceneminer.data.track import Track
from sceneminer.export.card import ClipCard
from sceneminer.export.reopen import open_indexed_log
from sceneminer.geometry.pose import interpolate_poses
from sceneminer.index.search import Index

MAX_GAP_US = 1_500_000
HELD_US = 60_000
"""A box is held this long beyond its track: cameras fire up to a sweep before or after the time of annotations."""


@dataclass(frozen=True, eq=False)
class Subject:
    """What is drawn of a clip."""

    card: ClipCard
    log: Log
    instant_us: int
    """The riskiest instant, or the middle of the clip where nobody comes close."""
    focus: str | None
    """Track id of the riskiest agent."""
    tracks: tuple[Track, ...]
    hdmap: HdMap | None


def open_subject(index: Index, card: ClipCard) -> Subject:
    """Open the clip's log where the index says it lies. IndexFault where it does not lie there any more."""
    log = open_indexed_log(index, card.log_id)
    middle = (card.start_us + card.end_us) // 2
    return Subject(
        card=card,
        log=log,
        instant_us=card.why.time_us if card.explained and card.why.time_us is not None else middle,
        focus=card.why.agent if card.explained and card.risk_source == "tracks" else None,
        tracks=log.store.read_tracks() if log.has_tracks and log.has_poses else (),
        hdmap=_read_map(log) if log.has_poses else None,
    )


def _read_map(log: Log) -> HdMap | None:
    """None also where the map is broken: the picture says so."""
    try:
        return log.store.read_map() if log.has_map else None
    except MediaError:
        return None


def agents_at_us(subject: Subject) -> int:
    """The instant, or the nearest time that has annotations where the instant lies just beyond all of them."""
    if not subject.tracks:
        return subject.instant_us
    first = min(int(track.times_us[0]) for track in subject.tracks)
    last = max(int(track.times_us[-1]) for track in subject.tracks)
    nearest = min(max(subject.instant_us, first), last)
    return nearest if abs(nearest - subject.instant_us) <= HELD_US else subject.instant_us


def boxes_at(track: Track, time_us: int) -> tuple[Float[ndarray, "4 4"], Float[ndarray, "3"]] | None:
    """``world_from_box`` and size of a track at a time; None where it is absent or unseen for long."""
    times = track.times_us
    if not times[0] - HELD_US <= time_us <= times[-1] + HELD_US:
        return None
    pose, held_us = interpolate_poses(times, track.world_from_box, np.array([time_us]), max_gap_us=MAX_GAP_US)
    if held_us[0] > HELD_US:
        return None
    return pose[0], track.size_lwh_m[int(np.argmin(np.abs(times - time_us)))]
