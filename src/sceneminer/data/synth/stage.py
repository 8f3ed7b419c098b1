"""All triangles of a town and of the actors at one time, with the tables that the kernels read.

Static triangles come first, sorted by chunk; actors are written behind them for each picture.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from jaxtyping import Float32, Float64, Int32, UInt8
from numpy import ndarray

from sceneminer.data.synth.ground import carriageway, ground_mesh
from sceneminer.data.synth.ground_paint import GroundTexture, build_texture
from sceneminer.data.synth.mesh import Soup, joined, moved
from sceneminer.data.synth.mesh_person import PHASES
from sceneminer.data.synth.mesh_street import prop_mesh
from sceneminer.data.synth.mesh_thing import actor_mesh, is_walker, walk_extent
from sceneminer.data.synth.scene import Actor, Drive, Town

CHUNK = 256
"""Triangles that are culled together, at most."""
STEP_M = 1.35
"""A walk cycle covers this share of a metre per metre of height, roughly: two steps of an adult."""


@dataclass(frozen=True)
class Scenery:
    """What does not move."""

    soup: Soup
    instance: Int32[ndarray, "n"]
    spans: Int32[ndarray, "c 2"]
    low: Float32[ndarray, "c 3"]
    high: Float32[ndarray, "c 3"]
    seeds: Int32[ndarray, "i"]
    """One seed per instance; instance 0 is the ground, the others are props in order."""
    heights: Float32[ndarray, "i"]
    ground: GroundTexture
    lamps: Float64[ndarray, "l 3"]
    """Where street lamps glow."""


@dataclass(frozen=True)
class Posed:
    """One actor at one time."""

    actor: Actor
    state: Float64[ndarray, "5"]
    mesh: Soup
    signals: UInt8[ndarray, "4"]
    """brakes, left and right indicator, lights on."""


@dataclass
class Meshes:
    """Meshes of a drive's actors, made when first seen."""

    found: dict[tuple[int, int | None], Soup] = field(default_factory=dict)
    extents: dict[int, tuple[ndarray, ndarray]] = field(default_factory=dict)

    def of(self, actor: Actor, phase: int | None) -> Soup:
        key = (actor.actor_id, phase)
        if key not in self.found:
            if phase is not None and actor.actor_id not in self.extents:
                self.extents[actor.actor_id] = walk_extent(actor)
            self.found[key] = actor_mesh(actor, phase=phase, extent=self.extents.get(actor.actor_id))
        return self.found[key]


def build_scenery(town: Town) -> Scenery:
    """Mesh a whole town; raises ValueError for a Prop of unknown kind."""
    ground = ground_mesh(town, carriageway(town))
    pieces, instance, seeds, heights = [], [], [town.seed], [0.0]
    pieces.append(ground)
    instance.append(np.zeros(len(ground), np.int32))
    lamps = []
    for k, prop in enumerate(town.props, start=1):
        x, y, z, yaw = prop.pose
        pieces.append(moved(prop_mesh(prop, town.style), (x, y, z), yaw_rad=float(yaw)))
        instance.append(np.full(len(pieces[-1]), k, np.int32))
        seeds.append(int(prop.variant) & 0xFFFFF)
        heights.append(prop.size_lwh_m[2])
        if prop.kind == "street_lamp":
            arm = prop.size_lwh_m[0] - 0.3
            lamps.append([x + arm * np.cos(yaw), y + arm * np.sin(yaw), z + prop.size_lwh_m[2] - 0.13])
    soup, owner = joined(pieces), np.concatenate(instance)
    order = _chunk_order(soup, owner)
    soup, owner = _picked(soup, order), owner[order]
    spans = _spans(soup, owner)
    low = np.array([soup.xyz[a:b].min((0, 1)) for a, b in spans], np.float32)
    high = np.array([soup.xyz[a:b].max((0, 1)) for a, b in spans], np.float32)
    return Scenery(
        soup,
        owner,
        spans,
        low,
        high,
        np.array(seeds, np.int32),
        np.array(heights, np.float32),
        build_texture(town),
        np.array(lamps, np.float64).reshape(-1, 3),
    )


def _picked(soup: Soup, order: ndarray) -> Soup:
    return Soup(
        soup.xyz[order], soup.normal[order], soup.uv[order], soup.rgb[order], soup.material[order], soup.part[order]
    )


def _chunk_order(soup: Soup, owner: ndarray) -> ndarray:
    """Ground by 24 m tile; other things whole, tile by tile."""
    middle = soup.xyz.mean(1)[:, :2]
    tile = np.floor(middle / 24.0).astype(np.int64)
    big = np.abs(soup.xyz[:, :, :2]).max((1, 2)) > 900.0  # the apron
    first = np.unique(owner, return_index=True)[1]
    anchor = tile[first][np.searchsorted(owner[first], owner)]
    tile = np.where((owner == 0)[:, None], tile, anchor)
    return np.lexsort((owner, tile[:, 1], tile[:, 0], owner > 0, big))


def _spans(soup: Soup, owner: ndarray) -> ndarray:
    tile = np.floor(soup.xyz.mean(1)[:, :2] / 24.0).astype(np.int64)
    ground = owner == 0
    cut = (owner[1:] != owner[:-1]) | (ground[1:] & np.any(tile[1:] != tile[:-1], -1))
    edges = np.concatenate([[0], np.flatnonzero(cut) + 1, [len(owner)]])
    spans = []
    for a, b in pairwise(edges):
        spans += [(s, min(s + 4 * CHUNK, b)) for s in range(a, b, 4 * CHUNK)]
    return np.array(spans, np.int32)


def pose_actors(drive: Drive, time_s: float, meshes: Meshes, *, near: ndarray, reach_m: float) -> list[Posed]:
    """All actors present at a time within reach of a place (x, y), each with the mesh of its step and its lamps."""
    out = []
    for actor in drive.actors:
        state, present = actor.at(time_s)
        if not present or np.hypot(state[0] - near[0], state[1] - near[1]) > reach_m + 0.5 * actor.size_lwh_m[0]:
            continue
        out.append(Posed(actor, state, meshes.of(actor, _phase(actor, state, time_s)), _signals(drive, actor, time_s)))
    return out


def _phase(actor: Actor, state: ndarray, time_s: float) -> int | None:
    if not is_walker(actor.category) or len(actor.states) == 1 or abs(state[4]) < 0.15:
        return None
    n = len(actor.states)
    steps = np.hypot(*np.diff(actor.states[:, :2], axis=0).T)
    at = np.clip(time_s / 0.05, 0, n - 1.0)
    gone = float(steps[: int(at)].sum() + (at - int(at)) * (steps[int(at)] if int(at) < n - 1 else 0.0))
    cycle = gone / max(STEP_M / 1.73 * actor.size_lwh_m[2], 0.3) + (actor.actor_id % 7) / 7.0
    return int(cycle * PHASES) % PHASES


def _signals(drive: Drive, actor: Actor, time_s: float) -> ndarray:
    def now(table: ndarray) -> int:
        return int(table[int(np.clip(round(time_s / 0.05), 0, len(table) - 1))])

    sky = drive.environment
    dark = sky.sun_elevation_rad < 0.1 or sky.rain_mm_h > 0.3 or sky.fog_m < 600.0
    parked = len(actor.states) == 1
    turn = now(actor.indicator)
    blink = ((time_s + 0.31 * (actor.actor_id % 5)) * 1.4) % 1.0 < 0.55
    left, right = turn in (1, 2) and blink, turn in (-1, 2) and blink
    lit = (dark or actor.variant % 5 == 0) and not parked
    return np.array([now(actor.braking) and not parked, left, right, lit], np.uint8)


def town_from_actor(soup: Soup, state: Float64[ndarray, "5"]) -> tuple[ndarray, ndarray]:
    """Corners and normals of an actor's mesh, in the town."""
    c, s = np.cos(state[3]), np.sin(state[3])
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    xyz = soup.xyz @ turn.T.astype(np.float64) + state[:3]
    return xyz.astype(np.float32), soup.normal @ turn.T.astype(np.float32)
