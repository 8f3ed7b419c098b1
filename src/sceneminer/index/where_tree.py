"""From a text to the tree of one condition as sqlglot reads it: not checked yet, but nothing of the text is lost."""

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from sceneminer.index.errors import QueryError

DIALECT = "postgres"


def condition_tree(text: str) -> exp.Expr:
    """The tree of one condition; QueryError where the text is none, or more than one, or has a comment in it."""
    try:
        statements = sqlglot.parse(f"SELECT 1 WHERE {text}", read=DIALECT)
        commented = any(token.comments for token in sqlglot.tokenize(text, read=DIALECT))
    except (SqlglotError, RecursionError) as error:
        raise QueryError(f"expected a filter such as risk > 0.6 and tag.rain > 0.5, found {text!r}") from error
    select = statements[0] if len(statements) == 1 else None
    if not isinstance(select, exp.Select) or set(present_parts(select)) != {"expressions", "where"}:
        raise QueryError(f"expected one condition and nothing else, found {text!r}")
    if commented:
        raise QueryError(f"expected one condition without comments (-- or /* */), found {text!r}")
    return select.args["where"].this


def present_parts(node: exp.Expr) -> list[str]:
    """What is set on a node."""
    return [key for key, value in node.args.items() if value not in (None, [], False)]
