"""The page of figures: markdown tables with plain verdicts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from sceneminer.evals.mining_bootstrap import Estimate
from sceneminer.evals.mining_compare import OURS, Figure, Section, Verdict
from sceneminer.evals.mining_set import EvalSet
from sceneminer.labels.prompts import TAGS

LEAST_LOGS, LEAST_POSITIVE, LEAST_EVENTS = 150, 20, 60
"""What a set must have to be believed."""


@dataclass(frozen=True)
class SetFacts:
    """What a split holds."""

    split: str
    logs: int
    clips: int
    positive_logs: Mapping[str, int]
    """Logs with a clip that has the tag."""
    events: Mapping[str, int]
    """Distinct scripted events that overlap a clip, by kind."""
    event_clips: Mapping[str, int]
    calm_clips: int
    no_risk_share: float
    texts: int
    right_clips_a_text: float


@dataclass(frozen=True)
class SplitReport:
    """All figures of one split; ``per_tag`` is the average precision of each tag by method."""

    facts: SetFacts
    sections: tuple[Section, ...]
    per_tag: Mapping[str, tuple[float, ...]]
    prevalence: tuple[float, ...]


@dataclass(frozen=True)
class Origin:
    """What made the figures."""

    command: str
    commit: str
    date: str
    machine: str
    seeds: int
    resamples: int
    settings: Mapping[str, str]
    """Of the baselines, as chosen on val."""
    train: str
    """What they were trained on."""


def facts_of(split: str, truth: EvalSet, right: ndarray, *, targets: Mapping[str, ndarray]) -> SetFacts:
    """Counts of a split; ``right`` [q n] says which text is true of which clip."""
    has = truth.tags == 1
    events = {(int(log), e) for log, staged in zip(truth.log, truth.staged, strict=True) for e in staged}
    kinds = sorted({e.kind for _, e in events})
    return SetFacts(
        split=split,
        logs=truth.logs,
        clips=len(truth),
        positive_logs={tag: len(np.unique(truth.log[has[:, k]])) for k, tag in enumerate(TAGS)},
        events={kind: sum(e.kind == kind for _, e in events) for kind in kinds},
        event_clips={name: int(clips.sum()) for name, clips in targets.items()},
        calm_clips=int(truth.calm.sum()),
        no_risk_share=float(np.mean(truth.risk == 0)),
        texts=len(right),
        right_clips_a_text=float(right.sum(1).mean()),
    )


def write_page(origin: Origin, reports: Sequence[SplitReport]) -> str:
    """The whole page, verdicts first."""
    names = [r.facts.split for r in reports]
    lines = [
        "# The mining recipe on held-out towns",
        "",
        f"Measured {origin.date} by `{origin.command}` at commit {origin.commit}.",
        f"{origin.machine}. {origin.seeds} seed{'s' * (origin.seeds != 1)}; "
        "test and far are looked at once, val chose everything.",
        f"Figures are means over seeds ± their standard deviation, with 95 % intervals in brackets: {origin.resamples} "
        "resamples of whole logs, of the mean over seeds. Differences are paired: both methods on the same resamples, "
        "against whichever other method is best on the split itself. The code is `src/sceneminer/evals/mining_*.py`.",
        "",
        "What was tried on val, what the auxiliaries bring, what bounds risk, and siblings, cost and back-fill: "
        "`mining_notes.md`.",
        "",
        "## Verdicts",
        "",
        *_verdicts(names, reports),
        "",
        "## The sets",
        "",
        *_sets(reports),
    ]
    for report in reports:
        lines += _split(report)
    return "\n".join([*lines, *_baselines(origin)]) + "\n"


def _verdicts(names: Sequence[str], reports: Sequence[SplitReport]) -> list[str]:
    """A row for everything that was asked for, a pair of columns for every split."""
    found: dict[tuple[str, str], dict[str, Verdict]] = {}
    for report in reports:
        for section in report.sections:
            for verdict in section.verdicts:
                found.setdefault((section.name, verdict.asked), {})[report.facts.split] = verdict
    head = ["signal", "asked", *names, *(f"{name}: difference" for name in names)]
    rows = []
    for (signal, asked), by_split in found.items():
        given = [by_split.get(name) for name in names]
        words = [_word(v) for v in given]
        rows.append([signal, asked if asked != signal else "", *words, *("" if v is None else v.said for v in given)])
    return table(head, rows)


def _word(verdict: Verdict | None) -> str:
    if verdict is None or verdict.reached is None:
        return "not measured"
    return "reached" if verdict.reached else "**not reached**"


def _sets(reports: Sequence[SplitReport]) -> list[str]:
    head = ["", *(r.facts.split for r in reports), "asked"]
    facts = [r.facts for r in reports]
    rows = [
        ["logs", *(str(f.logs) for f in facts), str(LEAST_LOGS)],
        ["clips, 2 s long and 1 s apart", *(str(f.clips) for f in facts), ""],
        ["scripted events", *(str(sum(f.events.values())) for f in facts), str(LEAST_EVENTS)],
        ["fewest positive logs of a tag", *(_fewest(f) for f in facts), str(LEAST_POSITIVE)],
        ["calm-looking clips", *(str(f.calm_clips) for f in facts), ""],
        ["clips with exactly no risk", *(f"{f.no_risk_share:.1%}" for f in facts), ""],
        ["texts", *(str(f.texts) for f in facts), ""],
        ["right clips a text", *(f"{f.right_clips_a_text:.1f}" for f in facts), ""],
    ]
    kinds = sorted({kind for f in facts for kind in f.events})
    rows += [[f"events: {kind}", *(str(f.events.get(kind, 0)) for f in facts), ""] for kind in kinds]
    rows += [[f"clips: {name}", *(str(f.event_clips[name]) for f in facts), ""] for name in facts[0].event_clips]
    return table(head, rows)


def _fewest(facts: SetFacts) -> str:
    tag = min(facts.positive_logs, key=lambda t: facts.positive_logs[t])
    return f"{facts.positive_logs[tag]} ({tag})"


def _split(report: SplitReport) -> list[str]:
    lines = []
    for section in report.sections:
        lines += ["", f"## {report.facts.split}: {section.name}", "", section.defines, "", *_section(section)]
        if section.name == "tags":
            lines += ["", *_tags(report)]
    return lines


def _section(section: Section) -> list[str]:
    if not section.figures:
        return ["**Not measured.**"]
    rows = []
    for method in section.methods:
        by_measure = {f.measure: f for f in section.figures if f.method == method}
        name = f"**{method}**" if method == OURS else method
        rows.append([name, *(_figure(by_measure.get(m)) for m in section.measures)])
    gains = []
    for method in section.methods:
        by_measure = {f.measure: f for f in section.figures if f.method == method and f.gain is not None}
        if by_measure:
            gains.append([method, *(_gain(by_measure.get(m)) for m in section.measures)])
    verdicts = [f"* {v.asked}: {_word(v)} ({v.said})." for v in section.verdicts]
    lines = table(["", *section.measures], rows)
    if gains:
        lines += ["", "Ours minus each:", "", *table(["", *section.measures], gains)]
    return [*lines, "", *verdicts]


def _figure(figure: Figure | None) -> str:
    if figure is None or not np.isfinite(figure.estimate.value):
        return "–"
    spread = f" ± {np.std(figure.seeds, ddof=1):.3f}" if len(figure.seeds) > 1 else ""
    return f"{figure.estimate.value:.3f}{spread} [{figure.estimate.low:.3f}, {figure.estimate.high:.3f}]"


def _gain(figure: Figure | None) -> str:
    gain: Estimate | None = figure.gain if figure else None
    if gain is None or not np.isfinite(gain.value):
        return "–"
    return f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"


def _tags(report: SplitReport) -> list[str]:
    methods = [m for m in report.per_tag if m != "prevalence"]
    head = ["tag", "positive logs", "prevalence", *methods]
    rows = []
    for k, tag in enumerate(TAGS):
        values = [report.per_tag[m][k] for m in methods]
        best = max(values)
        shown = ["–" if not np.isfinite(v) else f"**{v:.2f}**" if v == best else f"{v:.2f}" for v in values]
        rows.append([tag, str(report.facts.positive_logs[tag]), f"{report.prevalence[k]:.2f}", *shown])
    return ["Average precision of each tag, mean over seeds:", "", *table(head, rows)]


def _baselines(origin: Origin) -> list[str]:
    rows = [[name, f"`{setting}`"] for name, setting in origin.settings.items()]
    intro = f"Trained on {origin.train}; steps and settings chosen on val:"
    return ["", "## How the baselines were made", "", intro, "", *table(["baseline", "setting"], rows)]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A markdown table, line by line."""
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]
