"""One clip as one picture: its cameras, a bird's-eye view, and risk over its log."""

from pathlib import Path

from PIL import Image

from sceneminer.data.errors import DataError
from sceneminer.export.bev import draw_bev
from sceneminer.export.cameras import GAP_PX, camera_tiles, draw_cameras
from sceneminer.export.card import ClipCard, read_cards
from sceneminer.export.panel import LIGHT, Palette, Panel, shortened
from sceneminer.export.subject import Subject, open_subject
from sceneminer.export.timeline import draw_timeline, read_timeline
from sceneminer.export.words import (
    SHOWN_FROM,
    camera_words,
    hardness_words,
    label_tag_names,
    risk_words,
    tag_words,
    top_tags,
)
from sceneminer.index.search import Index

WIDTH_PX = 1840
NARROW_PX = 1180
"""Width of a picture without a bird's-eye view."""
HEADER_PX = 105
"""Without the lines below the risk."""
LINE_PX = 17
CAMERAS_PX = 560
"""At most this high."""
BEV_PX = 640
TIMELINE_PX = 150
MARGIN_PX = 16
ALARMING = 0.3
"""A risk from here on is written in red."""


def draw_clip(index: Index, clip_id: str, out: Path) -> None:
    """Draw one clip as a PNG.

    QueryError for an unknown clip, IndexFault where its log has moved, DataError where ``out`` is no PNG.
    """
    if out.suffix.lower() != ".png":
        raise DataError(f"expected a file name that ends in .png, found {out.name!r}")
    card = read_cards(index, [clip_id])[clip_id]
    picture = compose(index, open_subject(index, card))
    out.parent.mkdir(parents=True, exist_ok=True)
    picture.save(out, "PNG", optimize=True)


def compose(index: Index, subject: Subject, *, palette: Palette = LIGHT) -> Image.Image:
    """Words and cameras on the left, the view from above on the right, risk over the log below.

    What the log does not have is said in its place.
    """
    cameras, poses = bool(subject.log.cameras()), subject.log.has_poses
    inner = (WIDTH_PX if poses else NARROW_PX) - 2 * MARGIN_PX
    left_width = inner - BEV_PX - 2 * GAP_PX if poses and cameras else inner
    blocks = [_header(subject, left_width, palette)]
    if not poses:
        blocks.append(_note("the log has no ego poses: no view from above", left_width, palette))
    if cameras:
        tiles = camera_tiles(subject.log, (left_width, CAMERAS_PX))
        blocks.append(draw_cameras(subject, tiles, palette=palette))
    else:
        blocks.append(_note("the log has no images", left_width, palette))
    if poses and not cameras:
        blocks.append(draw_bev(subject, (inner, BEV_PX + 120), palette=palette, span_m=64.0))
    body = _stacked(blocks, palette)
    if poses and cameras:
        body = _beside(body, subject, inner, palette)
    line = read_timeline(index, subject.card)
    chart = draw_timeline(line, subject.card, subject.instant_us, (inner, TIMELINE_PX), palette=palette)
    whole = _stacked([body, chart], palette)
    sheet = Image.new("RGB", (inner + 2 * MARGIN_PX, whole.height + 2 * MARGIN_PX), palette.page[:3])
    sheet.paste(whole, (MARGIN_PX, MARGIN_PX))
    return sheet


def _beside(left: Image.Image, subject: Subject, inner: int, palette: Palette) -> Image.Image:
    height = max(left.height, BEV_PX * 4 // 5)
    body = Image.new("RGB", (inner, height), palette.page[:3])
    body.paste(left, (0, 0))
    body.paste(draw_bev(subject, (BEV_PX, height), palette=palette), (inner - BEV_PX, 0))
    return body


def _header(subject: Subject, width: int, palette: Palette) -> Image.Image:
    card = subject.card
    lines = [line for line in (camera_words(card), hardness_words(card), *_tag_lines(card)) if line]
    panel = Panel(width, HEADER_PX + LINE_PX * len(lines), palette.page)
    span = f"{card.offset_s(card.start_us):.1f} to {card.offset_s(card.end_us):.1f} s"
    panel.text((0, 0), shortened(f"{card.log_name}   {span}", 26, width), palette.ink, size_px=26)
    place = ", ".join(part for part in (card.location, subject.log.dataset, card.clip_id) if part)
    panel.text((0, 34), shortened(place, 14, width), palette.faint, size_px=14)
    if card.description:
        panel.text((0, 54), shortened(card.description, 15, width), palette.faint, size_px=15)
    alarming = (card.risk or 0.0) >= ALARMING
    colour = palette.highlight if alarming else palette.ink
    panel.text((0, 78), shortened(risk_words(card), 17, width), colour, size_px=17)
    for k, line in enumerate(lines):
        panel.text((0, 100 + LINE_PX * k), shortened(line, 14, width), palette.ink, size_px=14)
    return panel.done()


def _tag_lines(card: ClipCard) -> tuple[str, str]:
    """What the model sees, and what rules on the annotations say; either may know nothing."""
    tags = top_tags(card)
    seen = ",  ".join(f"{tag_words(tag)} {p:.2f}" for tag, p in tags)
    unsure = " (none sure)" if tags and tags[0][1] < SHOWN_FROM else ""
    labels = label_tag_names(card)
    unknown = all(value is None for value in card.label_tags.values())
    told = "unknown" if unknown else ", ".join(map(tag_words, labels)) or "none"
    return f"tags{unsure}:  {seen or 'none: no image'}", f"labels:  {told}"


def _note(text: str, width: int, palette: Palette) -> Image.Image:
    panel = Panel(width, 26, palette.page)
    panel.text((0, 13), text, palette.faint, size_px=15, anchor="lm")
    return panel.done()


def _stacked(blocks: list[Image.Image], palette: Palette) -> Image.Image:
    height = sum(block.height for block in blocks) + GAP_PX * (len(blocks) - 1)
    sheet = Image.new("RGB", (max(block.width for block in blocks), height), palette.page[:3])
    y = 0
    for block in blocks:
        sheet.paste(block, (0, y))
        y += block.height + GAP_PX
    return sheet
