"""Conditions on one agent at one instant, as a checked tree, and how their truth is found on columns.

Truth has three values: where a part is unknown (no map, no such measure) a condition and its negation are both not
true, so that null never matches.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

_OPERATORS: Mapping[str, Callable[[ndarray, ndarray], ndarray]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
}
_SIGNS: Mapping[str, Callable[[ndarray, ndarray], ndarray]] = {
    ">": np.greater,
    ">=": np.greater_equal,
    "<": np.less,
    "<=": np.less_equal,
    "=": np.equal,
    "!=": np.not_equal,
}


@dataclass(frozen=True)
class Number:
    value: float


@dataclass(frozen=True)
class Column:
    name: str


@dataclass(frozen=True)
class Arithmetic:
    sign: str
    left: "Value"
    right: "Value"


@dataclass(frozen=True)
class Magnitude:
    value: "Value"


Value = Number | Column | Arithmetic | Magnitude


@dataclass(frozen=True)
class Compare:
    sign: str
    left: Value
    right: Value


@dataclass(frozen=True)
class Among:
    """A column of texts that is one of these."""

    column: str
    texts: frozenset[str]


@dataclass(frozen=True)
class Flag:
    column: str


@dataclass(frozen=True)
class IsNull:
    """Of numbers, texts or flags."""

    column: str


@dataclass(frozen=True)
class Placed:
    """A relation between two: see ``agent_words.PLACES``. ``of`` is None for ego."""

    relation: str
    of: frozenset[str] | None
    within_m: float


@dataclass(frozen=True)
class Every:
    parts: tuple["Condition", ...]


@dataclass(frozen=True)
class Either:
    parts: tuple["Condition", ...]


@dataclass(frozen=True)
class Never:
    """Not."""

    part: "Condition"


@dataclass(frozen=True)
class Lasting:
    """That holds for the same agent without a break for so long."""

    part: "Condition"
    seconds: float


@dataclass(frozen=True)
class Untold:
    """That is neither true nor false, since a flag in it is unknown: true or false itself."""

    part: "Condition"


Condition = Compare | Among | Flag | IsNull | Placed | Every | Either | Never | Lasting | Untold


@dataclass(frozen=True, eq=False)
class Rows:
    """Agents at instants: one row each. Rows of one agent are in time order."""

    numbers: Mapping[str, Float[ndarray, "n"]]
    """NaN where null."""
    texts: Mapping[str, ndarray]
    flags: Mapping[str, tuple[Bool[ndarray, "n"], Bool[ndarray, "n"]]]
    """Where true, and where known."""
    instant: Int[ndarray, "n"]
    """Equal for rows of the same log and time."""
    track: Int[ndarray, "n"]
    """Equal for rows of the same agent."""
    time_us: Int[ndarray, "n"]

    def __len__(self) -> int:
        return len(self.instant)


@dataclass(frozen=True, eq=False)
class Truth:
    yes: Bool[ndarray, "n"]
    no: Bool[ndarray, "n"]


Place = Callable[[Placed, Bool[ndarray, "n"]], Truth]
"""The truth of a relation between two, asked of some rows only."""
Hold = Callable[[Truth, float], Truth]


def truth_of(condition: Condition, rows: Rows, *, place: Place, hold: Hold) -> Truth:
    """Where a condition is true, and where it is false; neither where it is unknown."""
    return _truth(condition, rows, np.ones(len(rows), bool), place, hold)


def _truth(node: Condition, rows: Rows, asked: ndarray, place: Place, hold: Hold) -> Truth:
    match node:
        case Compare(sign, left, right):
            a, b = _value(left, rows), _value(right, rows)
            known = ~(np.isnan(a) | np.isnan(b))
            met = _SIGNS[sign](a, b)
            return Truth(met & known, ~met & known)
        case Among(column, texts):
            return _membership(rows.texts[column], texts)
        case Flag(column):
            flag, known = rows.flags[column]
            return Truth(flag & known, ~flag & known)
        case IsNull(column):
            null = _nulls(column, rows)
            return Truth(null, ~null)
        case Placed():
            return place(node, asked)
        case Never(part):
            found = _truth(part, rows, asked, place, hold)
            return Truth(found.no, found.yes)
        case Lasting(part, seconds):
            return hold(_truth(part, rows, np.ones(len(rows), bool), place, hold), seconds)
        case Untold(part):
            found, known = _truth(part, rows, asked, place, hold), [rows.flags[name][1] for name in _flags_in(part)]
            untold = ~(found.yes | found.no) & ~np.all([*known, np.ones(len(rows), bool)], axis=0)
            return Truth(untold, ~untold)
        case Every(parts):
            return _together(parts, rows, asked, place, hold, every=True)
        case Either(parts):
            return _together(parts, rows, asked, place, hold, every=False)


def _together(parts, rows: Rows, asked: ndarray, place: Place, hold: Hold, *, every: bool) -> Truth:
    """The dear parts (relations between two) last, and of rows that the others have not settled."""
    yes, no = np.full(len(rows), every), np.full(len(rows), not every)
    for part in sorted(parts, key=_dear):
        found = _truth(part, rows, asked & (~no if every else ~yes), place, hold)
        yes, no = (yes & found.yes, no | found.no) if every else (yes | found.yes, no & found.no)
    return Truth(yes, no)


def _dear(node: Condition) -> bool:
    match node:
        case Placed() | Lasting():
            return True
        case Every(parts) | Either(parts):
            return any(map(_dear, parts))
        case Never(part) | Untold(part):
            return _dear(part)
    return False


def _flags_in(node: Condition) -> frozenset[str]:
    match node:
        case Flag(column):
            return frozenset({column})
        case Every(parts) | Either(parts):
            return frozenset().union(*map(_flags_in, parts))
        case Never(part) | Lasting(part) | Untold(part):
            return _flags_in(part)
    return frozenset()


def _value(node: Value, rows: Rows) -> Float[ndarray, "n"]:
    match node:
        case Number(value):
            return np.full(len(rows), value)
        case Column(name):
            return rows.numbers[name]
        case Magnitude(value):
            return np.abs(_value(value, rows))
        case Arithmetic(sign, left, right):
            a, b = _value(left, rows), _value(right, rows)
            if sign == "/":
                b = np.where(b == 0, np.nan, b)
            with np.errstate(over="ignore", invalid="ignore"):
                return _OPERATORS[sign](a, b)


def _membership(values: ndarray, texts: frozenset[str]) -> Truth:
    known = values != ""
    met = np.isin(values, sorted(texts))
    return Truth(met & known, ~met & known)


def _nulls(column: str, rows: Rows) -> Bool[ndarray, "n"]:
    if column in rows.numbers:
        return np.isnan(rows.numbers[column])
    return rows.texts[column] == "" if column in rows.texts else ~rows.flags[column][1]
