"""English for facts: noun phrases, clauses and sentence forms, some of which training text never has.

Held out of training text, captions and object captions alike:

1. Pairs of a colour and a kind, one in ten by hash (``held_out_look``): "a green bus" may never be read in training,
   while green cars and red buses are.
2. Pairs of a sky or place and a kind of object within one caption, one in ten by hash (``held_out_pair``).
3. Sentence forms: ``HELD_OUT_FORMS``, recognised by ``has_held_out_form``.
4. Synonyms in captions: ``Noun.rare`` is read in training as the phrase of a single object only.

Every word of a held-out text does occur in training text, so that what is tested is composition, not vocabulary.
"""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sceneminer.data.synth.grammar_words import COLOR_WORDS, NOUNS, RIDERS, SIDES, STATES, WALKERS, State

Grammar = Literal["train", "held_out"]


@dataclass(frozen=True)
class Piece:
    """One thing to say, in every position of a sentence that it fits."""

    facts: frozenset[tuple[str, ...]]
    noun: str = ""
    plural: bool = False
    clause: str = ""
    tag: str = ""
    adverb: str = ""
    adjective: str = ""
    doing: str = ""
    """What ego does, as a participle."""


@dataclass(frozen=True)
class Form:
    """A sentence form; slots: things, adverb, adjective, clauses, doing, tags, is, a."""

    text: str
    weight: float = 1.0


TRAIN_FORMS: tuple[Form, ...] = (
    Form("{tags}", 3.0),
    Form("{things}", 2.0),
    Form("there {is} {things}", 1.5),
    Form("we see {things}", 0.8),
    Form("a photo of {things}", 0.6),
    Form("a picture with {things}", 0.6),
    Form("a street with {things}", 1.0),
    Form("a road with {things}", 0.5),
    Form("the camera shows {things}", 0.6),
    Form("{things} in view", 0.5),
    Form("there {is} {things} here", 0.4),
    Form("one can see {things}", 0.4),
    Form("it shows {things}", 0.3),
    Form("as seen from a car's camera: {things}", 0.3),
    Form("an ordinary street with {things}", 0.2),
    Form("{clauses}", 1.6),
    Form("{things} {adverb}", 2.0),
    Form("{adverb}, {things}", 0.8),
    Form("{adverb} there {is} {things}", 0.8),
    Form("{a} {adjective} street with {things}", 1.6),
    Form("{a} {adjective} road with {things}", 0.8),
    Form("{a} {adjective} scene: {things}", 0.6),
    Form("a street {adverb} with {things}", 1.2),
    Form("a photo taken {adverb}: {things}", 0.7),
    Form("what a car's camera sees {adverb}: {things}", 0.3),
    Form("{clauses} {adverb}", 1.3),
    Form("{adverb}, {clauses}", 0.8),
    Form("a street {adverb}", 1.0),
    Form("a road {adverb}", 0.6),
    Form("driving {adverb}", 0.8),
    Form("a photo taken from a car {adverb}", 0.7),
    Form("{a} {adjective} street", 0.8),
    Form("{a} {adjective} street {adverb}", 0.8),
    Form("{a} {adjective} city road", 0.4),
    Form("{doing}", 1.0),
    Form("{doing} {adverb}", 1.5),
    Form("{doing}, with {things}", 1.0),
    Form("{doing} {adverb}, with {things}", 1.0),
    Form("we are {doing} {adverb}, and there {is} {things}", 0.5),
    Form("the car is {doing}, and there {is} {things}", 0.7),
    Form("the car is {doing} {adverb}", 0.8),
    Form("{doing} while {clauses}", 1.2),
    Form("{clauses} as the car is {doing}", 0.6),
)
HELD_OUT_FORMS: tuple[Form, ...] = (
    Form("{tags;}", 1.5),
    Form("seen here: {things}", 1.5),
    Form("{things} can be seen", 1.2),
    Form("{adverb}, {things} can be seen", 1.2),
    Form("taken {adverb}, a picture of {things}", 1.2),
    Form("seen {adverb}: {things}", 1.2),
    Form("with {things}: a street {adverb}", 1.0),
    Form("seen on {a} {adjective} street: {things}", 1.2),
    Form("here on {a} {adjective} street {clauses}", 1.0),
    Form("here {clauses}", 1.0),
    Form("what the camera sees is a street {adverb}", 1.0),
    Form("here is {a} {adjective} street", 0.8),
    Form("seen while {doing}: {things}", 1.5),
    Form("seen while {doing} {adverb}", 1.5),
    Form("here the car is {doing}", 1.0),
)
_SLOT = re.compile(r"\\\{.*?\\\}")
_HELD_OUT = tuple(
    re.compile("^" + _SLOT.sub(".+", re.escape(form.text)) + r"\.?$", re.IGNORECASE)
    for form in HELD_OUT_FORMS
    if "tags" not in form.text
)


def has_held_out_form(text: str) -> bool:
    """Whether a text reads like one of the held-out sentence forms; a list with semicolons is one of them."""
    return "; " in text or any(pattern.match(text) for pattern in _HELD_OUT)


def held_out_look(look: str, kind: str) -> bool:
    """Whether a colour is never said of a kind in training; shades go with their colour (light blue with blue)."""
    return _hash(look.rsplit(" ", 1)[-1] if look.startswith(("light b", "dark g")) else look, kind) == 3


def held_out_pair(setting: str, kind: str) -> bool:
    """Whether a sky or place is never said together with a kind in training."""
    return _hash(setting, kind) == 7


def _hash(one: str, other: str) -> int:
    return zlib.crc32(f"{one}|{other}".encode()) % 10


def pick(options: Sequence[str], rng: np.random.Generator) -> str:
    """One of some words."""
    return options[int(rng.integers(len(options)))]


def article(phrase: str) -> str:
    """The phrase behind a or an."""
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def joined(parts: Sequence[str], rng: np.random.Generator) -> str:
    """x; x and y; x, y and z, or x with y."""
    if len(parts) <= 1:
        return "".join(parts)
    last = " and " if len(parts) > 2 or rng.random() < 0.8 else " as well as "
    return ", ".join(parts[:-1]) + last + parts[-1]


def state_of(kind: str, state: str) -> State | None:
    """The words for a state of a kind; None where nobody says it of such."""
    group = "rider" if kind in RIDERS else "person" if kind in WALKERS else "vehicle"
    return STATES[group].get(state)


def color_word(look: str, rng: np.random.Generator) -> str:
    return pick(COLOR_WORDS.get(look, (look,)), rng)


def object_piece(kind: str, look: str, state: str, side: str, *, noun: str, rng: np.random.Generator) -> Piece:
    """An object with what is said of it, as "a red car waiting on the left" or "red car left"."""
    before, after, clothes = [], [], ""
    if look and (kind in WALKERS or kind == "cyclist"):
        clothes = _clothes(look, rng)
    elif look:
        before.append(color_word(look, rng))
    words = state_of(kind, state) if state else None
    tags = [*before, noun] + ([clothes] if clothes else [])
    bare = " ".join([*before, noun] + ([clothes] if clothes else []))
    where = pick(SIDES[side], rng) if side else ""
    clause = ""
    if words is not None:
        verb = pick(words.verb, rng)
        subject = bare if noun == "somebody" else article(bare)
        clause = " ".join([subject, verb] + ([where] if where else []))
        tags.append(pick(words.tag, rng))
        if words.before and noun != "somebody" and (not words.after or rng.random() < 0.45):
            before.insert(0, pick(words.before, rng))
        else:
            after.append(pick(words.after, rng))
    phrase = " ".join([*before, noun] + ([clothes] if clothes else []))
    phrase = phrase if noun == "somebody" else article(phrase)
    phrase = " ".join([phrase, *after] + ([where] if where else []))
    if side:
        tags.append({"middle": "in the middle", "left": "on left", "right": "on right"}.get(side, side))
    return Piece(frozenset({("object", kind, look, state, side)}), phrase, False, clause, " ".join(tags))


def _clothes(look: str, rng: np.random.Generator) -> str:
    if look.endswith("clothes"):
        return pick(("in {}", "with {}", "wearing {}"), rng).format(look)
    color = color_word(look, rng)
    return pick(("in {}", "wearing {}", "in a {} top", "with {} clothes"), rng).format(color)


def write(pieces: Sequence[Piece], rng: np.random.Generator, *, grammar: Grammar) -> tuple[str, str]:
    """A text that says all the pieces, and the form it has. Things come in the order given."""
    forms = TRAIN_FORMS if grammar == "train" else HELD_OUT_FORMS
    weight = np.array([form.weight for form in forms])
    for k in rng.choice(len(forms), size=len(forms), replace=False, p=weight / weight.sum()).tolist():
        form, slots = forms[k], _fill(forms[k].text, pieces, rng)
        if slots is not None:
            return _finish(form, slots, rng), form.text
    raise AssertionError(f"no form says {pieces}")


def _finish(form: Form, slots: dict[str, str], rng: np.random.Generator) -> str:
    text = form.text
    for name, value in slots.items():
        text = text.replace("{" + name + "}", value)
    if rng.random() < 0.5:
        text = text[0].upper() + text[1:] + ("." if "{tags" not in form.text and rng.random() < 0.7 else "")
    return text


def _fill(form: str, pieces: Sequence[Piece], rng: np.random.Generator) -> dict[str, str] | None:
    """What goes into a form's slots so that every piece is said once; None where that cannot be."""
    if "{tags" in form:
        tags = [p.tag for p in pieces]
        if not all(tags) or (form == "{tags;}" and len(tags) == 1):
            return None
        order = rng.permutation(len(tags)) if rng.random() < 0.5 else np.arange(len(tags))
        ordered = [tags[int(k)] for k in order]
        return {"tags": ", ".join(ordered), "tags;": "; ".join(ordered)}
    left = list(pieces)
    slots: dict[str, str] = {}
    for slot in ("doing", "adjective", "adverb"):
        if "{" + slot + "}" not in form:
            continue
        fitting = [p for p in left if getattr(p, slot)]
        if not fitting:
            return None
        said = fitting[:1] if slot != "adverb" else fitting[:2]
        if slot == "adverb":
            later = [p for p in fitting if not p.noun]
            said = (later + [p for p in fitting if p.noun])[:2] if len(later) != 1 else later
        slots[slot] = " ".join(getattr(p, slot) for p in said)
        left = [p for p in left if p not in said]
    if "{a}" in form:
        slots["a"] = "an" if slots["adjective"][0] in "aeiou" else "a"
    for slot, part in (("things", "noun"), ("clauses", "clause")):
        if "{" + slot + "}" not in form:
            continue
        if not left or not all(getattr(p, part) for p in left):
            return None
        if slot == "clauses" and len(left) > 2:
            return None
        slots["is"] = "are" if left[0].plural else "is"
        parts = [getattr(p, part) for p in left]
        slots[slot] = joined(parts, rng) if slot == "things" else pick((" while ", " and "), rng).join(parts)
        left = []
    return None if left else slots


def noun_of(kind: str, rng: np.random.Generator, *, grammar: Grammar) -> str:
    """A word for a kind in a caption; held-out captions mostly take rare ones."""
    noun = NOUNS[kind]
    return pick(noun.rare if noun.rare and grammar == "held_out" and rng.random() < 0.6 else noun.one, rng)
