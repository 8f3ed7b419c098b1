"""How well text finds clips with no head trained: the towns' test sets, and ten queries on real images."""

REAL_QUERIES: tuple[str, ...] = (
    "a street at night",
    "a bus",
    "a person riding a bicycle",
    "a pedestrian crossing the street",
    "a large truck",
    "a construction zone with traffic cones or barriers",
    "a red traffic light",
    "a row of parked cars on the right",
    "a road lined with trees and no buildings",
    "an empty road without other vehicles",
)
"""Written on 2026-11-20 before the first training run, for precision@5 on real images."""
