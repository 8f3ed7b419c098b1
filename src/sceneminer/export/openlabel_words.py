"""The small values that OpenLABEL documents are made of."""

import math
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from sceneminer.export.origin import clean


def number(name: str, value: float | int, **attributes: str) -> dict[str, Any]:
    """A ``num``, with texts about it; NaN and infinity have no place in JSON and must not come here."""
    assert math.isfinite(value), name
    row: dict[str, Any] = {"name": name, "type": "value", "val": value}
    if attributes:
        row["attributes"] = {"text": [text(key, said) for key, said in attributes.items()]}
    return row


def text(name: str, value: str) -> dict[str, Any]:
    return {"name": name, "type": "value", "val": clean(value)}


def frame_intervals(rows: Int[ndarray, "n"]) -> list[dict[str, int]]:
    """Ascending frame numbers as the spans that they fill, both ends included."""
    if len(rows) == 0:
        return []
    breaks = np.flatnonzero(np.diff(rows) > 1)
    starts, ends = np.append(rows[0], rows[breaks + 1]), np.append(rows[breaks], rows[-1])
    return [{"frame_start": int(a), "frame_end": int(b)} for a, b in zip(starts, ends, strict=True)]
