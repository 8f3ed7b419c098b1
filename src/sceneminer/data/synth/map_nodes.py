"""The geometric layers of a nuScenes map expansion: nodes, lines and polygons, each point stored once."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.synth.tables import Row, rounded, token


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
        """Token of a new polygon; rings are open."""
        row = {
            "token": token(self.name, "polygon", len(self._polygons)),
            "exterior_node_tokens": self.nodes(ring),
            "holes": [{"node_tokens": self.nodes(hole)} for hole in holes or []],
        }
        self._polygons.append(row)
        return row["token"]

    def layers(self) -> dict[str, list[Row]]:
        return {"node": list(self._nodes.values()), "line": self._lines, "polygon": self._polygons}
