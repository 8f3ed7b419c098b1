"""The interference benchmark as a page: tables and the sentences that their figures bear out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sceneminer.evals.identity_arms import ARMS, Arm
from sceneminer.evals.identity_bench import ArmResult, Quality

_CATCHES = {
    "optimiser": "`check_optimiser`, before",
    "proof": "`prove`, before",
    "leaving": "hashes, on leaving `isolated`",
    "comparison": "outputs compared, after",
}


@dataclass(frozen=True)
class Spread:
    """Over seeds."""

    mean: float
    low: float
    high: float

    @property
    def nothing(self) -> bool:
        return self.low == self.high == 0.0


@dataclass(frozen=True)
class Summary:
    """One arm over all seeds; differences are the largest, drops are before minus after."""

    arm: Arm
    exact: bool
    """All siblings of all seeds have the same bits as before."""
    upgrade_at_0: float
    at_0: float
    after: float
    by_sibling: dict[str, float]
    per_seed: tuple[float, ...]
    tag_drop: Spread
    retrieval_drop: Spread
    r10_drop: Spread
    risk_spearman: Spread
    risk_loss: Spread
    caught_by: tuple[str, ...]


def summarise(results: Sequence[ArmResult]) -> list[Summary]:
    """In the order of ``ARMS``."""
    found = []
    for arm in ARMS:
        rows = [row for row in results if row.arm == arm.key]
        if rows:
            found.append(_summary(arm, rows))
    return found


def _summary(arm: Arm, rows: Sequence[ArmResult]) -> Summary:
    def drop(read: Callable[[Quality], float]) -> Spread:
        return _spread([read(row.before) - read(row.now) for row in rows])

    return Summary(
        arm=arm,
        exact=all(row.bits_equal for row in rows),
        upgrade_at_0=max(row.upgrade_at_0 for row in rows),
        at_0=max(max(row.at_0.values()) for row in rows),
        after=max(max(row.after.values()) for row in rows),
        by_sibling={name: max(row.after[name] for row in rows) for name in rows[0].after},
        per_seed=tuple(max(row.after.values()) for row in rows),
        tag_drop=drop(lambda q: q.tag_map),
        retrieval_drop=drop(lambda q: q.retrieval_map),
        r10_drop=drop(lambda q: q.retrieval_r10),
        risk_spearman=_spread([row.now.risk_spearman for row in rows]),
        risk_loss=_spread([row.now.risk_loss for row in rows]),
        caught_by=tuple(name for name in _CATCHES if any(name in row.caught_by for row in rows)),
    )


def page(results: Sequence[ArmResult], about: dict[str, str], *, plot: str) -> str:
    """The whole page in markdown; ``plot`` is the picture's address from it, ``about`` says how it was run."""
    summaries = summarise(results)
    groups = {g: [s for s in summaries if s.arm.group == g] for g in ("conditions", "leaks", "evaluation")}
    seeds = len({row.seed for row in results})
    base = [row.before for row in results if row.arm == results[0].arm]
    parts = [
        "# Does adding a head move its siblings?",
        "",
        *_answer(summaries, seeds),
        "",
        _method(about, base),
        "",
        f"![Largest difference of siblings, and what it costs them, by arm]({plot})",
        "",
        "## Two conditions, two by two",
        "",
        *_square(groups["conditions"]),
        "",
        *_table(groups["conditions"]),
        "",
        "## The mechanism with one leak each",
        "",
        "Each is C1 and C2 as above with one thing done wrong, except *everything trained*.",
        "",
        *_table(groups["leaks"]),
        "",
        "## Nothing trained wrongly, but run otherwise",
        "",
        *_table(groups["evaluation"]),
        "",
        *_notes(groups, seeds),
        "",
        "## How it was run",
        "",
        *(f"- {name}: {value}" for name, value in about.items() if name != "base"),
        "",
    ]
    return "\n".join(parts)


def _answer(summaries: Sequence[Summary], seeds: int) -> list[str]:
    by_key = {s.arm.key: s for s in summaries}
    lines = []
    if (ours := by_key.get("ours")) is not None:
        if ours.exact:
            said = f"Ours moves **nothing**: the largest difference is exactly 0, bit for bit, in all {seeds} seeds"
        else:
            said = f"**Ours failed**: siblings moved by up to {ours.after:.2g}"
        others = [s for s in summaries if s.arm.key != "ours"]
        moving = sum(not s.exact for s in others)
        lines.append(f"{said}. Of the other {len(others)} ways to add the same head {moving} move siblings.")
    if {"c1", "c2"} <= by_key.keys():
        c1, c2 = by_key["c1"], by_key["c2"]
        lines.append(
            f"A zero-initialised sub-module that writes into the shared stream (C1 alone) starts {_start(c1.at_0)} and "
            f"has moved siblings by {c1.after:.2g} after training; nothing trainable upstream (C2 alone) leaves them "
            f"{'as they were' if c2.exact else f'moved by {c2.after:.2g}'}. C1 is for the upgraded head itself: it "
            f"starts {by_key['ours'].upgrade_at_0:.2g} from the old one with it and {c2.upgrade_at_0:.2g} without."
        )
    return lines


def _start(at_0: float) -> str:
    return "at exactly 0" if at_0 == 0 else f"at {at_0:.2g}"


def _method(about: dict[str, str], base: Sequence[Quality]) -> str:
    tag, retrieval = (np.mean([getattr(q, name) for q in base]) for name in ("tag_map", "retrieval_map"))
    return (
        f"{about['base']} Siblings: `embedding` (unit length) and `tags` (20 probabilities), at tag mAP {tag:.3f} "
        f"and retrieval mAP {retrieval:.3f} on held-out clips. Each arm upgrades a risk head by the same sub-module "
        "with the same steps, rate and batches. A drop is before minus after, so that a negative one is a gain; "
        "mean over seeds, range in brackets. Differences are the largest over seeds, clips and numbers. **0** means "
        "the same bits."
    )


def _square(conditions: Sequence[Summary]) -> list[str]:
    by = {(s.arm.zero, s.arm.into_stream): s for s in conditions if s.arm.key != "all"}
    if len(by) < 4:
        return []

    def cell(zero: bool, into_stream: bool) -> str:
        s = by[zero, into_stream]
        return f"{number(s.at_0, exact=s.at_0 == 0)} → {number(s.after, exact=s.exact)}"

    return [
        "Siblings' max |Δ|, before any step → after training:",
        "",
        "| | C2: on a private branch | not C2: writes into the stream |",
        "|---|---|---|",
        f"| C1: zero-initialised | {cell(True, False)} (ours) | {cell(True, True)} |",
        f"| not C1 | {cell(False, False)} | {cell(False, True)} |",
    ]


def _table(rows: Sequence[Summary]) -> list[str]:
    return [
        "| arm | what is done | max \\|Δ\\| at step 0 | after: embedding | after: tags | tag mAP drop "
        "| retrieval mAP drop | R@10 drop | upgraded head at step 0 | its Spearman | caught by |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *(_row(s) for s in rows),
    ]


def _row(s: Summary) -> str:
    cells = [
        f"**{s.arm.title}**" if s.arm.key == "ours" else s.arm.title,
        s.arm.says,
        number(s.at_0, exact=s.at_0 == 0),
        *(number(s.by_sibling[name], exact=s.exact or s.by_sibling[name] == 0) for name in ("embedding", "tags")),
        *(drop_words(d) for d in (s.tag_drop, s.retrieval_drop, s.r10_drop)),
        number(s.upgrade_at_0, exact=s.upgrade_at_0 == 0),
        f"{s.risk_spearman.mean:.3f}",
        caught_words(s),
    ]
    return "| " + " | ".join(cells) + " |"


def number(value: float, *, exact: bool) -> str:
    return "**0**" if exact else f"{value:.1e}".replace("e-0", "e-")


def drop_words(drop: Spread) -> str:
    return "**0**" if drop.nothing else f"{drop.mean:+.4f} ({drop.low:+.4f} to {drop.high:+.4f})"


def caught_words(s: Summary) -> str:
    if not s.caught_by:
        return "nothing to catch" if s.exact else "not caught"
    return _CATCHES[s.caught_by[0]]


def _notes(groups: dict[str, list[Summary]], seeds: int) -> list[str]:
    every = [s for rows in groups.values() for s in rows]
    by = {s.arm.key: s for s in every}
    still = [s.arm.title for s in every if s.exact and s.arm.key not in ("ours", "c2")]
    notes = ["## What to take from it", ""]
    if still:
        notes.append(f"- Also exactly 0: {'; '.join(still)}. Not every suspect leaks in every model:")
        notes.append(
            "  queries of this trunk read the clip and never each other, and an average that adds a share of the "
            "difference adds exactly nothing where there is none. With self-attention, or written otherwise, they "
            "can leak; `prove` and the hashes are what tells."
        )
    harmless = [s.arm.title for s in every if not s.exact and s.tag_drop.nothing and s.retrieval_drop.nothing]
    if harmless:
        notes.append(
            f"- Moved without a cost that these {seeds} seeds can show: {'; '.join(harmless)}. Their rows in an index "
            "are other rows all the same: a column back-filled after would not equal one that was mined before."
        )
    gains = [s.arm.title for s in every if s.tag_drop.mean < 0 or s.retrieval_drop.mean < 0]
    if gains:
        most = -min(min(s.tag_drop.mean, s.retrieval_drop.mean) for s in every)
        notes.append(
            f"- A sibling became better on average (a negative drop), by at most {most:.4f}: {'; '.join(gains)}. To "
            "move is not always to get worse; it is never to stay the same."
        )
    if {"all", "ours"} <= by.keys():
        ours, free = by["ours"].risk_spearman, by["all"].risk_spearman
        notes.append(
            f"- The price: the new head reaches Spearman {ours.mean:.3f} ({ours.low:.3f} to {ours.high:.3f}) on the "
            f"frozen stream and {free.mean:.3f} ({free.low:.3f} to {free.high:.3f}) where it may bend everything; "
            f"its loss is {by['ours'].risk_loss.mean:.4f} against {by['all'].risk_loss.mean:.4f}."
        )
    late = [s.arm.title for s in every if s.caught_by and s.caught_by[0] in ("leaving", "comparison")]
    if late:
        notes.append(
            f"- Seen only afterwards: {'; '.join(late)}. The proof looks at what a forward pass reads; what is copied "
            "between passes, or done to weights or to the run itself later, needs the hashes and `sceneminer verify`."
        )
    return notes


def _spread(values: Sequence[float]) -> Spread:
    return Spread(float(np.mean(values)), min(values), max(values))
