"""Conditions on one agent at one instant, from the tree that sqlglot reads to terms that are checked one by one."""

from sqlglot import exp

from sceneminer.data.track import CATEGORIES
from sceneminer.index import agent_words as words
from sceneminer.index.agent_terms import (
    Among,
    Arithmetic,
    Column,
    Compare,
    Condition,
    Either,
    Every,
    Flag,
    IsNull,
    Lasting,
    Magnitude,
    Never,
    Number,
    Placed,
    Value,
)
from sceneminer.index.errors import QueryError
from sceneminer.index.where import (
    ARITHMETIC,
    COMPARISONS,
    number_of,
    require_known_parts,
    said,
)
from sceneminer.index.where_hints import closest

_FUNCTIONS = (*words.PLACES, *words.TURNS, "lasting", "some", "none")


def agent_condition(node: exp.Expr) -> Condition:
    """A condition on an agent; QueryError where it uses what is not allowed."""
    node = bare(node)
    require_known_parts(node)
    if node.args.get("negate"):
        positive = node.copy()
        positive.set("negate", None)
        return Never(agent_condition(positive))
    if isinstance(node, exp.And):
        return Every(tuple(agent_condition(part) for part in flat(node, exp.And)))
    if isinstance(node, exp.Or):
        return Either(tuple(agent_condition(part) for part in flat(node, exp.Or)))
    if isinstance(node, exp.Not):
        return Never(agent_condition(node.this))
    if isinstance(node, exp.Anonymous):
        return _called(node)
    if isinstance(node, exp.Is):
        return _is(node)
    if isinstance(node, exp.Between):
        low, high = (_compared(node.this, sign, node.args[end]) for sign, end in ((">=", "low"), ("<=", "high")))
        return Every((low, high))
    if isinstance(node, exp.In) and node.expressions and not node.args.get("query"):
        return Either(tuple(_compared(node.this, "=", option) for option in node.expressions))
    for kind, sign in COMPARISONS.items():
        if type(node) is kind:
            return _compared(node.this, sign, node.args["expression"])
    if _name(node) in words.BOOLS:
        return Flag(_name(node))
    if isinstance(node, exp.Column):
        raise (
            _unknown(node)
            if _name(node) not in (*words.NUMBERS, *words.TEXTS)
            else QueryError(f"expected a comparison such as {said(node)} > 1, found {said(node)} alone")
        )
    raise QueryError(f"expected conditions on an agent joined by and, or, not; found {said(node)}")


def _is(node: exp.Is) -> Condition:
    name = _name(bare(node.this))
    if name not in (*words.NUMBERS, *words.TEXTS, *words.BOOLS):
        raise _unknown(node.this)
    if isinstance(node.expression, exp.Null):
        return IsNull(name)
    if isinstance(node.expression, exp.Boolean) and name in words.BOOLS:
        return Flag(name) if node.expression.this else Never(Flag(name))
    raise QueryError(f"expected is null or is not null, found {said(node)}")


def _compared(left: exp.Expr, sign: str, right: exp.Expr) -> Condition:
    left, right = bare(left), bare(right)
    if _is_text(left) and not _is_text(right):
        left, right = right, left
    if _name(left) in words.TEXTS and _is_text(right) and sign in ("=", "!="):
        among = Among(_name(left), _texts(_name(left), right.this))
        return among if sign == "=" else Never(among)
    if _name(left) in words.BOOLS and isinstance(right, exp.Boolean) and sign in ("=", "!="):
        return Flag(_name(left)) if right.this == (sign == "=") else Never(Flag(_name(left)))
    return Compare(sign, _value(left), _value(right))


def _is_text(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal) and node.is_string


def _texts(column: str, text: str) -> frozenset[str]:
    return frozenset({text}) if column == "agent.track" else _categories(text)


def _categories(text: str) -> frozenset[str]:
    found = words.categories_of(text.lower())
    if found is None:
        known = (*CATEGORIES, *words.GROUPS)
        raise QueryError(f"unknown category {text!r}; {closest(text, known)}expected one of {', '.join(known)}")
    return found


def _value(node: exp.Expr) -> Value:
    node = bare(node)
    require_known_parts(node)
    if isinstance(node, exp.Literal) and not node.is_string:
        return Number(float(number_of(node.this)))
    if isinstance(node, exp.Neg):
        return Arithmetic("-", Number(0.0), _value(node.this))
    if isinstance(node, exp.Abs):
        return Magnitude(_value(node.this))
    for kind, sign in ARITHMETIC.items():
        if type(node) is kind:
            return Arithmetic(sign, _value(node.this), _value(node.args["expression"]))
    if _name(node) in words.NUMBERS:
        return Column(_name(node))
    if isinstance(node, exp.Column) and _name(node) not in (*words.TEXTS, *words.BOOLS):
        raise _unknown(node)
    raise QueryError(f"expected a number or a number of an agent, found {said(node)}")


def _called(node: exp.Anonymous) -> Condition:
    name = function_of(node)
    if name in words.PLACES:
        return _placed(name, arguments(node, 1, 2))
    if name == "lasting":
        condition, seconds = arguments(node, 2, 2)
        return Lasting(agent_condition(condition), _metres_or_seconds(seconds, "seconds", 600.0))
    if name == "turning":
        return _turning(arguments(node, 0, 1))
    if name in ("accelerating", "braking"):
        arguments(node, 0, 0)
        sign, limit = (">=", words.ACCELERATES_MPS2) if name == "accelerating" else ("<=", -words.ACCELERATES_MPS2)
        return Compare(sign, Column("agent.acceleration_mps2"), Number(limit))
    raise QueryError(f"function {name!r} is not allowed here; expected one of {', '.join(_FUNCTIONS)}")


def _placed(name: str, arguments: list[exp.Expr]) -> Placed:
    if not _is_text(arguments[0]):
        raise QueryError(f"expected {name}('category', metres), found {said(arguments[0])}")
    of = None if arguments[0].this.lower() == "ego" else _categories(arguments[0].this)
    default = words.WITHIN_M[name.removeprefix("has_").removesuffix("_of")]
    within = _metres_or_seconds(arguments[1], "metres", words.REACH_M) if len(arguments) > 1 else default
    return Placed(name, of, within)


def _turning(arguments: list[exp.Expr]) -> Condition:
    turn, moves = Column("agent.turn_rad"), Compare(">=", Column("agent.speed_mps"), Number(words.TURN_MPS))
    left, right = Compare(">=", turn, Number(words.TURN_RAD)), Compare("<=", turn, Number(-words.TURN_RAD))
    if not arguments:
        return Every((moves, Either((left, right))))
    side = arguments[0].this.lower() if _is_text(arguments[0]) else ""
    if side not in ("left", "right"):
        raise QueryError(f"expected turning('left'), turning('right') or turning(), found {said(arguments[0])}")
    return Every((moves, left if side == "left" else right))


def arguments(node: exp.Expr, fewest: int, most: int) -> list[exp.Expr]:
    found = [bare(part) for part in node.expressions]
    if not fewest <= len(found) <= most:
        many = str(fewest) if fewest == most else f"{fewest} to {most}"
        raise QueryError(f"expected {function_of(node)} with {many} arguments, found {len(found)}")
    return found


def _metres_or_seconds(node: exp.Expr, unit: str, most: float) -> float:
    value = float(number_of(node.this)) if isinstance(node, exp.Literal) and not node.is_string else -1.0
    if not 0 < value <= most:
        raise QueryError(f"expected a number of {unit} above 0 and at most {most:g}, found {said(node)}")
    return value


def _unknown(node: exp.Expr) -> QueryError:
    known = (*words.TEXTS, *words.NUMBERS, *words.BOOLS)
    name = said(node)
    return QueryError(f"unknown {name}; {closest(name, known)}expected one of {', '.join(known)}")


def bare(node: exp.Expr) -> exp.Expr:
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def flat(node: exp.Expr, kind: type[exp.Expr]):
    node = bare(node)
    if isinstance(node, kind):
        require_known_parts(node)
        yield from flat(node.this, kind)
        yield from flat(node.args["expression"], kind)
    else:
        yield node


def _name(node: exp.Expr) -> str:
    return ".".join(part.name for part in node.parts).lower() if isinstance(node, exp.Column) else ""


def function_of(node: exp.Expr) -> str:
    return node.name.lower() if isinstance(node, exp.Anonymous) else ""


def _is_of_agent(node: exp.Expr) -> bool:
    return _name(node).startswith(("agent.", "measure.")) or function_of(node) in _FUNCTIONS


def speaks_of_agents(node: exp.Expr) -> bool:
    return any(_is_of_agent(part) for part in node.walk())


def only_agents(node: exp.Expr) -> bool:
    """Whether nothing in it is about the clip, so that it is a condition on one agent at one instant."""
    if any(function_of(part) in ("some", "none") for part in node.walk()):
        return False
    columns = [part for part in node.walk() if isinstance(part, exp.Column)]
    return speaks_of_agents(node) and all(_is_of_agent(column) for column in columns)
