"""Poses, cameras, boxes, grids and rays, as plain NumPy arrays.

Conventions (``docs/reference/conventions.md``): right-handed frames; ego is x forward, y left, z up, origin on the
ground under the rear axle; a camera looks along +z with x right and y down; quaternions are (w, x, y, z);
``a_from_b`` maps points of b to points of a, so ``camera_from_ego @ ego_from_world`` reads by cancellation.
"""
