"""Drawing with Pillow: smooth lines, plain text, and the colours that all pictures share."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy import ndarray
from PIL import Image, ImageDraw, ImageFont

Number = float | int
Point = tuple[Number, Number]
Colour = tuple[int, int, int] | tuple[int, int, int, int]
_FINE = 2
# Pillow's own font has no glyphs for these.
_PLAIN = str.maketrans(
    {"–": "-", "—": "-", "−": "-", "²": "2", "×": "x", "µ": "u", "·": ",", "≥": ">=", "≤": "<=", "→": "->", "’": "'"}
)


@dataclass(frozen=True)
class Palette:
    """Colours of one theme."""

    page: Colour
    ink: Colour
    faint: Colour
    """Secondary text and axes."""
    tile: Colour
    """Where an image or map is missing."""
    ground: Colour
    drivable: Colour
    walkway: Colour
    crossing: Colour
    parking: Colour
    lane: Colour
    divider: Colour
    road_divider: Colour
    ego: Colour
    ring: Colour
    vehicle: Colour
    large: Colour
    two_wheeler: Colour
    person: Colour
    prop: Colour
    highlight: Colour = (229, 26, 60)


LIGHT = Palette(
    page=(255, 255, 255),
    ink=(24, 29, 38),
    faint=(105, 113, 125),
    tile=(222, 225, 230),
    ground=(246, 247, 249),
    drivable=(224, 228, 234),
    walkway=(238, 233, 222),
    crossing=(190, 205, 226),
    parking=(230, 222, 236),
    lane=(206, 211, 219),
    divider=(255, 255, 255),
    road_divider=(226, 186, 86),
    ego=(24, 29, 38),
    ring=(172, 178, 188),
    vehicle=(44, 108, 188),
    large=(108, 78, 184),
    two_wheeler=(216, 112, 16),
    person=(12, 140, 110),
    prop=(140, 146, 156),
)
DARK = Palette(
    page=(21, 24, 30),
    ink=(232, 235, 240),
    faint=(148, 156, 168),
    tile=(52, 57, 66),
    ground=(27, 31, 38),
    drivable=(49, 55, 65),
    walkway=(54, 50, 43),
    crossing=(70, 88, 116),
    parking=(58, 50, 66),
    lane=(66, 73, 84),
    divider=(112, 120, 132),
    road_divider=(160, 128, 52),
    ego=(240, 242, 246),
    ring=(96, 104, 116),
    vehicle=(104, 164, 240),
    large=(170, 144, 240),
    two_wheeler=(244, 160, 72),
    person=(64, 206, 168),
    prop=(150, 157, 168),
    highlight=(255, 72, 98),
)
GROUPS: dict[str, tuple[str, ...]] = {
    "vehicle": ("car",),
    "large": ("truck", "bus", "trailer", "construction_vehicle", "emergency_vehicle"),
    "two_wheeler": ("motorcycle", "bicycle", "personal_mobility"),
    "person": ("pedestrian", "animal"),
    "prop": ("cone", "barrier", "debris", "bicycle_rack", "other"),
}
"""Categories by the colour they share."""
GROUP_NAMES = {
    "vehicle": "car",
    "large": "truck, bus",
    "two_wheeler": "two-wheeler",
    "person": "person, animal",
    "prop": "object",
}


def group_of(category: str) -> str:
    return next((group for group, members in GROUPS.items() if category in members), "prop")


def colour_of(category: str, palette: Palette) -> Colour:
    return getattr(palette, group_of(category))


@lru_cache(maxsize=32)
def font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size_px)


def plain(text: str) -> str:
    """What Pillow's own font can show: one line, its known gaps written otherwise."""
    return " ".join(text.translate(_PLAIN).split())


def text_width(text: str, size_px: int) -> float:
    return font(size_px).getlength(plain(text))


def shortened(text: str, size_px: int, width_px: Number) -> str:
    """The text, or as much of it as fits with an ellipsis."""
    if text_width(text, size_px) <= width_px:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text_width(text[:middle] + "…", size_px) <= width_px else (low, middle - 1)
    return text[:low].rstrip() + "…"


@dataclass
class _Text:
    xy: Point
    text: str
    size_px: int
    fill: Colour
    anchor: str
    behind: Colour | None
    halo: Colour | None


@dataclass
class Panel:
    """A drawing in pixels of its final size. Shapes are drawn finer and reduced; text is set last, on top."""

    width: int
    height: int
    background: Colour
    _texts: list[_Text] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.fine = Image.new("RGB", (self.width * _FINE, self.height * _FINE), self.background)
        self._draw = ImageDraw.Draw(self.fine, "RGBA")

    def polygon(
        self, points: ndarray, fill: Colour | None = None, *, outline: Colour | None = None, width: Number = 1.0
    ) -> None:
        flat = _flat(points)
        if fill is not None:
            self._draw.polygon(flat, fill=fill)
        if outline is not None:
            self._draw.line([*flat, *flat[:2]], fill=outline, width=_thick(width), joint="curve")

    def area(self, exterior: ndarray, holes: Iterable[ndarray], fill: Colour) -> None:
        """A polygon with holes."""
        mask = Image.new("L", self.fine.size, 0)
        draw = ImageDraw.Draw(mask)
        draw.polygon(_flat(exterior), fill=255)
        for hole in holes:
            draw.polygon(_flat(hole), fill=0)
        self.fine.paste(tuple(fill[:3]), (0, 0), mask)

    def line(self, points: ndarray | Sequence[Point], fill: Colour, *, width: Number = 1.0) -> None:
        if len(points) > 1:
            self._draw.line(_flat(points), fill=fill, width=_thick(width), joint="curve")

    def dashes(self, start: ndarray, end: ndarray, fill: Colour, *, width: Number = 1.0, dash_px: Number = 5.0) -> None:
        length = float(np.hypot(*(end - start)))
        cuts = np.linspace(0.0, 1.0, 2 * max(round(length / (2 * dash_px)), 1) + 1)
        for a, b in zip(cuts[::2], cuts[1::2], strict=False):
            self.line(np.stack([start + a * (end - start), start + b * (end - start)]), fill, width=width)

    def circle(
        self,
        center: Point,
        radius: Number,
        *,
        fill: Colour | None = None,
        outline: Colour | None = None,
        width: Number = 1.0,
    ) -> None:
        x, y, r = (_FINE * v for v in (*center, radius))
        self._draw.ellipse((x - r, y - r, x + r, y + r), fill=fill, outline=outline, width=_thick(width))

    def rectangle(
        self,
        box: tuple[Number, Number, Number, Number],
        fill: Colour | None = None,
        *,
        outline: Colour | None = None,
        width: Number = 1.0,
    ) -> None:
        fine = tuple(_FINE * v for v in box)
        self._draw.rectangle(fine, fill=fill, outline=outline, width=_thick(width))

    def image(self, picture: Image.Image, xy: tuple[int, int]) -> None:
        """A picture of final size, kept as sharp as it is."""
        size = (picture.width * _FINE, picture.height * _FINE)
        self.fine.paste(picture.resize(size, Image.Resampling.NEAREST), (xy[0] * _FINE, xy[1] * _FINE))

    def text(
        self,
        xy: Point,
        text: str,
        fill: Colour,
        *,
        size_px: int = 13,
        anchor: str = "la",
        behind: Colour | None = None,
        halo: Colour | None = None,
    ) -> None:
        """``behind`` is a plate under the text, ``halo`` a rim around its letters; text is kept inside the panel."""
        self._texts.append(_Text(xy, plain(text), size_px, fill, anchor, behind, halo))

    def done(self) -> Image.Image:
        image = self.fine.resize((self.width, self.height), Image.Resampling.BOX)
        draw = ImageDraw.Draw(image, "RGBA")
        for text in self._texts:
            self._set(draw, text)
        return image

    def _set(self, draw: ImageDraw.ImageDraw, text: _Text) -> None:
        face = font(text.size_px)
        box = draw.textbbox(text.xy, text.text, font=face, anchor=text.anchor)
        dx, dy = _inwards(box[0], box[2], self.width), _inwards(box[1], box[3], self.height)
        xy = (text.xy[0] + dx, text.xy[1] + dy)
        if text.behind is not None:
            plate = (box[0] + dx - 4, box[1] + dy - 3, box[2] + dx + 4, box[3] + dy + 3)
            draw.rounded_rectangle(plate, 3, fill=text.behind)
        rim = 0 if text.halo is None else 2
        draw.text(xy, text.text, fill=text.fill, font=face, anchor=text.anchor, stroke_width=rim, stroke_fill=text.halo)


def _inwards(low: Number, high: Number, size: int) -> Number:
    """How far to shift something so that it lies inside; its beginning does, where it is too long."""
    if low < 0 or high - low > size:
        return -low
    return min(0, size - high)


def _flat(points: ndarray | Sequence[Point]) -> list[float]:
    return (np.asarray(points, np.float64) * _FINE).reshape(-1).tolist()


def _thick(width: Number) -> int:
    return max(1, round(width * _FINE))
