"""What to say to somebody whose filter has a slip of the pen."""

import difflib
from collections.abc import Iterable

from sqlglot import exp

from sceneminer.index import agent_words as words
from sceneminer.index.errors import QueryError
from sceneminer.labels.prompts import TAGS

_TAGS = ("tag.", "label_tag.")


def suggestion(name: str, columns: Iterable[str], added: Iterable[str]) -> str:
    """The likeliest name, if one is alike, and the names to choose from: tags for a tag, else columns."""
    prefix = next((prefix for prefix in _TAGS if name.startswith(prefix)), None)
    if prefix is not None:
        alike = closest(name.removeprefix(prefix), TAGS, prefix)
        return f"{alike}expected one of {', '.join(prefix + tag for tag in TAGS)}"
    columns, added = list(columns), list(added)
    alike = closest(name, [*columns, *added, *words.NUMBERS, *words.TEXTS, *words.BOOLS])
    plain = [column for column in columns if not column.startswith(_TAGS)]
    heads = [column for column in added if column.startswith("head_")]
    return f"{alike}expected one of {', '.join([*plain, *heads])}, tag.NAME or label_tag.NAME"


def closest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """``did you mean NAME? `` or nothing."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.7)
    return f"did you mean {prefix}{found[0]}? " if found else ""


def require_single_quotes(condition: exp.Expr, columns: Iterable[str]) -> None:
    """QueryError where a name stands for what must be a text: ``location = "boston"``, ``near(car)``."""
    known = frozenset(columns)
    for column in condition.find_all(exp.Column):
        text, above = column.name, column.parent
        quoted = bool(column.this.args.get("quoted"))
        named = isinstance(above, exp.Anonymous) and above.name.lower() in (*words.PLACES, *words.TURNS)
        compared = isinstance(above, exp.EQ | exp.NEQ | exp.In | exp.Like) and column.arg_key != "this"
        if len(column.parts) == 1 and text.lower() not in known and (named or (compared and quoted)):
            found = f'"{text}"' if quoted else text
            raise QueryError(f"expected a text in single quotes, '{text}'; found {found}")
