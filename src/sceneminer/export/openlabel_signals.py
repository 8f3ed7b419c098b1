"""What the index says of an interval, in OpenLABEL: tags, when they hold, and risk over time and at its worst."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from sceneminer.export.card import ClipCard, Why, read_cards
from sceneminer.export.interval import Interval
from sceneminer.export.openlabel_words import frame_intervals, number, text
from sceneminer.export.origin import clean
from sceneminer.export.words import SHOWN_FROM
from sceneminer.index.search import Index
from sceneminer.index.where import quote
from sceneminer.labels.prompts import TAGS

NEAR_US = 100_000
"""The risk curve has ten values a second; a frame takes the nearest within this."""


def cards_of(index: Index, interval: Interval) -> tuple[ClipCard, ...]:
    """The clips that lie in an interval, in order of time; where none does, its best clip, if that is still there."""
    item = interval.item
    inside = f"log_id = {quote(clean(item.log_id))} AND start_us >= {item.start_us} AND end_us <= {item.end_us}"
    ids = [row["clip_id"] for row in index.store.read("clips", columns=["clip_id"], where=inside).to_pylist()]
    if not ids:
        return () if interval.card is None else (interval.card,)
    return tuple(sorted(read_cards(index, ids).values(), key=lambda card: (card.start_us, card.clip_id)))


def tag_elements(
    index: Index, interval: Interval, times_us: Int[ndarray, "t"], *, ontology: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tags of the interval as a whole, and contexts that say in which frames each holds.

    A tag of the model holds in a clip from probability ``SHOWN_FROM`` on; one of rules where they say so. A tag has
    no frames in OpenLABEL, a context has.
    """
    cards = cards_of(index, interval)
    tags: dict[str, Any] = {}
    contexts: dict[str, Any] = {}
    for source in ("model", "rules"):
        for tag in TAGS:
            holds = [card for card in cards if _holds(card, tag, source)]
            if not holds:
                continue
            rows = np.flatnonzero(_within(holds, times_us))
            data: dict[str, Any] = {"text": [text("source", source)]}
            if source == "model":
                data["num"] = [number("probability", max(card.tags[tag] or 0.0 for card in holds))]
            uid = str(len(tags))
            tags[uid] = {"type": tag, "ontology_uid": ontology, "tag_data": data}
            context = {"name": tag, "type": tag, "ontology_uid": ontology, "context_data": data}
            contexts[uid] = context | {"frame_intervals": frame_intervals(rows)}
    return tags, contexts


def risk_action(
    interval: Interval, times_us: Int[ndarray, "t"], frames: Mapping[str, dict[str, Any]], *, ontology: str
) -> dict[str, Any]:
    """One action that lasts while the risk from tracks is known; its value is put into each frame."""
    curve = interval.frames
    known = curve.filter(curve["risk_tracks"].is_valid()) if curve.num_rows else curve
    if known.num_rows == 0:
        return {}
    at_us = known["time_us"].to_numpy()
    near = np.abs(at_us[None, :] - times_us[:, None]).argmin(1)
    rows = np.flatnonzero(np.abs(at_us[near] - times_us) <= NEAR_US)
    values = known.select(["risk_tracks", "risk_tracks_agent"]).to_pylist()
    kept = [int(row) for row in rows if math.isfinite(values[near[row]]["risk_tracks"])]
    for row in kept:
        value = values[near[row]]
        data: dict[str, Any] = {"num": [number("risk", value["risk_tracks"])]}
        if value["risk_tracks_agent"] is not None:
            data["text"] = [text("agent", value["risk_tracks_agent"])]
        frames[str(row)]["actions"] = {"0": {"action_data": data}}
    spans = frame_intervals(np.array(kept, np.int64))
    pointers = {"risk": {"type": "num", "frame_intervals": spans}}
    action = {"name": "risk from tracks", "type": "risk", "ontology_uid": ontology, "frame_intervals": spans}
    return {"0": action | {"action_data_pointers": pointers}} if kept else {}


def risk_events(
    index: Index, interval: Interval, times_us: Int[ndarray, "t"], uids: Mapping[str, str], *, ontology: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The worst instant of each clip: an event of its measure, and a relation to the object that is behind it.

    ``uids`` are objects' uids by track id. Neighbouring clips that name the same instant are one event.
    """
    worst = {(c.why.agent, c.why.time_us, c.why.measure): c for c in cards_of(index, interval) if c.explained}
    events: dict[str, Any] = {}
    relations: dict[str, Any] = {}
    for uid, card in enumerate(worst.values()):
        why = card.why
        assert why.time_us is not None and why.measure is not None and why.agent is not None
        row = int(np.abs(times_us - why.time_us).argmin())
        spans = [{"frame_start": row, "frame_end": row}]
        events[str(uid)] = {
            "name": f"highest risk of {clean(card.clip_id)}",
            "type": why.measure,
            "ontology_uid": ontology,
            "frame_intervals": spans,
            "event_data": _event_data(card, why),
        }
        if card.risk_source == "tracks" and why.agent in uids:
            subject, other = {"uid": str(uid), "type": "event"}, {"uid": uids[why.agent], "type": "object"}
            relation = {"name": "involves", "type": "involves", "ontology_uid": ontology, "frame_intervals": spans}
            relations[str(uid)] = relation | {"rdf_subjects": [subject], "rdf_objects": [other]}
    return events, relations


def _event_data(card: ClipCard, why: Why) -> dict[str, Any]:
    numbers = [number("risk", card.risk or 0.0), number("time_us", why.time_us or 0)]
    if why.value is not None and math.isfinite(why.value):
        numbers.append(number(why.measure or "value", why.value))
    said = {"agent": why.agent, "category": why.category, "source": card.risk_source}
    return {"num": numbers, "text": [text(name, value) for name, value in said.items() if value is not None]}


def _holds(card: ClipCard, tag: str, source: str) -> bool:
    if source == "rules":
        return card.label_tags[tag] is True
    probability = card.tags[tag]
    return probability is not None and probability >= SHOWN_FROM


def _within(cards: list[ClipCard], times_us: Int[ndarray, "t"]) -> ndarray:
    return np.logical_or.reduce([(times_us >= card.start_us) & (times_us <= card.end_us) for card in cards])
