"""Replay a Selection: choose again by its query and rule, and say what is no longer as it was."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sceneminer.index.errors import IndexFault, QueryError
from sceneminer.index.hardness import index_version
from sceneminer.index.query import query_of
from sceneminer.index.search import Index
from sceneminer.index.select import AUTO, Report, Rule, select
from sceneminer.index.selection import Selected, Selection


@dataclass(frozen=True)
class Replay:
    """What choosing again gives, beside what was chosen; nothing differs where ``same``."""

    now: Selection
    version_then: str
    version_now: str
    models_changed: bool
    gone: tuple[Selected, ...]
    """Their clips are not in the index any more."""
    left: tuple[Selected, ...]
    """There still, and no longer chosen."""
    new: tuple[Selected, ...]
    rescored: tuple[Selected, ...]
    """Chosen again with another score, as they are now."""
    reordered: bool

    @property
    def same(self) -> bool:
        """Whether the same clips are chosen in the same order with the same scores."""
        return not (self.gone or self.left or self.new or self.rescored or self.reordered)


def replay(index: Index, selection: Selection, *, encode_text: Callable[..., Any] | None = None) -> Replay:
    """Run a Selection's query and rule on an index as it is now. IndexFault where it was picked by hand."""
    if selection.rule.get("picked") == "by hand":
        raise IndexFault("expected a selection made by a rule, found one picked by hand: there is nothing to run again")
    query = query_of(selection.query, "the selection") if selection.query else None
    now = select(index, query, rule_of(selection), encode_text=encode_text)
    return compare(index, selection, now)


def rule_of(selection: Selection) -> Rule:
    """The Rule that a Selection was made by; QueryError where it holds none that we know."""
    told = dict(selection.rule)
    try:
        told["quotas"] = tuple(told.get("quotas", ()))
        told["exclude"] = tuple((str(log), int(start), int(end)) for log, start, end in told.get("exclude", ()))
        rule = Rule(**told)
    except (TypeError, ValueError) as error:
        raise QueryError(f"expected the rule of a selection, found {selection.rule}") from error
    numbers = [rule.n, rule.hardness, rule.score, rule.diversity]
    numbers += [] if rule.near_duplicate in (None, AUTO) else [rule.near_duplicate]
    if not all(type(value) in (int, float) for value in numbers) or not all(isinstance(q, str) for q in rule.quotas):
        raise QueryError(f"expected numbers and quotas in the rule of a selection, found {selection.rule}")
    return rule


def compare(index: Index, then: Selection, report: Report) -> Replay:
    """What differs between a Selection and the one that its rule gives now."""
    now = report.selection
    before, after = ({item.clip_id: item for item in one.items} for one in (then, now))
    missing = [item for clip, item in before.items() if clip not in after]
    there = _present(index, [item.clip_id for item in missing])
    kept = [clip for clip in before if clip in after]
    return Replay(
        now,
        then.index_version,
        index_version(index.store),
        then.models != now.models,
        tuple(item for item in missing if item.clip_id not in there),
        tuple(item for item in missing if item.clip_id in there),
        tuple(item for clip, item in after.items() if clip not in before),
        tuple(after[clip] for clip in kept if after[clip].score != before[clip].score),
        kept != [clip for clip in after if clip in before],
    )


def _present(index: Index, clips: list[str]) -> set[str]:
    wanted = set(clips)
    if not wanted:
        return set()
    found: set[str] = set()
    for batch in index.store.iter_batches("clips", columns=["clip_id"], rows=262_144):
        found.update(wanted.intersection(batch.column(0).to_pylist()))
    return found
