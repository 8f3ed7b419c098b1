"""Filters: ``risk > 0.6 and tag.rain > 0.5`` parsed by sqlglot, checked node by node, and written anew.

No text of the user's reaches the engine: what runs is emitted here from the checked tree, with numbers printed as
numbers and strings quoted by us. Names outside the allow-list are refused by name. Comparisons with null never match.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from sqlglot import exp
from sqlglot.errors import ErrorLevel

from sceneminer.index.errors import QueryError
from sceneminer.index.where_hints import require_single_quotes, suggestion
from sceneminer.index.where_tree import DIALECT, condition_tree, present_parts
from sceneminer.labels.prompts import TAGS

Kind = Literal["number", "text", "bool"]
MAX_LENGTH = 4000
MAX_NODES = 400
MAX_DEPTH = 60
RISK_RULE = (
    "risk is risk_tracks where the log has tracks and ego poses, "
    "else risk_camera where a trained head made it, else null"
)

_NUMBERS = (
    "risk_tracks",
    "risk_camera",
    "ambiguity",
    "rarity",
    "hardness",
    "local_hour",
    "ego_speed_mps",
    "ego_distance_m",
    "risk_tracks_value",
    "risk_camera_value",
    "risk_camera_x_m",
    "risk_camera_y_m",
)
_CLOCK_FROM_US = 946_684_800_000_000
"""2000-01-01: times before it are counted from the beginning of a recording, or anonymised."""
_HOURS = "(CAST(start_us % 86400000000 AS DOUBLE) / 3600000000.0)"
RISK_COLUMNS = ("risk_tracks", "risk_camera")
_RISK = f"coalesce({', '.join(RISK_COLUMNS)})"
_COUNTS = ("start_us", "end_us", "images", "images_masked", "cameras", "risk_tracks_time_us", "risk_camera_time_us")
"""Whole numbers: compared as doubles (exact to 9e15), since the engine refuses 1.5 or 1e19 beside an integer."""
_TEXTS = (
    "clip_id",
    "log_id",
    "dataset",
    "location",
    "split",
    "risk_tracks_agent",
    "risk_tracks_category",
    "risk_tracks_measure",
    "risk_camera_agent",
    "risk_camera_category",
    "risk_camera_measure",
)
_COLUMNS: dict[str, tuple[str, Kind]] = {
    "risk": (_RISK, "number"),
    # Lance has no CASE: a division by nothing is nothing.
    "hour_utc": (f"({_HOURS} / nullif(CAST(start_us >= {_CLOCK_FROM_US} AS DOUBLE), 0))", "number"),
    "log": ("log_name", "text"),
    **{name: (name, "number") for name in _NUMBERS},
    **{name: (f"CAST({name} AS DOUBLE)", "number") for name in _COUNTS},
    **{name: (name, "text") for name in _TEXTS},
    **{f"tag.{tag}": (f"tag_{tag}", "number") for tag in TAGS},
    **{f"label_tag.{tag}": (f"label_tag_{tag}", "bool") for tag in TAGS},
}
COMPARISONS = {exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<=", exp.EQ: "=", exp.NEQ: "!="}
ARITHMETIC = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/"}
_PARTS: dict[type[exp.Expr], set[str]] = {
    exp.Is: {"this", "expression", "negate"},
    exp.In: {"this", "expressions", "negate"},
    exp.Between: {"this", "low", "high", "negate"},
    exp.Like: {"this", "expression", "negate"},
    exp.Div: {"this", "expression", "typed", "safe"},
    exp.Literal: {"this", "is_string"},
    exp.Column: {"this", "table", "db", "catalog"},
    exp.Boolean: {"this"},
    **{key: {"this"} for key in (exp.Paren, exp.Not, exp.Neg, exp.Abs)},
    **{key: {"this", "expression"} for key in (exp.And, exp.Or, *COMPARISONS, exp.Add, exp.Sub, exp.Mul)},
}
"""What may be set on each kind of node: a part not listed here would otherwise be dropped without a word."""


@dataclass(frozen=True)
class Filter:
    """A checked filter: what the user wrote and what runs."""

    text: str
    sql: str


@dataclass(frozen=True)
class _At:
    """Where in the tree we are, and which columns there are beside the fixed ones."""

    added: Mapping[str, str]
    depth: int = 0

    def deeper(self) -> "_At":
        return replace(self, depth=self.depth + 1)


def column_names() -> tuple[str, ...]:
    """Every name a filter may use."""
    return tuple(_COLUMNS)


def parse_where(text: str, *, added: Mapping[str, str] | None = None) -> Filter:
    """A filter ready to run, or a QueryError that names the column, function or syntax that is not allowed.

    ``added``: columns of numbers of this index's own heads, by each name that a filter may use for them.
    """
    return Filter(text, clip_sql(parse_condition(text), added or {}))


def parse_condition(text: str) -> exp.Expr:
    """The tree of one condition, not yet checked beyond its size; QueryError where it is none."""
    if len(text) > MAX_LENGTH:
        raise QueryError(f"expected a filter of at most {MAX_LENGTH} characters, found {len(text)}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise QueryError(f"expected a filter in UTF-8, found {text!r}") from error
    condition = condition_tree(text)
    nodes = sum(1 for _ in condition.walk())
    if nodes > MAX_NODES:
        raise QueryError(f"expected a filter of at most {MAX_NODES} parts, found {nodes}")
    if _depth(condition) > MAX_DEPTH:
        raise QueryError(f"expected at most {MAX_DEPTH} nested conditions")
    require_single_quotes(condition, _COLUMNS)
    return condition


def clip_sql(condition: exp.Expr, added: Mapping[str, str]) -> str:
    """A condition on columns of clips, checked node by node and written anew for the engine."""
    return _condition(condition, _At(added))


def quote(value: str) -> str:
    """A string literal for the engine."""
    return "'" + value.replace("'", "''") + "'"


def _depth(node: exp.Expr) -> int:
    """Of the deepest node, without recursion: a chain of ``and`` nests as deep as it is long."""
    deepest, stack = 0, [(node, 0)]
    while stack:
        here, depth = stack.pop()
        deepest = max(deepest, depth)
        stack += [(child, depth + 1) for child in here.iter_expressions()]
    return deepest


def _condition(node: exp.Expr, at: _At) -> str:
    require_known_parts(node)
    if node.args.get("negate"):
        positive = node.copy()
        positive.set("negate", None)
        return f"(NOT {_condition(positive, at.deeper())})"
    if at.depth > MAX_DEPTH:
        raise QueryError(f"expected at most {MAX_DEPTH} nested conditions")
    if isinstance(node, exp.Paren):
        return _condition(node.this, at.deeper())
    if isinstance(node, exp.And | exp.Or):
        word = "AND" if isinstance(node, exp.And) else "OR"
        return f"({_condition(node.this, at.deeper())} {word} {_condition(node.expression, at.deeper())})"
    if isinstance(node, exp.Not):
        return f"(NOT {_condition(node.this, at.deeper())})"
    if isinstance(node, exp.Is):
        return _is(node, at)
    for kind, sign in COMPARISONS.items():
        if type(node) is kind:
            return _compare(node.this, sign, node.expression, at)
    if isinstance(node, exp.Between):
        low = _compare(node.this, ">=", node.args["low"], at)
        return f"({low} AND {_compare(node.this, '<=', node.args['high'], at)})"
    if isinstance(node, exp.In) and node.expressions and not node.args.get("query"):
        options = [_compare(node.this, "=", option, at) for option in node.expressions]
        return "(" + " OR ".join(options) + ")"
    if isinstance(node, exp.Like):
        (left, kind), (right, other) = _value(node.this, at), _value(node.expression, at)
        if kind == other == "text" and isinstance(node.expression, exp.Literal):
            return f"({left} LIKE {right})"
        raise QueryError(f"expected like between a text column and a text, found {said(node)}")
    if isinstance(node, exp.Column | exp.Boolean):
        sql, kind = _value(node, at)
        if kind == "bool":
            return sql
        raise QueryError(f"expected a comparison such as {said(node)} > 0.5, found {said(node)} alone")
    raise QueryError(f"expected comparisons joined by and, or, not; found {_name(node)}")


def _is(node: exp.Is, at: _At) -> str:
    sql, kind = _value(node.this, at)
    if isinstance(node.expression, exp.Null):
        return f"({sql} IS NULL)"
    if isinstance(node.expression, exp.Boolean) and kind == "bool":
        return f"({sql} = {'true' if node.expression.this else 'false'})"
    raise QueryError(f"expected is null or is not null, found {said(node)}")


def _compare(left: exp.Expr, sign: str, right: exp.Expr, at: _At) -> str:
    (a, kind_a), (b, kind_b) = _value(left, at.deeper()), _value(right, at.deeper())
    if kind_a != kind_b:
        raise QueryError(f"expected the same type on both sides of {sign}, found {said(left)} and {said(right)}")
    if kind_a == "bool" and sign not in ("=", "!="):
        raise QueryError(f"expected = or != between true and false, found {sign}")
    if a == _RISK and isinstance(right, exp.Literal):
        # The same as coalesce, in a form that ordered indexes on both columns can answer.
        tracks, camera = RISK_COLUMNS
        known = f"{tracks} IS NOT NULL AND {tracks} {sign} {b}"
        return f"(({known}) OR ({tracks} IS NULL AND {camera} {sign} {b}))"
    return f"({a} {sign} {b})"


def require_known_parts(node: exp.Expr) -> None:
    unknown = set(present_parts(node)) - _PARTS.get(type(node), set(present_parts(node)))
    if unknown:
        raise QueryError(f"expected a plain {_name(node)}, found it with {', '.join(sorted(unknown))}")


def _value(node: exp.Expr, at: _At) -> tuple[str, Kind]:
    require_known_parts(node)
    if at.depth > MAX_DEPTH:
        raise QueryError(f"expected at most {MAX_DEPTH} nested terms")
    if isinstance(node, exp.Paren):
        return _value(node.this, at.deeper())
    if isinstance(node, exp.Column):
        return _column(node, at)
    if isinstance(node, exp.Literal):
        return (quote(node.this), "text") if node.is_string else (number_of(node.this), "number")
    if isinstance(node, exp.Boolean):
        return ("true" if node.this else "false"), "bool"
    if isinstance(node, exp.Neg | exp.Abs):
        sql, kind = _value(node.this, at.deeper())
        if kind == "number":
            return (f"(-{sql})" if isinstance(node, exp.Neg) else f"abs({sql})"), "number"
    for operator, sign in ARITHMETIC.items():
        if type(node) is operator:
            (a, kind_a), (b, kind_b) = _value(node.this, at.deeper()), _value(node.expression, at.deeper())
            if kind_a == kind_b == "number":
                # Never a division of whole numbers, and nothing, rather than an error or infinity, by zero.
                return (f"(CAST({a} AS DOUBLE) / nullif({b}, 0))" if sign == "/" else f"({a} {sign} {b})"), "number"
    raise QueryError(f"expected a column, a number or a text, found {_name(node)}")


def _column(node: exp.Column, at: _At) -> tuple[str, Kind]:
    parts = [part.name for part in node.parts]
    name = ".".join(parts).lower()
    if name in at.added and name not in _COLUMNS:
        return at.added[name], "number"
    if name not in _COLUMNS:
        raise QueryError(f"unknown column {name!r}; {suggestion(name, _COLUMNS, at.added)}")
    return _COLUMNS[name]


def number_of(text: str) -> str:
    try:
        value = float(text)
    except ValueError as error:
        raise QueryError(f"expected a number, found {text!r}") from error
    if value != value or value in (float("inf"), float("-inf")):
        raise QueryError(f"expected a finite number, found {text!r}")
    return str(int(text)) if text.isdigit() and len(text) < 10 else repr(value)


def said(node: exp.Expr) -> str:
    """What was read, short enough for a message."""
    return node.sql(dialect=DIALECT, unsupported_level=ErrorLevel.IGNORE)[:80]


def _name(node: exp.Expr) -> str:
    if isinstance(node, exp.Anonymous):
        return f"function {node.name!r}"
    if isinstance(node, exp.Func):
        return f"function {node.sql_name().lower()!r}"
    return f"{type(node).__name__.lower()} {said(node)!r}"
