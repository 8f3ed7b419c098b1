"""An index as one HTML file: what was searched and found, the hardest clips, how often each tag holds, and why."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sceneminer.export.card import read_cards
from sceneminer.export.html import Html, joined, styled, tag
from sceneminer.export.report_parts import described, hard_card, hit_card
from sceneminer.export.report_style import CSS
from sceneminer.export.words import SHOWN_FROM, tag_words
from sceneminer.index.hardness import WEIGHTS
from sceneminer.index.hits import Hit
from sceneminer.index.manage import IndexInfo, index_info
from sceneminer.index.quarantine import Quarantine
from sceneminer.index.search import Index
from sceneminer.index.where import quote
from sceneminer.labels.prompts import TAGS

_NAMED = 40
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def write_report(
    index: Index,
    out: Path,
    *,
    searches: Sequence[tuple[str, Sequence[Hit]]],
    hardest: Sequence[Hit],
    title: str = "sceneminer report",
    note: str = "",
) -> None:
    """Write one self-contained HTML file: no script, no request, all text of logs escaped, light and dark.

    ``note`` is one sentence under the title, e.g. on what the model can do. Pictures are drawn from the logs where
    they still lie where the index says; elsewhere the thumbnails of the index stand in.
    """
    info = index_info(index)
    hits = [hit for _, found in searches for hit in found] + list(hardest)
    cards = read_cards(index, [hit.best_clip_id for hit in hits])
    thumbs = _thumbs(index, cards)
    rows = [
        tag("h3", tag("q", text))
        + _hits([hit_card(index, h, cards[h.best_clip_id], thumbs.get(h.best_clip_id)) for h in found])
        for text, found in searches
    ]
    hard = [hard_card(index, h, cards[h.best_clip_id], thumbs.get(h.best_clip_id)) for h in hardest]
    body = tag(
        "main",
        tag("h1", title),
        tag("p", note) if note else None,
        _summary(index, info),
        _section("Searches", "Intervals by similarity to the text, best first.", [Html(row) for row in rows]),
        _section("Hardest", _hardness_words(), hard),
        _section("Tags", _TAG_NOTE, [_prevalence(index)]),
        _section("Where this comes from", "", [_provenance(info), _logs(index)]),
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        styled(CSS),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("<!DOCTYPE html>\n" + tag("html", head, tag("body", body), lang="en"), encoding="utf-8")


_TAG_NOTE = (
    f"Share of clips that the model gives a probability of {SHOWN_FROM:g} or more, and share that rules on the "
    "annotations give, of those clips where the rules can know. On cards: filled, with probability, from the model; "
    "outlined from the rules."
)


def _section(title: str, words: str, parts: Iterable[Html]) -> Html:
    inner = list(parts) or [tag("p", "nothing found")]
    return tag("section", tag("h2", title), tag("p", words) if words else None, *inner)


def _hits(cards: list[Html]) -> Html:
    return tag("div", *cards, class_="hits") if cards else tag("p", "nothing found")


def _thumbs(index: Index, clip_ids: Iterable[str]) -> dict[str, bytes]:
    names = ", ".join(quote(name) for name in clip_ids)
    if not names:
        return {}
    rows = index.store.read("thumbs", columns=["clip_id", "jpeg"], where=f"clip_id IN ({names})").to_pylist()
    return {row["clip_id"]: row["jpeg"] for row in rows}


def _hardness_words() -> str:
    weights = ", ".join(f"{name} {weight:g}" for name, weight in WEIGHTS.items())
    return (
        f"Hardness weighs the percentiles of its parts: {weights}. A null part is left out, never taken for zero. "
        "Numbers are values; bars and p are percentiles among the clips of this index."
    )


def _summary(index: Index, info: IndexInfo) -> Html:
    """Counts, and by name what was masked or left out."""
    totals = index.store.read("clips", columns=["ego_distance_m"])
    logs = index.store.read("logs", columns=["start_us", "end_us"])
    minutes = float(np.sum(logs["end_us"].to_numpy() - logs["start_us"].to_numpy())) / 6e7
    quarantine = Quarantine(index.folder)
    masked, clips_out, logs_out = (quarantine.count(what) for what in ("image", "clip", "log"))
    stats = (
        (f"{info.logs}", "logs"),
        (f"{minutes:.1f} min", "of driving"),
        (f"{totals.num_rows}", "clips"),
        (f"{info.clips_with_images}", "clips with images"),
        (f"{info.clips_with_risk_tracks}", "clips with risk from tracks"),
        (f"{info.clips_with_risk_camera}", "clips with risk from cameras"),
        (f"{masked}", "images masked"),
        (f"{clips_out} + {logs_out}", "clips + logs quarantined"),
    )
    tiles = tag(
        "div", *(tag("div", tag("b", n), tag("span", what), class_="stat") for n, what in stats), class_="stats"
    )
    lines = sorted(quarantine.lines)
    if not lines:
        return joined(tiles, tag("p", "Nothing was masked or left out."))
    kinds = ", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in sorted(Counter(x.kind for x in lines).items()))
    cells = [[line.what, line.subject, line.reason] for line in lines[:_NAMED]]
    more = tag("p", f"and {len(lines) - _NAMED} more in quarantine.jsonl") if len(lines) > _NAMED else None
    named = tag(
        "details", tag("summary", f"Masked or left out: {kinds}"), _table(["what", "which", "why"], cells), more
    )
    return joined(tiles, named)


def _prevalence(index: Index) -> Html:
    columns = [f"{kind}_{name}" for kind in ("tag", "label_tag") for name in TAGS]
    rows = index.store.read("clips", columns=columns)
    cells: list[list[str]] = []
    for name in TAGS:
        model = [p for p in rows[f"tag_{name}"].to_pylist() if p is not None]
        rules = [holds for holds in rows[f"label_tag_{name}"].to_pylist() if holds is not None]
        cells.append([tag_words(name), *_share([p >= SHOWN_FROM for p in model]), *_share(rules)])
    return _table(["tag", "model", "", "rules", ""], cells, class_="prevalence")


def _share(holds: list[bool]) -> tuple[str | Html, Html]:
    if not holds:
        return "unknown", tag("span", class_="wide")
    share = sum(holds) / len(holds)
    bar = tag("div", tag("i", style=f"width:{100 * share:.1f}%"), class_="bar wide")
    return f"{sum(holds)} of {len(holds)}", bar


def _provenance(info: IndexInfo) -> Html:
    manifest: dict[str, Any] = info.manifest
    model, mining, hardness = (manifest.get(name, {}) for name in ("model", "mining", "hardness"))
    source = str(model.get("source", "none"))
    rows: list[tuple[str, str | Html]] = [
        ("model", Path(source).name if Path(source).is_absolute() else source),
        ("precision", str(model.get("precision", "none"))),
        ("text space", tag("span", str(model.get("space", "none")), class_="mono")),
        ("stream fingerprint", tag("span", str(model.get("stream_fingerprint", "none")), class_="mono")),
        ("index version", tag("span", info.index_version, class_="mono")),
        ("hardness computed at", tag("span", str(hardness.get("index_version", "never")), class_="mono")),
        ("index format", str(manifest.get("format_version"))),
        ("risk rule", info.risk_rule),
    ]
    if mining:
        rows.append(("clips", f"{mining['length_us'] / 1e6:g} s long, {mining['stride_us'] / 1e6:g} s apart"))
    rows += [(name, str(made)) for name, made in sorted(manifest.get("columns", {}).items())]
    return described(rows)


def _logs(index: Index) -> Html:
    columns = ["name", "dataset", "split", "location", "description", "licence", "cameras", "has_tracks", "has_map"]
    rows = sorted(index.store.read("logs", columns=columns).to_pylist(), key=lambda row: str(row["name"]))
    licences = Counter(f"{row['dataset']}: {row['licence'] or 'licence not stated'}" for row in rows)
    cells = [
        [
            row["name"],
            row["dataset"],
            row["location"] or "",
            row["description"] or "",
            f"{len(row['cameras'])} cameras, {'tracks' if row['has_tracks'] else 'no tracks'}, "
            f"{'map' if row['has_map'] else 'no map'}",
            row["licence"] or "not stated",
        ]
        for row in rows[: 5 * _NAMED]
    ]
    said = "; ".join(f"{n} logs of {name}" for name, n in sorted(licences.items()))
    table = _table(["log", "data set", "location", "description", "has", "licence"], cells)
    return joined(
        described([("licences of logs", said)]), tag("details", tag("summary", f"The {len(rows)} logs"), table)
    )


def _table(names: list[str], cells: Sequence[Sequence[str]], *, class_: str | None = None) -> Html:
    head = tag("thead", tag("tr", *(tag("th", name) for name in names)))
    body = tag("tbody", *(tag("tr", *(tag("td", cell) for cell in row)) for row in cells))
    return tag("div", tag("table", head, body, class_=class_), class_="scroll")
