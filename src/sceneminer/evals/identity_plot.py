"""The interference benchmark as a picture: how far siblings moved, on a log scale with a lane for exactly 0, and what
it cost them."""

import math
from collections.abc import Sequence

from PIL import Image

from sceneminer.evals.identity_page import Spread, Summary
from sceneminer.export.panel import LIGHT, Colour, Panel

_WIDTH, _ROW, _TOP, _BOTTOM = 1120, 30, 92, 64
_ZERO_X, _LEFT, _RIGHT = 330, 390, 700
_COST_LEFT, _COST_RIGHT = 800, 1084
_LOW, _HIGH = -8, 0
_OURS: Colour = (12, 140, 110)
_HEADINGS = {"conditions": "two conditions", "leaks": "C1 and C2 with one leak", "evaluation": "run otherwise"}


def draw(summaries: Sequence[Summary]) -> Image.Image:
    """One row an arm: a dot a seed, filled green where bits are equal; right, the drops with their ranges."""
    groups = [name for name in _HEADINGS if any(s.arm.group == name for s in summaries)]
    height = _TOP + _ROW * (len(summaries) + len(groups)) + _BOTTOM
    panel = Panel(_WIDTH, height, LIGHT.page)
    bottom = float(height - _BOTTOM)
    top_drop = max(
        (abs(v) for s in summaries for d in (s.tag_drop, s.retrieval_drop) for v in (d.low, d.high)), default=0
    )
    scale = _nice(top_drop)
    _axes(panel, bottom, scale)
    y = float(_TOP)
    for group in groups:
        panel.text((16, y + _ROW / 2), _HEADINGS[group], LIGHT.faint, size_px=13, anchor="lm")
        y += _ROW
        for summary in (s for s in summaries if s.arm.group == group):
            _row(panel, summary, y + _ROW / 2, scale)
            y += _ROW
    return panel.done()


def _axes(panel: Panel, bottom: float, scale: float) -> None:
    panel.text((16, 16), "What adding one head does to its siblings", LIGHT.ink, size_px=18)
    panel.text((_ZERO_X, 50), "largest difference after training, a dot a seed", LIGHT.ink, size_px=13, anchor="lm")
    panel.text((_COST_LEFT, 50), "drop in mAP, mean and range", LIGHT.ink, size_px=13, anchor="lm")
    panel.rectangle((_ZERO_X - 26, _TOP - 8, _ZERO_X + 26, bottom), (226, 243, 237))
    panel.text((_ZERO_X, bottom + 8), "exactly 0", _OURS, size_px=13, anchor="ma")
    for power in range(_LOW, _HIGH + 1, 2):
        x = _log_x(10.0**power)
        panel.line([(x, _TOP - 8), (x, bottom)], LIGHT.tile, width=0.75)
        panel.text((x, bottom + 8), f"1e{power}" if power else "1", LIGHT.faint, size_px=12, anchor="ma")
    for share in (-1.0, -0.5, 0.0, 0.5, 1.0):
        x = _cost_x(share * scale, scale)
        panel.line([(x, _TOP - 8), (x, bottom)], LIGHT.faint if share == 0 else LIGHT.tile, width=0.75)
        panel.text((x, bottom + 8), f"{share * scale:+g}" if share else "0", LIGHT.faint, size_px=12, anchor="ma")
    panel.text((_COST_LEFT, bottom + 30), "better", LIGHT.faint, size_px=12, anchor="la")
    panel.text((_COST_RIGHT, bottom + 30), "worse", LIGHT.faint, size_px=12, anchor="ra")
    for x, colour, name in ((_COST_LEFT, LIGHT.vehicle, "tags"), (_COST_LEFT + 80, LIGHT.two_wheeler, "retrieval")):
        panel.circle((x + 5, 70), 4, fill=colour)
        panel.text((x + 15, 70), name, LIGHT.ink, size_px=12, anchor="lm")
    panel.circle((_ZERO_X + 5, 70), 4, outline=LIGHT.faint, width=1.25)
    panel.text((_ZERO_X + 15, 70), "before any step, where not 0", LIGHT.ink, size_px=12, anchor="lm")


def _row(panel: Panel, summary: Summary, y: float, scale: float) -> None:
    ours = summary.arm.key == "ours"
    panel.line([(28, y + _ROW / 2), (_COST_RIGHT, y + _ROW / 2)], LIGHT.ground, width=0.75)
    panel.text((28, y), summary.arm.title, _OURS if ours else LIGHT.ink, size_px=14, anchor="lm")
    still = [value for value in summary.per_seed if value == 0]
    for i in range(len(still)):
        panel.circle((_ZERO_X + 13 * (i - (len(still) - 1) / 2), y), 4.5, fill=_OURS)
    if summary.at_0 > 0:
        panel.circle((_log_x(summary.at_0), y), 5, outline=LIGHT.faint, width=1.25)
    for value in summary.per_seed:
        if value > 0:
            panel.circle((_log_x(value), y), 4.5, fill=(*LIGHT.highlight[:3], 190))
    _cost(panel, summary.tag_drop, y - 5, LIGHT.vehicle, scale)
    _cost(panel, summary.retrieval_drop, y + 5, LIGHT.two_wheeler, scale)


def _cost(panel: Panel, drop: Spread, y: float, colour: Colour, scale: float) -> None:
    panel.line([(_cost_x(drop.low, scale), y), (_cost_x(drop.high, scale), y)], colour, width=1.5)
    panel.circle((_cost_x(drop.mean, scale), y), 4, fill=colour)


def _log_x(value: float) -> float:
    share = (math.log10(max(value, 10.0**_LOW)) - _LOW) / (_HIGH - _LOW)
    return _LEFT + min(share, 1.0) * (_RIGHT - _LEFT)


def _cost_x(value: float, scale: float) -> float:
    return (_COST_LEFT + _COST_RIGHT) / 2 + value / scale * (_COST_RIGHT - _COST_LEFT) / 2


def _nice(value: float) -> float:
    """A round number at least as large."""
    if value <= 0:
        return 0.01
    unit = 10.0 ** math.floor(math.log10(value))
    return next(step * unit for step in (1, 2, 4, 10) if step * unit >= value * 1.02)
