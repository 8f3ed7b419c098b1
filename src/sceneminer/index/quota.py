"""Quotas of a selection: at most so many a log or location, at least so many with a tag."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sceneminer.index.errors import QueryError
from sceneminer.labels.prompts import TAGS

PLACES = {"log": "log_name", "location": "location", "dataset": "dataset", "split": "split"}
"""Groups by the value of a column."""
FLAGS = {f"tag.{tag}": f"tag_{tag}" for tag in TAGS} | {f"label_tag.{tag}": f"label_tag_{tag}" for tag in TAGS}
"""Groups of the clips that have a tag: one of at least 0.5 where the model tells it."""
HAS_TAG = 0.5
_FORM = re.compile(r"\s*([a-z_.]+)\s*(?:=\s*([^<>=]+?)\s*)?(<=|>=)\s*(\d{1,7})\s*")


@dataclass(frozen=True)
class Quota:
    """Of a group, ``least`` or ``most`` clips; of each value of the group where ``value`` is None."""

    group: str
    value: str | None
    least: int | None = None
    most: int | None = None

    @property
    def column(self) -> str:
        return PLACES.get(self.group) or FLAGS[self.group]

    def __str__(self) -> str:
        named = self.group if self.value is None else f"{self.group}={self.value}"
        return f"{named}>={self.least}" if self.most is None else f"{named}<={self.most}"


def parse_quota(text: str) -> Quota:
    """``log<=3``, ``location=boston-seaport<=100``, ``tag.night>=50``; QueryError where it is none of these."""
    found = _FORM.fullmatch(text)
    example = "expected a quota such as log<=3, location=boston-seaport<=100 or tag.night>=50"
    if found is None:
        raise QueryError(f"{example}; found {text!r}")
    group, value, sign, number = found[1], found[2], found[3], int(found[4])
    if group not in PLACES and group not in FLAGS:
        known = ", ".join((*PLACES, "tag.NAME", "label_tag.NAME"))
        raise QueryError(f"expected a quota on one of {known}; found {group!r}")
    if group in FLAGS and value is not None:
        raise QueryError(f"expected {group}{sign}{number}, found a value in {text!r}")
    if sign == ">=" and group in PLACES and value is None:
        raise QueryError(f"expected which {group} at least {number} clips should be of, as in {group}=NAME>={number}")
    return Quota(group, value, least=number) if sign == ">=" else Quota(group, value, most=number)


def parse_quotas(texts: Sequence[str]) -> tuple[Quota, ...]:
    """All of them; QueryError where two are of the same group, value and side."""
    quotas = tuple(parse_quota(text) for text in texts)
    sides = [(q.group, q.value, q.least is None) for q in quotas]
    if len(set(sides)) < len(sides):
        raise QueryError(f"expected each quota once, found {', '.join(map(str, quotas))}")
    return quotas
