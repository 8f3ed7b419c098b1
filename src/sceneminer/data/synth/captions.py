"""Captions of pictures, of single objects and of clips of the town, with the facts that each of them states.

A caption comes with its facts so that retrieval can tell which other pictures it describes (``facts.describes``).
"""

from dataclasses import dataclass

import numpy as np

from sceneminer.data.synth.facts import Fact, SceneFacts, Sight, wider
from sceneminer.data.synth.facts_clip import clip_facts
from sceneminer.data.synth.grammar import (
    Grammar,
    Piece,
    color_word,
    held_out_look,
    held_out_pair,
    noun_of,
    object_piece,
    pick,
    state_of,
    write,
)
from sceneminer.data.synth.grammar_clip import ego_piece, event_piece
from sceneminer.data.synth.grammar_reserved import RESERVED
from sceneminer.data.synth.grammar_words import (
    COUNTS,
    CROWD,
    GROUPS,
    JAYWALKER,
    MOUNTED,
    NOBODY,
    NOUNS,
    PLACES,
    RARE_KINDS,
    SIDES,
    SKY,
    Setting,
)
from sceneminer.data.synth.scene import Drive

_COUNT_WEIGHT = {"many": 1.6, "several": 0.9, "three": 0.6, "two": 0.6, "one": 0.25, "none": 0.25}
_MOST_SIGHTS = 10
_KINDS, _SETTINGS = frozenset({"object", "count", "event"}), frozenset({"sky", "place"})
_IDLE = 0.05
_DULL = 0.2
"""What weighs less is not reason enough for a longer text."""


@dataclass(frozen=True)
class Caption:
    """A text and what it states; ``form`` is its sentence form, for tests and tables."""

    text: str
    facts: frozenset[Fact]
    form: str


def caption(scene: SceneFacts, rng: np.random.Generator, *, grammar: Grammar) -> Caption:
    """One sentence or list that states one to four facts of a picture or clip, never all.

    ``train`` and ``held_out`` differ as ``grammar`` says. Texts that serve as prompts of tags are not made.
    """
    while True:
        pieces = _choose(scene, rng, grammar=grammar)
        text, form = write(pieces, rng, grammar=grammar)
        facts = frozenset().union(*(piece.facts for piece in pieces))
        if text.lower().rstrip(".") not in RESERVED:
            return Caption(text, facts, form)


def object_captions(
    scene: SceneFacts, rng: np.random.Generator, *, grammar: Grammar
) -> list[tuple[str, tuple[int, int, int, int]]]:
    """A short phrase for each object that is seen, with its pixels' box (u0, v0, u1, v1; ends exclusive)."""
    return [(_object_phrase(sight, rng, grammar=grammar), sight.box) for sight in scene.sights]


def clip_caption_rows(
    drive: Drive, *, start_us: int, rng: np.random.Generator, grammar: Grammar = "train", per_span: int = 2
) -> list[dict[str, int | str]]:
    """Captions of a Drive's spans of 2 to 6 s: rows of start and end (µs since 1970), text and kind.

    ``start_us`` is the time stamp of the Drive's second 0. Spans follow each other without gaps; ``kind`` is "clip".
    """
    rows: list[dict[str, int | str]] = []
    at = 0.0
    while at < drive.duration_s - 1.0:
        end = min(at + float(rng.uniform(2.0, 6.0)), drive.duration_s)
        if drive.duration_s - end < 2.0:
            end = drive.duration_s
        scene = clip_facts(drive, at, end)
        told: set[str] = set()
        for _ in range(per_span):
            text = caption(scene, rng, grammar=grammar).text
            if text not in told:
                span = {"start": start_us + round(at * 1e6), "end": start_us + round(end * 1e6)}
                rows.append({**span, "text": text, "kind": "clip"})
            told.add(text)
        at = end
    return rows


def _choose(scene: SceneFacts, rng: np.random.Generator, *, grammar: Grammar) -> list[Piece]:
    """What to say: distinct pieces, drawn by how much they strike one, with no pair that training must not have."""
    options = [o for o in _options(scene, grammar) if o[0] > _IDLE or rng.random() < 0.15]
    wanted = int(rng.choice([1, 2, 3, 4], p=[0.2, 0.38, 0.28, 0.14]))
    wanted = min(wanted, 1 + len([w for w, _, _ in options if w > _DULL]) // 2)
    weight = np.array([w for w, _, _ in options]) ** (2.0 if wanted == 1 else 1.2)
    order = rng.choice(len(options), size=len(options), replace=False, p=weight / weight.sum())
    pieces: list[tuple[str, str, Piece]] = []
    for k in order.tolist():
        _, what, word = options[k]
        if len(pieces) == wanted:
            break
        name = _name(what, word)
        if any(_clash(what, name, w, n) for w, n, _ in pieces):
            continue
        if grammar == "train" and any(_never_together(what, name, w, n) for w, n, _ in pieces):
            continue
        pieces.append((what, name, _piece(what, word, rng, grammar=grammar)))
    return [
        piece for what in ("ego", "event", "object", "count", "place", "sky") for w, _, piece in pieces if w == what
    ]


def _name(what: str, word: "Sight | tuple[str, str] | str") -> str:
    """The kind of object that is spoken of, or the word itself."""
    if isinstance(word, Sight):
        return word.kind
    return word[what == "event"] if isinstance(word, tuple) else word


def _options(scene: SceneFacts, grammar: Grammar) -> list[tuple[float, str, "Sight | tuple[str, str] | str"]]:
    """Everything that may be said, with a weight."""
    options: list[tuple[float, str, Sight | tuple[str, str] | str]] = []
    for sight in scene.sights[:_MOST_SIGHTS]:
        striking = 1.8 * RARE_KINDS.get(sight.kind, 1.2) * min(1.0, (sight.share / 0.01) ** 0.4)
        if grammar == "held_out" and any(held_out_look(look, sight.kind) for look in sight.looks):
            striking *= 4.0
        if {"crossing", "double-parked"} & set(sight.states):
            striking *= 2.0
        options.append((striking, "object", sight))
    for kind, how in scene.counts:
        dull = 0.3 if kind in ("car", "vehicle") else 0.1 if (kind, how) == ("cyclist", "none") else 1.0
        options.append((_COUNT_WEIGHT[how] * dull, "count", (kind, how)))
    options += [(SKY[word].weight, "sky", word) for word in scene.sky]
    options += [(PLACES[word].weight, "place", word) for word in scene.places]
    options += [(2.0, "ego", word) for word in scene.ego]
    options += [(2.5, "event", event) for event in scene.events]
    return options


def _clash(what: str, name: str, other: str, other_name: str) -> bool:
    """Saying both would repeat or contradict."""
    if {what, other} <= _KINDS:
        return bool({name, *wider(name)} & {other_name, *wider(other_name)})
    if what == other == "ego":
        return True
    if what == other:
        return name == other_name or any({name, other_name} <= group for group in GROUPS)
    return {name, other_name} == {"vehicle", "empty road"} or {what, other} == {"ego", "event"}


def _never_together(what: str, name: str, other: str, other_name: str) -> bool:
    if what in _SETTINGS and other in _KINDS:
        return held_out_pair(name, other_name)
    return other in _SETTINGS and what in _KINDS and held_out_pair(other_name, name)


def _piece(what: str, word: "Sight | tuple[str, str] | str", rng: np.random.Generator, *, grammar: Grammar) -> Piece:
    if isinstance(word, Sight):
        return _object(word, rng, grammar=grammar)
    if isinstance(word, tuple):
        return event_piece(*word, rng=rng) if what == "event" else _count(*word, rng=rng)
    if what == "ego":
        return ego_piece(word, rng=rng)
    return _setting(what, word, SKY[word] if what == "sky" else PLACES[word], rng)


def _object(sight: Sight, rng: np.random.Generator, *, grammar: Grammar) -> Piece:
    """An object with some of what is known of it."""
    looks = [look for look in sight.looks if grammar == "held_out" or not held_out_look(look, sight.kind)]
    strange = [look for look in looks if held_out_look(look, sight.kind)]
    look = ""
    if strange and rng.random() < 0.85:
        look = pick(strange, rng)
    elif looks and rng.random() < 0.6:
        look = pick(looks, rng)
    states = [state for state in sight.states if state_of(sight.kind, state) is not None]
    state = pick(states, rng) if states and rng.random() < 0.6 else ""
    side = sight.side if rng.random() < 0.35 else ""
    noun = noun_of(sight.kind, rng, grammar=grammar)
    if "jaywalking" in sight.states and sight.kind == "person" and rng.random() < 0.4:
        noun, state = pick(JAYWALKER, rng), "jaywalking"
    elif state == "riding" and sight.kind in MOUNTED and rng.random() < 0.4:
        noun = pick(MOUNTED[sight.kind], rng)
    return object_piece(sight.kind, look, state, side, noun=noun, rng=rng)


def _count(kind: str, how: str, *, rng: np.random.Generator) -> Piece:
    words = NOUNS[kind].one if how == "one" else NOUNS[kind].more
    number = pick(CROWD, rng) if (kind, how) == ("person", "many") and rng.random() < 0.3 else pick(COUNTS[how], rng)
    text = f"{number} {pick([w for w in words if w != 'somebody'], rng)}"
    if (kind, how) == ("person", "none") and rng.random() < 0.4:
        text = pick(NOBODY, rng)
        return Piece(frozenset({("count", kind, how)}), text, False, "", text)
    return Piece(frozenset({("count", kind, how)}), text, how != "one", "", text)


def _setting(what: str, word: str, setting: Setting, rng: np.random.Generator) -> Piece:
    def one(options: tuple[str, ...]) -> str:
        return pick(options, rng) if options else ""

    noun, adverb, adjective, tag = (one(x) for x in (setting.noun, setting.adverb, setting.adjective, setting.tag))
    return Piece(frozenset({(what, word)}), noun, setting.plural, "", tag, adverb, adjective)


def _object_phrase(sight: Sight, rng: np.random.Generator, *, grammar: Grammar) -> str:
    """A phrase for one object; here training reads the rare nouns, too."""
    noun = NOUNS[sight.kind]
    if grammar == "train":
        piece = _object(sight, rng, grammar="train")
        words = (*noun.one, *noun.rare) if noun.rare else noun.one
        facts = next(iter(piece.facts))
        _, kind, look, state, side = facts
        text = object_piece(kind, look, state, side, noun=pick(words, rng), rng=rng).noun
        bare = text.split(" ", 1)[1] if text.startswith(("a ", "an ")) and rng.random() < 0.4 else text
        return bare if bare not in RESERVED else f"the {pick(words, rng)}"
    looks = [look for look in sight.looks if held_out_look(look, sight.kind)] or list(sight.looks)
    parts = [pick(noun.rare or noun.one, rng)]
    parts += [color_word(pick(looks, rng), rng)] if looks else []
    parts += [pick(SIDES[sight.side], rng)]
    return ", ".join(parts)
