"""When the measurements of a recording were taken: by the sensors' own stamps, else by the recorder's log times."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from sceneminer.data.adapters.mcap_messages import stamp_ns_of
from sceneminer.data.adapters.mcap_records import Channel
from sceneminer.data.errors import Issue

_NEAR_NS = 10 * 10**9
"""Stamps further from their log times are on another clock, or none."""
_LONGEST_DRIVE_US = 12 * 3600 * 1_000_000
_NONE = -(2**62)


@dataclass(frozen=True, eq=False)
class Messages:
    """The messages of one topic over all files of a log; ``data`` has those that were read on opening."""

    channel: Channel
    log_ns: Int[ndarray, "n"]
    file: Int[ndarray, "n"]
    number: Int[ndarray, "n"]
    """In its topic and file."""
    data: Mapping[int, bytes]


@dataclass(frozen=True)
class Clock:
    """``stamped``: sensors' stamps count. Where they were only sampled, ``delays_ns`` has what log times lag by."""

    stamped: bool
    delays_ns: Mapping[str, int]
    issues: tuple[Issue, ...]

    def moment_us(self, stamp_ns: int | None, log_ns: int) -> int:
        """The time of one message by its stamp, where that counts and is near the log time."""
        near = self.stamped and stamp_ns is not None and abs(log_ns - stamp_ns) <= _NEAR_NS
        return (stamp_ns if near and stamp_ns is not None else log_ns) // 1000


def find_clock(topics: Mapping[str, Messages]) -> Clock:
    """One clock for the whole log: stamps, where half of every sensor's are near their log times."""
    delays: dict[str, int] = {}
    for topic, messages in topics.items():
        rows = list(messages.data)
        delay = messages.log_ns[rows] - _stamps(messages, rows)
        near = delay[np.abs(delay) <= _NEAR_NS]
        if 2 * len(near) < max(len(rows), 1):
            reason = "expected stamps within 10 s of the log times, found others or none; log times are taken for all"
            return Clock(False, {}, (Issue("odd_time", topic, reason, max(len(rows) - len(near), 1)),))
        if len(rows) < len(messages.log_ns):
            delays[topic] = int(np.median(near))
    issues = tuple(
        Issue(
            "odd_time",
            topic,
            f"expected to read all stamps, found too much to decompress; times are log times less {delay / 1e6:.0f} ms",
            len(topics[topic].log_ns),
        )
        for topic, delay in delays.items()
    )
    return Clock(True, delays, issues)


def times_us(clock: Clock, topic: str, messages: Messages) -> tuple[Int[ndarray, "n"], list[Issue]]:
    """When each message's measurement was taken, in the order of the messages."""
    log_ns = messages.log_ns
    if not clock.stamped:
        return log_ns // 1000, []
    if topic in clock.delays_ns:
        return (log_ns - clock.delays_ns[topic]) // 1000, []
    stamps = _stamps(messages, range(len(log_ns)))
    near = np.abs(log_ns - stamps) <= _NEAR_NS
    issues = []
    if not np.all(near):
        reason = "expected stamps within 10 s of the log times, found others or none; log times are taken for these"
        issues.append(Issue("odd_time", topic, reason, int(np.sum(~near))))
    return np.where(near, stamps, log_ns) // 1000, issues


def _stamps(messages: Messages, rows: Sequence[int]) -> Int[ndarray, "k"]:
    found = (stamp_ns_of(messages.channel, messages.data[k]) if k in messages.data else None for k in rows)
    return np.array([_NONE if s is None or abs(s) > 2**62 else s for s in found], np.int64)


def in_order(topic: str, times: Int[ndarray, "n"]) -> tuple[Int[ndarray, "k"], list[Issue]]:
    """Which measurements are kept, by time: each time once, none half a day from the others."""
    near = np.abs(times - int(np.median(times))) <= _LONGEST_DRIVE_US
    rows = np.flatnonzero(near)
    kept = rows[np.unique(times[rows], return_index=True)[1]]
    issues = []
    if not np.all(near):
        reason = "expected times within 12 hours of the others, found others; left out"
        issues.append(Issue("odd_time", topic, reason, int(np.sum(~near))))
    if len(kept) < len(rows):
        reason = "expected each time once, found repeats; the first is kept"
        issues.append(Issue("odd_time", topic, reason, len(rows) - len(kept)))
    return kept, issues
