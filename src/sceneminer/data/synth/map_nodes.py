"""The geometric layers of a nuScenes map expansion: nodes, lines and polygons, each point stored once."""

from dataclasses import dataclass, field

import numpy as np
import shapely
from jaxtyping import Float
from numpy import ndarray
from shapely import Polygon

from sceneminer.data.synth.tables import Row, rounded, token

_GRID_M = 1e-3


@dataclass
class MapNodes:
    """Collects points of the town frame as nodes of the map frame; equal points (to 1 mm) are one node."""

    name: str
    offset_m: tuple[float, float]
    _nodes: dict[tuple[float, float], Row] = field(default_factory=dict)
    _lines: list[Row] = field(default_factory=list)
    _polygons: list[Row] = field(default_factory=list)

    def nodes(self, points: Float[ndarray, "n 2"]) -> list[str]:
        """Node tokens of points."""
        tokens = []
        for point in np.asarray(points, np.float64)[:, :2] + self.offset_m:
            x, y = rounded(point, 3)
            row = self._nodes.setdefault((x, y), {"token": token(self.name, "node", x, y), "x": x, "y": y})
            tokens.append(row["token"])
        return tokens

    def line(self, points: Float[ndarray, "n 2"]) -> str:
        """Token of a new line through points."""
        row = {"token": token(self.name, "line", len(self._lines)), "node_tokens": self.nodes(points)}
        self._lines.append(row)
        return row["token"]

    def polygon(self, ring: Float[ndarray, "n 2"], *, holes: list[ndarray] | None = None) -> str:
        """Token of a new polygon; rings are open.

        Rounding can make a thin notch cross itself, and the devkit skips invalid polygons without a word, so such a
        ring is mended and its largest part kept.
        """
        area = Polygon(_rounded_ring(ring), [_rounded_ring(hole) for hole in holes or []])
        if not area.is_valid:
            parts = shapely.get_parts(shapely.set_precision(shapely.make_valid(area, method="structure"), _GRID_M))
            area = max(parts, key=lambda part: part.area)
            ring = np.array(area.exterior.coords)[:-1]
            holes = [np.array(hole.coords)[:-1] for hole in area.interiors]
        row = {
            "token": token(self.name, "polygon", len(self._polygons)),
            "exterior_node_tokens": self.nodes(ring),
            "holes": [{"node_tokens": self.nodes(hole)} for hole in holes or []],
        }
        self._polygons.append(row)
        return row["token"]

    def layers(self) -> dict[str, list[Row]]:
        return {"node": list(self._nodes.values()), "line": self._lines, "polygon": self._polygons}


def _rounded_ring(ring: Float[ndarray, "n 2"]) -> Float[ndarray, "n 2"]:
    return np.round(np.asarray(ring, np.float64)[:, :2] / _GRID_M) * _GRID_M
