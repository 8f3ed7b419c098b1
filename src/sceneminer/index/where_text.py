"""Texts joined by and, or, not: ``"a bus" and not "rain"`` as a tree; a text without quotes is one part."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlglot import exp

from sceneminer.index.errors import QueryError
from sceneminer.index.where_tree import condition_tree

MAX_TEXT = 1000
MAX_PARTS = 16
_STRAIGHT = str.maketrans(dict.fromkeys("“”„‟", '"'))
"""Phones and word processors set quotes of their own."""


@dataclass(frozen=True)
class Part:
    """One text, by its number among the parts."""

    number: int


@dataclass(frozen=True)
class Both:
    parts: tuple["Node", ...]


@dataclass(frozen=True)
class Any:
    parts: tuple["Node", ...]


@dataclass(frozen=True)
class Without:
    part: "Node"


Node = Part | Both | Any | Without


@dataclass(frozen=True)
class TextQuery:
    texts: tuple[str, ...]
    tree: Node


def parse_text(text: str) -> TextQuery:
    """The parts of a text query; QueryError where it is empty, too long, or quotes are not joined by and, or, not."""
    if not text.strip() or len(text) > MAX_TEXT:
        raise QueryError(f"expected a text of 1 to {MAX_TEXT} characters, found {len(text.strip())}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise QueryError(f"expected text in UTF-8, found {text!r}") from error
    text = text.translate(_STRAIGHT)
    if '"' not in text:
        return TextQuery((text.strip(),), Part(0))
    try:
        condition = condition_tree(text)
    except QueryError as error:
        raise _wrong(text) from error
    texts: list[str] = []
    tree = _node(condition, texts, text)
    if len(texts) > MAX_PARTS:
        raise QueryError(f"expected at most {MAX_PARTS} quoted texts, found {len(texts)}")
    return TextQuery(tuple(texts), tree)


def wanted(tree: Node, *, negated: bool = False) -> Iterator[int]:
    """Numbers of the parts that a clip should be like, rather than unlike."""
    match tree:
        case Part(number):
            if not negated:
                yield number
        case Without(part):
            yield from wanted(part, negated=not negated)
        case Both(parts) | Any(parts):
            for part in parts:
                yield from wanted(part, negated=negated)


def _node(node: exp.Expr, texts: list[str], whole: str) -> Node:
    if isinstance(node, exp.Paren):
        return _node(node.this, texts, whole)
    if isinstance(node, exp.Not):
        return Without(_node(node.this, texts, whole))
    if isinstance(node, exp.And | exp.Or):
        parts = _node(node.this, texts, whole), _node(node.args["expression"], texts, whole)
        return Both(parts) if isinstance(node, exp.And) else Any(parts)
    identifier = node.this if isinstance(node, exp.Column) and len(node.parts) == 1 else None
    if isinstance(identifier, exp.Identifier) and identifier.args.get("quoted") and identifier.name.strip():
        texts.append(identifier.name.strip())
        return Part(len(texts) - 1)
    raise _wrong(whole)


def _wrong(text: str) -> QueryError:
    return QueryError(
        f'expected a text, or quoted texts joined by and, or, not such as "a bus" and not "rain"; found {text}'
    )
