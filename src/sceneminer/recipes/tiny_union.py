"""What several pictures show together: the facts of a clip, read off its images' facts and nothing else.

Sides are dropped (left in one image is not left of the car), and so is what is true of one image by its narrow view
alone: that a road is empty, that there is exactly one car.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sceneminer.data.synth.facts import MANY, Fact, SceneFacts, Sight, wider

_NARROW_COUNTS = ("one", "two", "three", "none")
_NARROW_PLACES = ("empty road", "row of parked cars left", "row of parked cars right")


def union_scene(views: Sequence[SceneFacts]) -> SceneFacts:
    """One scene of all that the pictures show, each object once, as where it is largest."""
    best: dict[int, Sight] = {}
    for view in views:
        for sight in view.sights:
            if sight.actor_id not in best or sight.share > best[sight.actor_id].share:
                best[sight.actor_id] = sight
    sights = tuple(
        replace(sight, side="", box=(0, 0, 0, 0))
        for sight in sorted(best.values(), key=lambda s: (-s.share, s.actor_id))
    )
    return SceneFacts(
        sights=sights,
        counts=(*_counts(sights), *_absent(views)),
        sky=tuple(dict.fromkeys(word for view in views for word in view.sky)),
        places=_places(views),
    )


def clip_truth(views: Sequence[SceneFacts], union: SceneFacts) -> frozenset[Fact]:
    """Everything that may be said of the pictures together: what any of them shows, and what they show in sum."""
    found = set(union.facts)
    for view in views:
        found |= {fact for fact in view.facts if carries_over(fact)}
    return frozenset(found)


def carries_over(fact: Fact) -> bool:
    """Whether what is true of one of its images is true of a clip."""
    if fact[0] == "object":
        return fact[4] == ""
    if fact[0] == "count":
        return fact[2] not in _NARROW_COUNTS
    return fact[0] != "place" or fact[1] not in _NARROW_PLACES


def _counts(sights: Iterable[Sight]) -> tuple[tuple[str, str], ...]:
    number: dict[str, int] = {}
    for sight in sights:
        for kind in (sight.kind, *wider(sight.kind)):
            number[kind] = number.get(kind, 0) + 1
    several = [(kind, "several") for kind, n in sorted(number.items()) if n >= 3]
    return (*several, *((kind, "many") for kind, n in sorted(number.items()) if n >= MANY.get(kind, 4)))


def _absent(views: Sequence[SceneFacts]) -> tuple[tuple[str, str], ...]:
    """Kinds that no picture shows a trace of."""
    none = [{count for count in view.counts if count[1] == "none"} for view in views]
    return tuple(sorted(set.intersection(*none))) if none else ()


def _places(views: Sequence[SceneFacts]) -> tuple[str, ...]:
    words = [word for view in views for word in view.places if word not in _NARROW_PLACES]
    if any(word.startswith("row of parked cars") for view in views for word in view.places):
        words.append("row of parked cars")
    if views and all("empty road" in view.places for view in views):
        words.append("empty road")
    return tuple(dict.fromkeys(words))
