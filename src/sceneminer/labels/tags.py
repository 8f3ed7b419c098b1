"""The 20 tags of each clip, by rules over tracks, map, ego motion and description.

Each rule is one function; its docstring is the definition. True and False are said only where the Log has what the
rule needs; else None. Ideas for the rules: RefAV's atomic functions (Davidson et al. 2025), nuScenes' descriptions.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from sceneminer.data.clip import Clip
from sceneminer.data.hdmap import HdMap
from sceneminer.data.log import Log
from sceneminer.labels import tag_agents, tag_ego, tag_road, tag_words
from sceneminer.labels.prompts import TAGS
from sceneminer.labels.situation import Situation, situation_of

Rule = Callable[[Situation, slice], bool | None]

RULES: Mapping[str, Rule] = {
    "night": tag_words.night,
    "rain": tag_words.rain,
    "intersection": tag_road.intersection,
    "ego_turn_left": tag_ego.ego_turn_left,
    "ego_turn_right": tag_ego.ego_turn_right,
    "ego_wait": tag_ego.ego_wait,
    "high_speed": tag_ego.high_speed,
    "lane_change": tag_ego.lane_change,
    "following_lead": tag_ego.following_lead,
    "dense_traffic": tag_agents.dense_traffic,
    "many_pedestrians": tag_agents.many_pedestrians,
    "pedestrian_crossing": tag_agents.pedestrian_crossing,
    "jaywalker": tag_agents.jaywalker,
    "cyclist": tag_agents.cyclist,
    "two_wheeler": tag_agents.two_wheeler,
    "bus": tag_agents.bus,
    "large_truck": tag_agents.large_truck,
    "construction_zone": tag_road.construction_zone,
    "parked_obstruction": tag_road.parked_obstruction,
    "parking_lot": tag_road.parking_lot,
}


def label_tags(log: Log, clips: tuple[Clip, ...]) -> list[dict[str, bool | None]]:
    """All 20 tags of each clip, in the order of ``TAGS``; None where the Log lacks what the rule needs.

    Raises ValueError where a clip belongs to another Log or lies outside it, MediaError where the Log's map is broken.
    """
    return label_tags_with(log.store.read_map() if log.has_map else None, log, clips)


def label_tags_with(hdmap: HdMap | None, log: Log, clips: tuple[Clip, ...]) -> list[dict[str, bool | None]]:
    """``label_tags`` with a map that has been read already, or without one."""
    for clip in clips:
        if clip.log_id != log.log_id or clip.end_us < log.start_us or clip.start_us > log.end_us:
            raise ValueError(f"expected clips of {log.log_id} within its span, found {clip.clip_id}")
    at = situation_of(log, hdmap)
    return [{tag: rule(here, span) for tag, rule in _ordered()} for here, span in (_seen(at, clip) for clip in clips)]


def _ordered() -> list[tuple[str, Rule]]:
    return [(tag, RULES[tag]) for tag in TAGS]


def _seen(at: Situation, clip: Clip) -> tuple[Situation, slice]:
    """What is known for one clip, and its frames: where ego's pose is unknown for a part of it, nothing is of ego."""
    span = _span(at, clip)
    if at.ego is None or np.all(np.isfinite(at.ego.x_m[span])):
        return at, span
    return replace(at, ego=None), span


def explain(tag: str) -> str:
    """What a tag means, as one paragraph. ValueError names the tags where it is none of them."""
    if tag not in RULES:
        raise ValueError(f"expected one of {', '.join(TAGS)}; found {tag!r}")
    return " ".join((inspect.getdoc(RULES[tag]) or "").split())


def _span(at: Situation, clip: Clip) -> slice:
    """The frames of a clip; at least one, the nearest to its start."""
    low = int(np.searchsorted(at.times_us, clip.start_us))
    high = int(np.searchsorted(at.times_us, clip.end_us, side="right"))
    low = min(low, len(at.times_us) - 1)
    return slice(low, max(high, low + 1))
