"""Filters that speak of agents: which part is about the clip, which about an agent at an instant.

In one conjunction all conditions on an agent are on the same agent at the same instant. ``not`` before such a
condition is about that agent; ``none(...)`` says that no agent of the clip meets it at any instant.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from sqlglot import exp

from sceneminer.index.agent_terms import Condition, Every
from sceneminer.index.errors import QueryError
from sceneminer.index.where import clip_sql, parse_condition, said
from sceneminer.index.where_agents import (
    agent_condition,
    arguments,
    bare,
    flat,
    function_of,
    only_agents,
    speaks_of_agents,
)

MAX_WAYS = 64
"""Conjunctions that a filter is written out to: each is one reading of the agents."""


@dataclass(frozen=True)
class OfClip:
    """A condition on columns of the clip, as SQL that we wrote."""

    sql: str


@dataclass(frozen=True)
class Somebody:
    """At some instant of the clip some agent meets the condition."""

    condition: Condition


@dataclass(frozen=True)
class Nobody:
    """Agents of the clip are known, none meets the condition at any instant, and a map it may need is there."""

    condition: Condition


@dataclass(frozen=True)
class All:
    parts: tuple["Plan", ...]


@dataclass(frozen=True)
class OneOf:
    parts: tuple["Plan", ...]


Plan = OfClip | Somebody | Nobody | All | OneOf


def parse_plan(text: str, *, added: Mapping[str, str] | None = None) -> Plan:
    """What a filter asks of clips and of agents; QueryError where it uses what is not allowed."""
    condition = parse_condition(text)
    if _ways(condition) > MAX_WAYS:
        raise QueryError(f"expected at most {MAX_WAYS} ways to meet a filter on agents, found {_ways(condition)}")
    return _plan(condition, added or {})


def _plan(node: exp.Expr, added: Mapping[str, str]) -> Plan:
    node = bare(node)
    if not speaks_of_agents(node):
        return OfClip(clip_sql(node, added))
    if function_of(node) in ("some", "none"):
        condition = agent_condition(arguments(node, 1, 1)[0])
        return Somebody(condition) if function_of(node) == "some" else Nobody(condition)
    if only_agents(node):
        return Somebody(agent_condition(node))
    if isinstance(node, exp.And):
        return _conjunction(list(flat(node, exp.And)), added)
    if isinstance(node, exp.Or):
        return OneOf(tuple(_plan(part, added) for part in flat(node, exp.Or)))
    if isinstance(node, exp.Not):
        return _negated(node.this, added)
    raise QueryError(f"expected conditions on the clip and on an agent joined by and, or, not; found {said(node)}")


def _conjunction(parts: list[exp.Expr], added: Mapping[str, str]) -> Plan:
    """All parts, on one agent. A part ``A or B`` of which one is about the clip is written out: with A, or with B."""
    for k, part in enumerate(parts):
        if _is_choice(part):
            rest = [*parts[:k], *parts[k + 1 :]]
            ways = flat(part, exp.Or)
            return OneOf(tuple(_conjunction([*rest, *flat(way, exp.And)], added) for way in ways))
    bound = [part for part in parts if only_agents(part)]
    rest = [_plan(part, added) for part in parts if not only_agents(part)]
    return All((*rest, *([Somebody(Every(tuple(map(agent_condition, bound))))] if bound else [])))


def _is_choice(node: exp.Expr) -> bool:
    return isinstance(node, exp.Or) and speaks_of_agents(node) and not only_agents(node)


def _ways(node: exp.Expr) -> int:
    """How many conjunctions a condition is written out to."""
    node = bare(node)
    if isinstance(node, exp.And):
        return prod(map(_ways, flat(node, exp.And)))
    if _is_choice(node):
        return sum(map(_ways, flat(node, exp.Or)))
    return _ways(node.this) if isinstance(node, exp.Not) else 1


def _negated(node: exp.Expr, added: Mapping[str, str]) -> Plan:
    """Of what speaks of clips and agents both: each part is negated, and no agent means none at all."""
    node = bare(node)
    if not speaks_of_agents(node):
        return OfClip(f"(NOT {clip_sql(node, added)})")
    if isinstance(node, exp.Not):
        return _plan(node.this, added)
    return _opposite(_plan(node, added))


def _opposite(plan: Plan) -> Plan:
    match plan:
        case OfClip(sql):
            return OfClip(f"(NOT {sql})")
        case Somebody(condition):
            return Nobody(condition)
        case Nobody(condition):
            return Somebody(condition)
        case All(parts):
            return OneOf(tuple(map(_opposite, parts)))
        case OneOf(parts):
            return All(tuple(map(_opposite, parts)))
