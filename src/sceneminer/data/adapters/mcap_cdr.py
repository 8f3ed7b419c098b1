"""ROS 2 messages out of CDR bytes, by the layouts of their public definitions.

Only what is needed is read, and every length is checked against what is there; the definitions that a file
brings along are not followed. Sources: OMG DDSI-RTPS 2.5, clause 10 (CDR); sensor_msgs, nav_msgs, tf2_msgs and
geometry_msgs of ROS 2 (common_interfaces, geometry2), unchanged since its first release.
"""

import struct
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray


class Header(NamedTuple):
    stamp_ns: int
    frame: str


class Cdr:
    """Reads values one behind another; ValueError where the bytes end first."""

    def __init__(self, data: bytes | memoryview):
        if len(data) < 4 or data[0] != 0 or data[1] not in (0, 1):
            raise ValueError(f"expected plain CDR, found {bytes(data[:4])!r}")
        self._data = memoryview(data)[4:]
        self._at = 0
        self._order = "<" if data[1] else ">"

    def take(self, count: int) -> memoryview:
        if count > len(self._data) - self._at:
            raise ValueError(f"expected {count} bytes more, found {len(self._data) - self._at}")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, code: str) -> int:
        size = struct.calcsize(code)
        self._at = -(-self._at // size) * size
        return struct.unpack(self._order + code, self.take(size))[0]

    def uint(self) -> int:
        return self.number("I")

    def text(self) -> str:
        return bytes(self.take(self.uint())).rstrip(b"\0").decode("utf-8", "replace")

    def blob(self) -> memoryview:
        return self.take(self.uint())

    def doubles(self, count: int) -> Float[ndarray, "n"]:
        if count:
            self._at = -(-self._at // 8) * 8
        return np.frombuffer(self.take(8 * count), self._order + "f8").astype(np.float64)

    def header(self) -> Header:
        return Header(self.number("i") * 1_000_000_000 + self.uint(), self.text().lstrip("/"))

    def count(self, least_bytes: int) -> int:
        """How many elements follow, of so many bytes each at least."""
        found = self.uint()
        if found * least_bytes > len(self._data) - self._at:
            raise ValueError(f"expected {found} elements, found {len(self._data) - self._at} bytes")
        return found
