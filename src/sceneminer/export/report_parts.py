"""The pieces of the report: cards of hits, the hardest clips, sparklines."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from sceneminer.data.errors import DataError
from sceneminer.export.bev import draw_bev
from sceneminer.export.cameras import draw_best_camera
from sceneminer.export.card import ClipCard
from sceneminer.export.html import Html, image_uri, joined, jpeg_uri, png_uri, tag
from sceneminer.export.panel import DARK, LIGHT
from sceneminer.export.picture import ALARMING
from sceneminer.export.subject import open_subject
from sceneminer.export.timeline import Timeline, read_timeline
from sceneminer.export.words import camera_words, hardness_parts, label_tag_names, risk_words, tag_words, top_tags
from sceneminer.index.errors import IndexFault
from sceneminer.index.hardness import percentile
from sceneminer.index.hits import Hit
from sceneminer.index.search import Index

_SHOT_PX = (560, 340)
_HIT_PX = (380, 220)
_SHARP_PX = 200
_BEV_PX = (340, 340)
_SPARK_POINTS = 240
_NULL = {
    "risk": "null: no tracks with ego poses and no risk head",
    "ambiguity": "null: no forecast head",
    "rarity": "null: too few clips of other logs",
}


@dataclass(frozen=True)
class Pictures:
    """Of one clip, as data URIs; None with the reason where there is none."""

    shot: str | None
    bev: tuple[str, str] | None
    """Light and dark."""
    why_no_bev: str


def hit_card(index: Index, hit: Hit, card: ClipCard, thumb: bytes | None) -> Html:
    """One hit of a query. A small tower's thumbnail is replaced by the image itself, where it is still there."""
    shot = image_uri(thumb, "jpeg") if thumb else None
    if thumb and Image.open(io.BytesIO(thumb)).width < _SHARP_PX:
        shot = draw_pictures(index, card, shot_px=_HIT_PX, above=False).shot or shot
    picture = tag("img", src=shot, alt=f"a camera of {hit.log_name}") if shot else tag("div", "no image", class_="none")
    return tag("article", picture, tag("div", *_facts(hit, card), class_="body"), class_="card")


def hard_card(index: Index, hit: Hit, card: ClipCard, thumb: bytes | None) -> Html:
    """One of the hardest clips, with pictures, parts and the risk over its log."""
    pictures = draw_pictures(index, card)
    shot = pictures.shot or (image_uri(thumb, "jpeg") if thumb else None)
    left = tag("img", src=shot, alt="camera at the riskiest instant") if shot else tag("div", "no image", class_="none")
    line = read_timeline(index, card)
    return tag(
        "article",
        tag("div", left, class_="shot"),
        tag("div", _bev(pictures), class_="bev"),
        tag("div", *_facts(hit, card), _parts(index, card), class_="body"),
        tag("div", sparkline(line, card), class_="spark"),
        class_="card hard",
    )


def draw_pictures(index: Index, card: ClipCard, *, shot_px: tuple[int, int] = _SHOT_PX, above: bool = True) -> Pictures:
    """A camera and the view from above, from the log itself; what cannot be drawn says why."""
    try:
        subject = open_subject(index, card)
    except (IndexFault, DataError) as error:
        # The report must not fail because the recordings are elsewhere now; it says so in the picture's place.
        return Pictures(None, None, f"no bird's-eye view: {_first_words(error)}")
    shot = draw_best_camera(subject, shot_px)
    uri = None if shot is None else jpeg_uri(shot)
    if not above:
        return Pictures(uri, None, "")
    if not subject.log.has_poses:
        return Pictures(uri, None, "no bird's-eye view: the log has no ego poses")
    light, dark = (draw_bev(subject, _BEV_PX, span_m=56.0, palette=p, legend=False) for p in (LIGHT, DARK))
    return Pictures(uri, (png_uri(light), png_uri(dark)), "")


def sparkline(line: Timeline, card: ClipCard) -> Html:
    """Risk over the whole log as inline SVG: span of the clip, instant, and risk from 0 to 1."""
    end_s = max((card.log_end_us - card.log_start_us) / 1e6, 0.1)
    low, high = (card.offset_s(t) / end_s * 1000 for t in (card.start_us, card.end_us))
    shapes = [
        tag("rect", class_="span", x=f"{low:.1f}", y=0, width=f"{high - low:.1f}", height=100),
        tag("line", class_="base", x1=0, y1=99.5, x2=1000, y2=99.5),
    ]
    points = _thinned(line, end_s)
    if points:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        shapes.append(tag("polygon", class_="under", points=f"{points[0][0]:.1f},100 {path} {points[-1][0]:.1f},100"))
        shapes.append(tag("polyline", class_="risk", points=path))
    if card.explained and card.why.time_us is not None:
        x = f"{card.offset_s(card.why.time_us) / end_s * 1000:.1f}"
        shapes.append(tag("line", class_="now", x1=x, y1=0, x2=x, y2=100))
    label = f"risk over the log, highest {max((100 - y for _, y in points), default=0) / 100:.2f}"
    chart = tag("svg", *shapes, viewBox="0 0 1000 100", preserveAspectRatio="none", role="img", aria_label=label)
    said = f"risk (0 to 1) from {line.source}" if line.source else "risk unknown"
    axis = tag("div", tag("span", "0 s"), tag("span", said), tag("span", f"{end_s:.0f} s"), class_="axis")
    return tag("div", chart, axis)


def _facts(hit: Hit, card: ClipCard) -> tuple[Html, ...]:
    when = f"{card.offset_s(hit.start_us):.1f}–{card.offset_s(hit.end_us):.1f}\u00a0s"
    if len(hit.clip_ids) > 1:
        when += f", best {card.offset_s(card.start_us):.1f}–{card.offset_s(card.end_us):.1f}\u00a0s"
    hot = (card.risk or 0.0) >= ALARMING
    chips = [tag("span", tag_words(t), " ", tag("i", f"{p:.2f}"), class_="tag") for t, p in top_tags(card, most=4)]
    chips += [tag("span", tag_words(t), class_="tag label") for t in label_tag_names(card)]
    return (
        tag(
            "div",
            tag("b", hit.log_name),
            tag("span", "–" if hit.score is None else f"{hit.score:.3f}", class_="score"),
            class_="top",
        ),
        tag("div", when, class_="when"),
        tag("div", risk_words(card), class_="why hot" if hot else "why"),
        *([tag("div", camera_words(card), class_="why")] if camera_words(card) else []),
        tag("div", *chips, class_="tags"),
        tag("div", ", ".join(part for part in (card.location, card.description) if part), class_="what"),
        tag("div", card.clip_id, class_="id mono"),
    )


def _parts(index: Index, card: ClipCard) -> Html:
    """The parts of hardness: bars are percentiles within this index, numbers are values."""
    hardness = index.manifest.get("hardness", {})
    cells: list[Html] = []
    for name, value in hardness_parts(card):
        weight = hardness.get("weights", {}).get(name)
        cells.append(tag("span", name if weight is None else f"{name} × {weight:g}"))
        if value is None:
            cells += [tag("span", _NULL[name], class_="faint"), tag("span", "null", class_="num faint")]
            continue
        knots = np.array(hardness.get("calibration", {}).get(name, []), np.float64)
        share = float(percentile(np.array([float(value)]), knots)[0]) if len(knots) else 0.0
        bar = tag("div", tag("i", style=f"width:{100 * share:.0f}%"), class_="bar")
        cells += [bar, tag("span", f"{value:.3f} · p{100 * share:.0f}", class_="num")]
    return tag("div", *cells, class_="parts")


def _bev(pictures: Pictures) -> Html:
    if pictures.bev is None:
        return tag("div", pictures.why_no_bev, class_="none")
    light, dark = pictures.bev
    return tag(
        "picture",
        tag("source", srcset=dark, media="(prefers-color-scheme: dark)"),
        tag("img", src=light, alt="bird's-eye view at the riskiest instant, ego heading up"),
    )


def _thinned(line: Timeline, end_s: float) -> list[tuple[float, float]]:
    """At most ``_SPARK_POINTS`` points; each keeps the largest risk around it, so that no peak is lost."""
    known = np.isfinite(line.risk)
    if not known.any():
        return []
    seconds, risk = line.seconds[known], line.risk[known]
    bins = np.array_split(np.arange(len(risk)), min(len(risk), _SPARK_POINTS))
    return [(float(seconds[b].mean() / end_s * 1000), float(100 * (1 - risk[b].max()))) for b in bins]


def _first_words(error: Exception) -> str:
    text = str(error)
    return text if len(text) <= 160 else f"{text[:157]}…"


def described(rows: list[tuple[str, str | Html]]) -> Html:
    """Names and values as a definition list."""
    return tag("dl", joined(*(joined(tag("dt", name), tag("dd", value)) for name, value in rows)))
