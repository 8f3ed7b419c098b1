"""A clip from above: map, ego, agents as boxes with their velocities and where they came from. Ego heads up."""

from dataclasses import dataclass

import numpy as np
import shapely
from jaxtyping import Float
from numpy import ndarray
from PIL import Image
from shapely.geometry.base import BaseGeometry

from sceneminer.data.hdmap import HdMap
from sceneminer.data.track import AgentStates, states_at
from sceneminer.export.panel import GROUP_NAMES, LIGHT, Colour, Palette, Panel, colour_of, group_of, text_width
from sceneminer.export.subject import Subject, agents_at_us
from sceneminer.export.words import category_words, measure_words
from sceneminer.geometry.box import footprint
from sceneminer.geometry.pose import invert, pose_from_yaw, yaw_of
from sceneminer.labels.ego import ego_size_for

TRAIL_S = 2.0
TRAIL_STEP_S = 0.2
ARROW_S = 1.0
"""A velocity arrow reaches where its agent would be this much later."""
_RINGS_M = (10.0, 20.0, 40.0, 60.0)
_AREAS = ("walkway", "drivable", "parking", "crossing")


@dataclass(frozen=True)
class BevView:
    """How metres in the ego frame become pixels; ego stands below the middle, heading up."""

    width_px: int
    height_px: int
    px_per_m: float

    @property
    def origin(self) -> tuple[float, float]:
        return self.width_px / 2, 0.62 * self.height_px

    def pixels(self, xy_ego_m: Float[ndarray, "*b 2"]) -> Float[ndarray, "*b 2"]:
        """x ahead goes up, y to the left goes left."""
        points = np.asarray(xy_ego_m, np.float64)
        x, y = self.origin
        return np.stack([x - points[..., 1] * self.px_per_m, y - points[..., 0] * self.px_per_m], -1)

    def holds(self, xy_ego_m: Float[ndarray, "2"], *, margin_px: float) -> bool:
        x, y = self.pixels(xy_ego_m)
        inside = margin_px <= x <= self.width_px - margin_px
        return bool(inside and margin_px <= y <= self.height_px - margin_px)


def draw_bev(
    subject: Subject,
    size: tuple[int, int],
    *,
    span_m: float = 70.0,
    palette: Palette = LIGHT,
    legend: bool = True,
) -> Image.Image:
    """The bird's-eye view at the subject's instant, ``size`` (width, height) pixels, ``span_m`` from bottom to top.

    The span grows, at most twofold, where the riskiest agent lies outside. ValueError where the log has no poses.
    """
    if not subject.log.has_poses:
        raise ValueError(f"expected a log with ego poses, found none in {subject.log.log_id}")
    instant = agents_at_us(subject)
    ego = subject.log.poses_at(np.array([instant]))[0][0]
    world_from_ego = pose_from_yaw(ego[0, 3], ego[1, 3], float(yaw_of(ego)))
    back = np.arange(round(TRAIL_S / TRAIL_STEP_S), -1, -1)
    times = instant - np.round(back * TRAIL_STEP_S * 1e6).astype(np.int64)
    agents = states_at(subject.tracks, times)
    view = _view(subject, agents, world_from_ego, size, span_m)
    panel = Panel(*size, background=palette.ground)
    if subject.hdmap is not None:
        _draw_map(panel, view, subject.hdmap, world_from_ego, palette)
    _draw_rings(panel, view, palette)
    placed = _placed(view, agents, world_from_ego, subject.focus)
    # Trails below all bodies: who follows in a lane would otherwise be drawn over by who went before.
    for agent in placed:
        _draw_trail(panel, view, agent, palette)
    _draw_ego(panel, view, subject, times, world_from_ego, palette)
    for agent in placed:
        _draw_agent(panel, view, agent, palette)
    _label_focus(panel, view, subject, agents, world_from_ego, palette)
    _draw_scale(panel, view, palette)
    _say_missing(panel, subject, palette)
    if legend:
        _draw_legend(panel, placed, palette)
    return panel.done()


@dataclass(frozen=True, eq=False)
class _Placed:
    """An agent that is there at the instant, in the ego frame."""

    category: str
    path: Float[ndarray, "t 2"]
    """Where it was, oldest first; the last is where it is."""
    yaw_rad: float
    size_lw_m: Float[ndarray, "2"]
    velocity_mps: Float[ndarray, "2"]
    focus: bool

    @property
    def speed_mps(self) -> float:
        return float(np.hypot(*self.velocity_mps))

    def colour(self, palette: Palette) -> Colour:
        return palette.highlight if self.focus else colour_of(self.category, palette)


def _placed(view: BevView, agents: AgentStates, world_from_ego: ndarray, focus: str | None) -> list[_Placed]:
    """The agents of which something lies in the view; the riskiest last, on top of the others."""
    found = []
    for a in np.flatnonzero(agents.present[:, -1]):
        seen = agents.present[a]
        path = _to_ego(world_from_ego, np.stack([agents.x_m[a, seen], agents.y_m[a, seen]], -1))
        size = np.array([agents.length_m[a, -1], agents.width_m[a, -1]])
        if not view.holds(path[-1], margin_px=-0.5 * float(np.hypot(*size)) * view.px_per_m):
            continue
        yaw = float(agents.yaw_rad[a, -1] - yaw_of(world_from_ego))
        velocity = np.array([agents.vx_mps[a, -1], agents.vy_mps[a, -1]]) @ world_from_ego[:2, :2]
        found.append(_Placed(agents.categories[a], path, yaw, size, velocity, agents.track_ids[a] == focus))
    return sorted(found, key=lambda agent: agent.focus)


def _view(
    subject: Subject, agents: AgentStates, world_from_ego: ndarray, size: tuple[int, int], span_m: float
) -> BevView:
    view = BevView(size[0], size[1], size[1] / span_m)
    if subject.focus not in agents.track_ids:
        return view
    a = agents.track_ids.index(subject.focus)
    if not agents.present[a, -1]:
        return view
    center = _to_ego(world_from_ego, np.array([[agents.x_m[a, -1], agents.y_m[a, -1]]]))[0]
    for grow in np.linspace(1.0, 2.0, 11):
        view = BevView(size[0], size[1], size[1] / (span_m * float(grow)))
        if view.holds(center, margin_px=40.0):
            break
    return view


def _to_ego(world_from_ego: ndarray, xy_world_m: ndarray) -> ndarray:
    ego_from_world = invert(world_from_ego)
    return xy_world_m @ ego_from_world[:2, :2].T + ego_from_world[:2, 3]


def _draw_map(panel: Panel, view: BevView, hdmap: HdMap, world_from_ego: ndarray, palette: Palette) -> None:
    reach = float(np.hypot(view.width_px, view.height_px)) / view.px_per_m
    near = hdmap.near(float(world_from_ego[0, 3]), float(world_from_ego[1, 3]), reach)

    def placed(shape: BaseGeometry) -> BaseGeometry:
        return shapely.transform(shape, lambda xy: view.pixels(_to_ego(world_from_ego, xy)))

    for layer in _AREAS:
        fill = getattr(palette, layer)
        for polygon in near.areas.get(layer, ()):
            shape = placed(polygon)
            panel.area(
                shapely.get_coordinates(shapely.get_exterior_ring(shape)),
                [shapely.get_coordinates(ring) for ring in shape.interiors],  # type: ignore[attr-defined]
                fill,
            )
    for lane in near.lanes:
        if not lane.is_connector:
            panel.line(view.pixels(_to_ego(world_from_ego, lane.centerline)), palette.lane, width=1.0)
    for layer, colour, width in (
        ("lane_divider", palette.divider, 1.5),
        ("boundary", palette.ring, 1.0),
        ("road_divider", palette.road_divider, 1.5),
    ):
        for line in near.lines.get(layer, ()):
            panel.line(shapely.get_coordinates(placed(line)), colour, width=width)
    for line in near.areas.get("stop_line", ()):
        shape = placed(line)
        panel.polygon(shapely.get_coordinates(shapely.get_exterior_ring(shape)), outline=palette.ring)


def _draw_rings(panel: Panel, view: BevView, palette: Palette) -> None:
    for radius in _RINGS_M:
        r = radius * view.px_per_m
        if r < 0.75 * max(view.width_px, view.height_px):
            panel.circle(view.origin, r, outline=palette.ring, width=0.5)
            at = (view.origin[0] + r * np.sin(0.6), view.origin[1] - r * np.cos(0.6))
            if at[0] < view.width_px - 20 and at[1] > 12:
                panel.text(at, f"{radius:g} m", palette.faint, size_px=11, anchor="mm", halo=palette.ground)


def _draw_ego(
    panel: Panel, view: BevView, subject: Subject, times: ndarray, world_from_ego: ndarray, palette: Palette
) -> None:
    own = times[times >= subject.log.pose_times_us[0]]
    path = subject.log.poses_at(own)[0][:, :2, 3] if len(own) else np.zeros((0, 2))
    panel.line(view.pixels(_to_ego(world_from_ego, path)), palette.ego, width=1.5)
    size = ego_size_for(subject.log.dataset)
    body = footprint(np.array([size.rear_axle_to_center_m, 0.0]), 0.0, np.array([size.length_m, size.width_m]))
    panel.polygon(view.pixels(body), palette.ego, outline=palette.page, width=1.0)
    if len(path) >= 2:
        seconds = (own[-1] - own[-2]) / 1e6
        speed = float(np.hypot(*(path[-1] - path[-2]))) / seconds
        _arrow(panel, view, np.array([3.4, 0.0]), np.array([3.4 + ARROW_S * speed, 0.0]), palette.ego)
        at = view.pixels(np.array([-1.2, 0.0]))
        panel.text(
            (at[0], at[1] + 4), f"ego {speed:.1f} m/s", palette.ink, size_px=12, anchor="ma", halo=palette.ground
        )


def _draw_trail(panel: Panel, view: BevView, agent: _Placed, palette: Palette) -> None:
    if agent.speed_mps > 0.3:
        colour = agent.colour(palette)
        colour = colour if agent.focus else (*colour[:3], 130)
        panel.line(view.pixels(agent.path), colour, width=2.0 if agent.focus else 1.5)


def _draw_agent(panel: Panel, view: BevView, agent: _Placed, palette: Palette) -> None:
    center, colour = agent.path[-1], agent.colour(palette)
    body = footprint(center, agent.yaw_rad, np.maximum(agent.size_lw_m, 0.4))
    if agent.focus:
        radius = max(0.75 * float(np.hypot(*agent.size_lw_m)) * view.px_per_m, 11.0)
        x, y = view.pixels(center)
        panel.circle((float(x), float(y)), radius, fill=(*colour[:3], 48), outline=colour)
    panel.polygon(
        view.pixels(body),
        colour if agent.focus else (*colour[:3], 215),
        outline=colour if agent.focus else palette.page,
        width=1.5 if agent.focus else 0.75,
    )
    if group_of(agent.category) != "prop":
        front = 0.5 * (body[0] + body[3])
        panel.line(view.pixels(np.stack([center, front])), palette.page, width=1.0)
    if agent.speed_mps > 0.5:
        _arrow(panel, view, center, center + ARROW_S * agent.velocity_mps, colour)


def _arrow(panel: Panel, view: BevView, start: ndarray, end: ndarray, colour: Colour) -> None:
    a, b = view.pixels(start), view.pixels(end)
    length = float(np.hypot(*(b - a)))
    if length < 4:
        return
    along = (b - a) / length
    across = np.array([-along[1], along[0]])
    head = min(6.0, 0.6 * length)
    panel.line(np.stack([a, b - along * head]), colour, width=1.5)
    panel.polygon(np.stack([b, b - along * head + across * head * 0.5, b - along * head - across * head * 0.5]), colour)


def _label_focus(
    panel: Panel, view: BevView, subject: Subject, agents: AgentStates, world_from_ego: ndarray, palette: Palette
) -> None:
    card = subject.card
    if subject.focus not in agents.track_ids or card.why.measure is None:
        return
    a = agents.track_ids.index(subject.focus)
    if not agents.present[a, -1]:
        return
    center = _to_ego(world_from_ego, np.array([[agents.x_m[a, -1], agents.y_m[a, -1]]]))[0]
    x, y = view.pixels(center)
    gap = max(0.75 * float(agents.length_m[a, -1]) * view.px_per_m, 11.0) + 8
    size_px = 13 if view.width_px >= 400 else 12
    words = f"{category_words(card.why.category)}: {measure_words(card.why.measure, card.why.value)}"
    need = gap + text_width(words, size_px) + 8
    sides = [(x + need < view.width_px, float(x + gap), "lm"), (x - need > 0, float(x - gap), "rm")]
    if x < view.origin[0]:
        sides.reverse()  # outwards first: the words must not hide ego, nor what lies between
    fitting = next((side for side in sides if side[0]), None)
    if fitting is not None:
        at, anchor = (fitting[1], float(y)), fitting[2]
    else:
        above = y < view.origin[1]
        at, anchor = (float(x), float(y - gap if above else y + gap)), "mb" if above else "ma"
    panel.text(at, words, (255, 255, 255), size_px=size_px, anchor=anchor, behind=(*palette.highlight[:3], 235))


def _draw_scale(panel: Panel, view: BevView, palette: Palette) -> None:
    length = 10.0 * view.px_per_m
    x, y = view.width_px - 14, view.height_px - 14
    panel.line([(x - length, y), (x, y)], palette.ink, width=2)
    for end in (x - length, x):
        panel.line([(end, y - 4), (end, y + 4)], palette.ink, width=1.5)
    panel.text((x - length / 2, y - 6), "10 m", palette.ink, size_px=12, anchor="mb", halo=palette.ground)


def _say_missing(panel: Panel, subject: Subject, palette: Palette) -> None:
    a_map = "usable map" if subject.log.has_map else "map"
    missing = [
        what for what, there in ((a_map, subject.hdmap is not None), ("tracks", subject.log.has_tracks)) if not there
    ]
    if missing:
        panel.text(
            (10, 10), f"the log has no {' and no '.join(missing)}", palette.faint, size_px=13, halo=palette.ground
        )
    elif not subject.card.explained:
        panel.text((10, 10), "nobody comes close", palette.faint, size_px=13, halo=palette.ground)


def _draw_legend(panel: Panel, placed: list[_Placed], palette: Palette) -> None:
    here = {group_of(agent.category) for agent in placed}
    rows = [(GROUP_NAMES[group], getattr(palette, group)) for group in GROUP_NAMES if group in here]
    for k, (name, colour) in enumerate(reversed(rows)):
        y = panel.height - 18 - 17 * k
        panel.rectangle((12, y - 5, 24, y + 5), colour, outline=palette.ground)
        panel.text((30, y), name, palette.ink, size_px=12, anchor="lm", halo=palette.ground)
