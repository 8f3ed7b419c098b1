"""The semantic prior of a Town: one 8-bit picture of what may be driven or walked on, 10 pixels a metre.

As nuScenes' ``map`` table has it: 255 on carriageways, parking lots, pavements and crossings, 0 elsewhere; row 0 is
the northern edge of the map.
"""

import io

import numpy as np
from numpy import ndarray
from PIL import Image, ImageDraw
from shapely import Polygon

from sceneminer.data.synth.map_expansion import canvas_edge, drivable_polygons, map_offset
from sceneminer.data.synth.scene import Town

PIXELS_PER_M = 10


def basemap_png(town: Town) -> bytes:
    """The encoded semantic prior mask, as large as the map's canvas."""
    width, height = (round(edge * PIXELS_PER_M) for edge in canvas_edge(town))
    image = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(image)
    for piece in drivable_polygons(town):
        _fill(draw, piece, town, height)
    for ring in (*town.walkways, *(crossing.polygon for crossing in town.crossings)):
        _fill(draw, Polygon(ring), town, height)
    data = io.BytesIO()
    image.save(data, "PNG", compress_level=6)
    return data.getvalue()


def _fill(draw: ImageDraw.ImageDraw, area: Polygon, town: Town, height_px: int) -> None:
    """Holes are blanked at once, so areas inside them must be filled later: pavements are."""
    draw.polygon(_pixels(np.array(area.exterior.coords), town, height_px), fill=255)
    for hole in area.interiors:
        draw.polygon(_pixels(np.array(hole.coords), town, height_px), fill=0)


def _pixels(ring: ndarray, town: Town, height_px: int) -> list[tuple[float, float]]:
    xy = (ring[:, :2] + map_offset(town)) * PIXELS_PER_M
    return [(float(x) - 0.5, height_px - float(y) - 0.5) for x, y in xy]
