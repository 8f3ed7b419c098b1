"""Why a filter finds nothing: what it asks for may be known of no clip of an index."""

from sqlglot import exp

from sceneminer.index.errors import QueryError
from sceneminer.index.head_files import filter_names
from sceneminer.index.search import Index
from sceneminer.index.where import parse_condition, parse_where
from sceneminer.index.where_agents import speaks_of_agents


def known_of_no_clip(index: Index, where: str) -> tuple[str, ...]:
    """What a filter names and the index has of no clip at all: columns that are null throughout, and agents."""
    condition = parse_condition(where)
    agents = speaks_of_agents(condition) and not index.store.rows("agents")
    added, clips = filter_names(index.store), index.store.snapshot("clips")
    names = dict.fromkeys(".".join(part.name for part in column.parts) for column in condition.find_all(exp.Column))
    unknown = [name for name in names if (sql := _is_known(name, added)) is not None and not clips.holds(sql)]
    return (*unknown, *(["agents (they need tracks and ego poses)"] if agents else []))


def _is_known(name: str, added: dict[str, str]) -> str | None:
    """The condition that a column of clips is not null; None for what is no such column."""
    try:
        return parse_where(f"{name} is not null", added=added).sql
    except QueryError:
        return None
