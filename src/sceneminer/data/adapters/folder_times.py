"""When the images of a plain folder were taken, by their names.

A stamp in the name (the last run of digits that is one) is taken as it is; otherwise frame numbers, or the natural
order, count frames of a rate that the user gives.
"""

import math
import re
from collections.abc import Mapping, Sequence

from sceneminer.data.errors import DataError

_STAMP = re.compile(r"(?<![0-9])([1-9][0-9]{12}|[1-9][0-9]{15}|[1-9][0-9]{16,18})(?![0-9])", re.ASCII)
_SECONDS = re.compile(r"(?<![0-9.])([1-9][0-9]{9})\.([0-9]{3,9})(?![0-9])", re.ASCII)
_DIGITS = re.compile(r"([0-9]+)", re.ASCII)


def natural_key(name: str) -> tuple:
    """Sorts frame_2 before frame_10."""
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in _DIGITS.split(name) if part)


def stamp_us(stem: str) -> int | None:
    """Time in µs since 1970 in a file name without its suffix; None where it has none.

    Read as stamps: 13 digits (ms), 16 digits (µs), 17 to 19 digits (ns), and 10 digits, a point and 3 to 9 more
    (s). The last one in the name counts.
    """
    seconds = list(_SECONDS.finditer(stem))
    if seconds:
        whole, fraction = seconds[-1].groups()
        return int(whole) * 1_000_000 + int(fraction[:6].ljust(6, "0"))
    stamps = _STAMP.findall(stem)
    if not stamps:
        return None
    value, digits = int(stamps[-1]), len(stamps[-1])
    return value * 1000 if digits == 13 else value if digits == 16 else value // 1000


def checked_fps(fps: float) -> float:
    if not (math.isfinite(fps) and 0 < fps <= 1000):
        raise DataError(f"expected a frame rate above 0 and at most 1000 a second, found {fps}")
    return fps


def frame_times_us(cameras: Mapping[str, Sequence[str]], fps: float) -> dict[str, list[int]]:
    """Times of stems that count frames at ``fps``: the first frame of the log is at 0.

    The number in a name counts (in steps of their common divisor, so that every tenth frame of a recording counts
    as one), and one number is one time in all cameras; missing numbers leave gaps. Where names have no numbers, or
    so sparse that they cannot be frame numbers, the place in natural order counts. Stems come in natural order.
    """
    numbers = {name: [_number(stem) for stem in stems] for name, stems in cameras.items()}
    indices = _indices(numbers) or {name: list(range(len(stems))) for name, stems in cameras.items()}
    return {name: [round(i * 1_000_000 / checked_fps(fps)) for i in index] for name, index in indices.items()}


def _number(stem: str) -> int | None:
    found = _DIGITS.findall(stem)
    return int(found[-1]) if found else None


def _indices(numbers: Mapping[str, Sequence[int | None]]) -> dict[str, list[int]] | None:
    known = [[n for n in values if n is not None] for values in numbers.values()]
    everything = sorted({n for values in known for n in values})
    if not everything or any(len(set(a)) != len(b) for a, b in zip(known, numbers.values(), strict=True)):
        return None
    first = everything[0]
    step = math.gcd(*(n - first for n in everything)) or 1
    if (everything[-1] - first) // step >= 2 * len(everything):
        return None
    return {name: [(n - first) // step for n in values if n is not None] for name, values in numbers.items()}
