"""An HdMap is the vector map around a drive, in world coordinates; layers are one list for every data set."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from jaxtyping import Float
from numpy import ndarray
from shapely import LineString, Polygon, STRtree, box

AreaLayer = Literal["drivable", "intersection", "crossing", "walkway", "parking", "stop_line"]
LineLayer = Literal["lane_divider", "road_divider", "boundary"]
AREA_LAYERS: tuple[str, ...] = get_args(AreaLayer)
LINE_LAYERS: tuple[str, ...] = get_args(LineLayer)


@dataclass(frozen=True, eq=False)
class MapLane:
    """A lane or a connector through an intersection."""

    lane_id: str
    centerline: Float[ndarray, "n 2"]
    """In driving direction."""
    polygon: Polygon | None
    is_connector: bool
    successors: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class HdMap:
    """Areas, lines and lanes by layer. A layer the data set does not have is absent, not empty."""

    location: str
    areas: Mapping[str, tuple[Polygon, ...]]
    lines: Mapping[str, tuple[LineString, ...]]
    lanes: tuple[MapLane, ...] = ()
    missing: tuple[str, ...] = field(default=())
    """Layers that the data set should have and has not, by its own name for them."""

    def near(self, x_m: float, y_m: float, radius_m: float) -> "HdMap":
        """Only what touches the square of half-width ``radius_m`` around a point; nothing is cut."""
        window = box(x_m - radius_m, y_m - radius_m, x_m + radius_m, y_m + radius_m)
        lines = [LineString(lane.centerline) for lane in self.lanes]
        return replace(
            self,
            areas={name: _touching(shapes, window) for name, shapes in self.areas.items()},
            lines={name: _touching(shapes, window) for name, shapes in self.lines.items()},
            lanes=tuple(self.lanes[i] for i in sorted(STRtree(lines).query(window, predicate="intersects"))),
        )


def _touching(shapes, window):
    return tuple(shapes[i] for i in sorted(STRtree(shapes).query(window, predicate="intersects")))
