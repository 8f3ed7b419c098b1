"""The semantic prior of a Town: one 8-bit picture of what may be driven or walked on, 10 pixels a metre.

As nuScenes' ``map`` table has it: 255 on carriageways, parking lots, pavements and crossings, 0 elsewhere; row 0 is
the northern edge of the map.
"""

import io
from collections.abc import Sequence

import numpy as np
from numpy import ndarray
from PIL import Image, ImageDraw
from shapely import Polygon
from shapely.affinity import translate

from sceneminer.data.synth.map_expansion import canvas_edge, drivable_polygons, map_offset
from sceneminer.data.synth.scene import Town

PIXELS_PER_M = 10


def basemap_png(town: Town) -> bytes:
    """The encoded semantic prior mask, as large as the map's canvas."""
    walks = [Polygon(ring) for ring in (*town.walkways, *(crossing.polygon for crossing in town.crossings))]
    areas = [translate(area, *map_offset(town)) for area in (*drivable_polygons(town), *walks)]
    return mask_png(areas, canvas_edge(town))


def mask_png(areas: Sequence[Polygon], edge_m: tuple[float, float]) -> bytes:
    """Areas of a map frame, in metres, as an encoded mask of ``edge_m`` (width, height) metres from the origin.

    Holes are blanked at once, so areas inside them must come later: pavements do.
    """
    width, height = (round(edge * PIXELS_PER_M) for edge in edge_m)
    image = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(image)
    for area in areas:
        draw.polygon(_pixels(np.array(area.exterior.coords), height), fill=255)
        for hole in area.interiors:
            draw.polygon(_pixels(np.array(hole.coords), height), fill=0)
    data = io.BytesIO()
    image.save(data, "PNG", compress_level=6)
    return data.getvalue()


def _pixels(ring: ndarray, height_px: int) -> list[tuple[float, float]]:
    xy = ring[:, :2] * PIXELS_PER_M
    return [(float(x) - 0.5, height_px - float(y) - 0.5) for x, y in xy]
