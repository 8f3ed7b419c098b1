"""English for ego's own motion and for what happens in a clip."""

from collections.abc import Mapping

import numpy as np

from sceneminer.data.synth.grammar import Piece, article, pick
from sceneminer.data.synth.grammar_words import NOUNS

_EGO: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "turning left": (
        (
            "turning left",
            "making a left turn",
            "arriving at a junction and turning left",
            "turning left at a corner, so that the view swings",
            "turning left onto another street",
        ),
        ("turn left", "turning left", "left turn"),
    ),
    "turning right": (
        (
            "turning right",
            "making a right turn",
            "arriving at a junction and turning right",
            "turning right at a corner, so that the view swings",
            "turning right onto another street",
        ),
        ("turn right", "turning right", "right turn"),
    ),
    "waiting": (("waiting", "standing still", "stopped", "waiting for others to pass"), ("wait", "waiting", "stopped")),
    "waiting at a red light": (
        ("waiting at a red light", "stopped at a red traffic light", "stopped behind the stop line at a red light"),
        ("wait at red light", "red light"),
    ),
    "changing lanes": (
        ("changing lanes", "moving over into the next lane", "crossing a dashed lane marking into the next lane"),
        ("lane change", "changing lanes"),
    ),
    "driving fast": (
        ("driving fast", "driving at high speed", "driven at high speed on a fast arterial road or highway"),
        ("high speed", "driving fast"),
    ),
    "driving slowly": (("driving slowly", "moving at a slow pace"), ("slow",)),
    "driving on": (("driving straight on", "driving along", "moving on"), ("driving",)),
}
"""As a participle, and in a list of remarks."""

_EVENTS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "cut_in": (("cutting in", "moving over in front of us"), ("cuts in", "moves over in front of us")),
    "hard_brake": (("braking hard", "that brakes suddenly"), ("brakes hard", "brakes suddenly")),
    "jaywalk": (
        ("crossing where there is no crosswalk", "walking across the lanes between cars"),
        ("walks across the lanes", "crosses where there is no crosswalk"),
    ),
    "step_out": (("stepping out onto the road",), ("steps out onto the road", "steps out between cars")),
    "occluded_cyclist": (("coming out from behind a vehicle",), ("comes out from behind a vehicle",)),
    "run_red": (("running a red light", "that ignores a red light"), ("runs a red light", "ignores a red light")),
    "oncoming_left_turn": (
        ("turning left in front of us", "turning across our lane"),
        ("turns left in front of us", "turns across our lane"),
    ),
    "door_side_cyclist": (("passing close beside the car",), ("passes close beside the car",)),
    "near_miss": (("coming very close", "in a near miss"), ("comes very close",)),
    "crossing_pedestrian": (
        ("crossing the street", "crossing ahead", "crossing in front of the car"),
        ("crosses the street", "crosses ahead", "crosses in front of the car"),
    ),
    "parked_obstruction": (
        ("blocking the lane", "double-parked on the road ahead"),
        ("blocks the lane", "is double-parked on the road ahead"),
    ),
}
"""What an actor does: after its noun, and as a verb."""

_WITH_EGO: Mapping[str, tuple[str, ...]] = {
    "follow": ("following {a}", "driving behind {a}", "following {a} ahead in the same lane"),
    "overtake": ("overtaking {a}", "moving over to overtake {a}", "passing {a}"),
    "yield_to_pedestrian": ("giving way to {a}", "waiting for {a}", "stopped for {a}"),
}
EVENT_KINDS = frozenset(_EVENTS) | frozenset(_WITH_EGO)
EGO_WORDS = frozenset(_EGO)


def ego_piece(word: str, *, rng: np.random.Generator) -> Piece:
    """What ego does."""
    doing, tags = _EGO[word]
    return Piece(frozenset({("ego", word)}), tag=pick(tags, rng), doing=pick(doing, rng))


def event_piece(event: str, kind: str, *, rng: np.random.Generator) -> Piece:
    """What an actor does, or ego with it."""
    noun = pick([word for word in NOUNS[kind].one if word != "somebody"], rng)
    facts = frozenset({("event", event, kind)})
    if event in _WITH_EGO:
        doing = pick(_WITH_EGO[event], rng)
        return Piece(facts, tag=doing.format(a=noun), doing=doing.format(a=article(noun)))
    after, verb = _EVENTS[event]
    said = pick(after, rng)
    return Piece(facts, f"{article(noun)} {said}", False, f"{article(noun)} {pick(verb, rng)}", f"{noun} {said}")
