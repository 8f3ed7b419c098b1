"""From a filter to the clips that meet it: as SQL where that is enough, as positions where agents are asked of."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from sceneminer.index.agent_terms import Condition, Either, Untold
from sceneminer.index.moments import Moments, iter_moments
from sceneminer.index.snapshot import Snapshot
from sceneminer.index.store import Store
from sceneminer.index.where_plan import All, Nobody, OfClip, OneOf, Plan, Somebody, parse_plan

_KEYS = ["log_id", "start_us", "end_us"]


@dataclass(frozen=True, eq=False)
class Resolved:
    """Clips that meet a filter: ``sql`` alone, or ``positions`` of one version of the table."""

    sql: str | None = None
    positions: Int[ndarray, "k"] | None = None
    snapshot: Snapshot | None = None
    condition: Condition | None = None
    """What is asked of agents, for saying who met it and when; None where nothing is."""


def resolve(store: Store, where: str | None, *, added: Mapping[str, str]) -> Resolved:
    """The clips that meet a filter, or all; QueryError where the filter is not allowed."""
    if where is None:
        return Resolved()
    plan = parse_plan(where, added=added)
    if isinstance(plan, OfClip):
        return Resolved(sql=plan.sql)
    clips = _Clips(store)
    met = clips.evaluate(plan, np.ones(len(clips), bool))
    asked = tuple(_positive(plan))
    return Resolved(None, np.flatnonzero(met), clips.snapshot, Either(asked) if asked else None)


def moments_of(store: Store, condition: Condition, logs: frozenset[str]) -> dict[str, Moments]:
    """Who met a condition and when, in some logs."""
    found: dict[str, list[Moments]] = {}
    for moments in iter_moments(store, condition, logs=logs):
        found.setdefault(moments.log_id, []).append(moments)
    return {log: _joined(parts) for log, parts in found.items()}


def _joined(parts: list[Moments]) -> Moments:
    if len(parts) == 1:
        return parts[0]
    times = np.concatenate([part.time_us for part in parts])
    order = np.argsort(times, kind="stable")
    tracks = np.array([track for part in parts for track in part.track_id])[order]
    categories = np.array([word for part in parts for word in part.category])[order]
    return Moments(parts[0].log_id, times[order], tuple(tracks.tolist()), tuple(categories.tolist()))


def _positive(plan: Plan):
    match plan:
        case Somebody(condition):
            yield condition
        case All(parts) | OneOf(parts):
            for part in parts:
                yield from _positive(part)


class _Clips:
    """One version of ``clips``, its logs and times, and the answers of plans on it."""

    def __init__(self, store: Store):
        self.store, self.snapshot = store, store.snapshot("clips")
        rows = self.snapshot.read(_KEYS)
        self.start_us, self.end_us = (rows[name].to_numpy() for name in ("start_us", "end_us"))
        names = rows["log_id"].combine_chunks().dictionary_encode()
        self.log, self.names = names.indices.to_numpy(), names.dictionary.to_pylist()
        self.by_start = np.lexsort((self.start_us, self.log))
        self.bounds = np.searchsorted(self.log[self.by_start], np.arange(len(self.names) + 1))

    def __len__(self) -> int:
        return len(self.log)

    def evaluate(self, plan: Plan, asked: Bool[ndarray, "n"]) -> Bool[ndarray, "n"]:
        """Which of the asked clips meet the plan; what is about the clip alone first, since it is cheap."""
        met = np.zeros(len(self), bool)
        match plan:
            case OfClip(sql):
                met[self.snapshot.matching(sql)] = True
                return met & asked
            case Somebody(condition):
                return self._with(condition, asked) & asked
            case Nobody(condition):
                # Where a log has tracks and poses there is a risk, also on an empty street.
                known = self.evaluate(OfClip("(risk_tracks IS NOT NULL)"), asked)
                return known & asked & ~self._with(Either((condition, Untold(condition))), asked)
            case All(parts):
                met = asked.copy()
                for part in sorted(parts, key=lambda p: not isinstance(p, OfClip)):
                    met = self.evaluate(part, met)
                return met
            case OneOf(parts):
                for part in parts:
                    met |= self.evaluate(part, asked & ~met)
                return met

    def _with(self, condition: Condition, asked: Bool[ndarray, "n"]) -> Bool[ndarray, "n"]:
        """Clips in which somebody meets the condition at some instant."""
        met = np.zeros(len(self), bool)
        logs = np.unique(self.log[asked])
        if not len(logs):
            return met
        number = {self.names[k]: k for k in logs.tolist()}
        for moments in iter_moments(self.store, condition, logs=frozenset(number)):
            if moments.log_id not in number:
                continue
            k = number[moments.log_id]
            mine = self.by_start[self.bounds[k] : self.bounds[k + 1]]
            low = np.searchsorted(moments.time_us, self.start_us[mine], "left")
            high = np.searchsorted(moments.time_us, self.end_us[mine], "right")
            met[mine] |= low < high
        return met
