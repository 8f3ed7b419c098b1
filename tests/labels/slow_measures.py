"""Every measure once more, for one pair and in plain Python: from the definitions, with polygons instead of arrays.

A body is a dict of floats with the names of ``Bodies``. What two rectangles do to each other is read off the Minkowski
difference of their corners: they touch where ego's centre, seen from the agent's, lies in that polygon.
"""

from itertools import pairwise
from math import atan2, cos, hypot, inf, nan, pi, sin, sqrt

HORIZON_S = 4.0
CAP_MPS2 = 20.0
FOREVER_S = 1e6

Body = dict[str, float]
Point = tuple[float, float]


def corners(b: Body) -> list[Point]:
    c, s = cos(b["yaw_rad"]), sin(b["yaw_rad"])
    out = []
    for along, across in ((0.5, 0.5), (-0.5, 0.5), (-0.5, -0.5), (0.5, -0.5)):
        x, y = along * b["length_m"], across * b["width_m"]
        out.append((b["x_m"] + c * x - s * y, b["y_m"] + s * x + c * y))
    return out


def hull(points: list[Point]) -> list[Point]:
    """Counter-clockwise convex hull (monotone chain)."""

    def turn(o: Point, a: Point, b: Point) -> float:
        return (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0])

    def half(ordered: list[Point]) -> list[Point]:
        chain: list[Point] = []
        for p in ordered:
            while len(chain) > 1 and turn(chain[-2], chain[-1], p) <= 1e-12:
                chain.pop()
            chain.append(p)
        return chain[:-1]

    ordered = sorted(points)
    return half(ordered) + half(ordered[::-1])


def shifts_that_touch(ego: Body, agent: Body) -> list[Point]:
    """Polygon of those shifts of ego that make it touch the agent."""
    return hull([(q[0] - p[0], q[1] - p[1]) for p in corners(ego) for q in corners(agent)])


def inside_span(polygon: list[Point], start: Point, rate: Point) -> tuple[float, float] | None:
    """From when until when start + rate t lies in a convex polygon."""
    begin, end = -inf, inf
    for (x1, y1), (x2, y2) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        nx, ny = y2 - y1, x1 - x2  # outwards
        outside = nx * (start[0] - x1) + ny * (start[1] - y1)
        speed = nx * rate[0] + ny * rate[1]
        if abs(speed) < 1e-12:
            if outside > 0:
                return None
        elif speed > 0:
            end = min(end, -outside / speed)
        else:
            begin = max(begin, -outside / speed)
    return (begin, end) if begin <= end else None


def gap(a: Body, b: Body) -> float:
    """Distance between two rectangles: of the nearest corner and edge; 0 where the polygons overlap."""
    if inside_span(shifts_that_touch(a, b), (0.0, 0.0), (0.0, 0.0)):
        return 0.0
    best = inf
    for one, other in ((corners(a), corners(b)), (corners(b), corners(a))):
        for x, y in one:
            for (x1, y1), (x2, y2) in zip(other, other[1:] + other[:1], strict=True):
                dx, dy = x2 - x1, y2 - y1
                share = min(max(((x - x1) * dx + (y - y1) * dy) / (dx * dx + dy * dy), 0.0), 1.0)
                best = min(best, hypot(x - x1 - share * dx, y - y1 - share * dy))
    return best


def moved(b: Body, t: float) -> Body:
    """The body on its circle after t: the velocity turns with it."""
    w, vx, vy = b["yaw_rate_rps"], b["vx_mps"], b["vy_mps"]
    c, s = cos(w * t), sin(w * t)
    if w == 0.0:
        dx, dy = vx * t, vy * t
    else:
        dx, dy = (vx * s - vy * (1.0 - c)) / w, (vy * s + vx * (1.0 - c)) / w
    turned = {"yaw_rad": b["yaw_rad"] + w * t, "vx_mps": c * vx - s * vy, "vy_mps": s * vx + c * vy}
    return {**b, "x_m": b["x_m"] + dx, "y_m": b["y_m"] + dy, **turned}


def ttc_s(ego: Body, agent: Body) -> float:
    rate = (ego["vx_mps"] - agent["vx_mps"], ego["vy_mps"] - agent["vy_mps"])
    span = inside_span(shifts_that_touch(ego, agent), (0.0, 0.0), rate)
    if span is None or span[1] < 0 or span[0] > HORIZON_S:
        return nan
    return max(span[0], 0.0)


def ttc_turn_s(ego: Body, agent: Body) -> float:
    """In steps of 0.1 s: straight from edge to edge, both yaws those of the middle."""
    for k in range(40):
        a0, a1, b0, b1 = (
            moved(ego, 0.1 * k),
            moved(ego, 0.1 * k + 0.1),
            moved(agent, 0.1 * k),
            moved(agent, 0.1 * k + 0.1),
        )
        a, b = ({**x0, "yaw_rad": 0.5 * (x0["yaw_rad"] + x1["yaw_rad"])} for x0, x1 in ((a0, a1), (b0, b1)))
        rate = tuple((a1[i] - a0[i] - b1[i] + b0[i]) / 0.1 for i in ("x_m", "y_m"))
        span = inside_span(shifts_that_touch(a, b), (0.0, 0.0), rate)
        if span is not None and span[1] >= 0 and max(span[0], 0.0) <= 0.1:
            return 0.1 * k + max(span[0], 0.0)
    return nan


def drac_mps2(ego: Body, agent: Body) -> float:
    ttc = ttc_turn_s(ego, agent)
    if ttc != ttc:
        return 0.0
    a, b = moved(ego, ttc), moved(agent, ttc)
    return min(hypot(b["vx_mps"] - a["vx_mps"], b["vy_mps"] - a["vy_mps"]) / max(2.0 * ttc, 1e-3), CAP_MPS2)


def encounter(ego: Body, agent: Body) -> tuple[float, float]:
    """Time and gap of the closest encounter: the first smallest of 41 samples, and eleven golden sections about it."""
    ttc = ttc_turn_s(ego, agent)
    if ttc == ttc:
        return ttc, 0.0

    def at(t: float) -> float:
        return gap(moved(ego, t), moved(agent, t))

    gaps = [at(0.1 * k) for k in range(41)]
    best = gaps.index(min(gaps))
    low, high = 0.1 * max(best - 1, 0), 0.1 * min(best + 1, 40)
    ratio = (sqrt(5.0) - 1.0) / 2.0
    for _ in range(11):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if at(left) <= at(right):
            high = right
        else:
            low = left
    middle = 0.5 * (low + high)
    time, smallest = (middle, at(middle)) if at(middle) < gaps[best] else (0.1 * best, gaps[best])
    return (time, smallest) if smallest <= 1.5 else (nan, nan)


def closest(ego: Body, agent: Body) -> tuple[float, float]:
    """Time and gap of the closest encounter of bodies that do not turn: the gap is convex, so thirds find it."""

    def at(t: float) -> float:
        return gap(moved(ego, t), moved(agent, t))

    low, high = 0.0, HORIZON_S
    for _ in range(70):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, right) if at(left) <= at(right) else (left, high)
    return low, at(low)


def in_ego(ego: Body, agent: Body) -> Body:
    """The agent in ego's frame, x the way that it drives, and ego's own speed there, ahead and to the left."""
    c, s = cos(ego["yaw_rad"]), sin(ego["yaw_rad"])
    if ego["vx_mps"] * c + ego["vy_mps"] * s < 0:
        c, s = -c, -s
    dx, dy = agent["x_m"] - ego["x_m"], agent["y_m"] - ego["y_m"]
    return {
        **agent,
        "x_m": dx * c + dy * s,
        "y_m": dy * c - dx * s,
        "yaw_rad": agent["yaw_rad"] - atan2(s, c),
        "vx_mps": agent["vx_mps"] * c + agent["vy_mps"] * s,
        "vy_mps": agent["vy_mps"] * c - agent["vx_mps"] * s,
        "ego_mps": ego["vx_mps"] * c + ego["vy_mps"] * s,
        "swing_mps": ego["vy_mps"] * c - ego["vx_mps"] * s,
    }


def thw_s(ego: Body, agent: Body) -> float:
    c, s = cos(ego["yaw_rad"]), sin(ego["yaw_rad"])
    speed = ego["vx_mps"] * c + ego["vy_mps"] * s
    if speed <= 3.0:
        return nan
    seen = in_ego(ego, agent)
    bend = ego["yaw_rate_rps"] / speed
    aside = seen["y_m"] - 0.5 * bend * seen["x_m"] ** 2
    turn = atan2(seen["vy_mps"], seen["vx_mps"]) - bend * seen["x_m"]
    turn = abs((turn + pi) % (2 * pi) - pi)
    moving = hypot(seen["vx_mps"], seen["vy_mps"]) > 0
    if seen["x_m"] <= 0 or abs(aside) >= 1.5 or not moving or turn >= pi / 4:
        return nan
    headway = max(seen["x_m"] - 0.5 * (ego["length_m"] + agent["length_m"]), 0.0) / speed
    return headway if headway <= HORIZON_S else nan


def slice_at(polygon: list[Point], level: float) -> tuple[float, float]:
    """The first coordinates at which a convex polygon begins and ends where its second is ``level``."""
    found = []
    for (x1, y1), (x2, y2) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        if min(y1, y2) - 1e-12 <= level <= max(y1, y2) + 1e-12:
            found += (
                [x1, x2] if abs(y2 - y1) < 1e-12 else [x1 + (x2 - x1) * min(max((level - y1) / (y2 - y1), 0.0), 1.0)]
            )
    return min(found), max(found)


def largest(demand, times: list[float]) -> float:
    """The largest demand over time, between consecutive times of which it has one peak at most."""
    best = max(demand(t) for t in times)
    for low, high in pairwise(times):
        for _ in range(110):
            left, right = low + (high - low) / 3, high - (high - low) / 3
            best = max(best, demand(left), demand(right))
            low, high = (low, right) if demand(left) >= demand(right) else (left, high)
    return best


def level_times(polygon: list[Point], rate: float) -> list[float]:
    """When a point that moves at ``rate`` along the second axis from 0 is level with the corners, from now on."""
    levels = [y for _, y in polygon]
    if abs(rate) < 1e-12:
        return [1e-9, FOREVER_S]
    return sorted({min(max(y / rate, 1e-9), FOREVER_S) for y in levels})


def own_frame(ego: Body) -> Body:
    return {**ego, "x_m": 0.0, "y_m": 0.0, "yaw_rad": 0.0}


def a_long_req_mps2(ego: Body, agent: Body) -> float:
    touch = ttc_s(ego, agent)
    if touch != touch or touch == 0.0:
        return CAP_MPS2 if touch == 0.0 else 0.0
    seen = in_ego(ego, agent)
    polygon = shifts_that_touch(own_frame(ego), seen)
    aside, speed = seen["vy_mps"] - seen["swing_mps"], seen["ego_mps"]
    # Ego may shift to where the ground that the agent covers, level with ego's sides, begins.
    if min(y for _, y in polygon) <= 0 <= max(y for _, y in polygon) and slice_at(polygon, 0.0)[0] <= 0:
        return nan

    def demand(t: float) -> float:
        level = min(max(-aside * t, min(y for _, y in polygon)), max(y for _, y in polygon))
        room = slice_at(polygon, level)[0] + seen["vx_mps"] * t
        return min(2.0 * (speed * t - room) / t**2, speed / t)

    return min(max(largest(demand, level_times(polygon, -aside)), 0.0), CAP_MPS2)


def a_lat_req_mps2(ego: Body, agent: Body) -> float:
    if hypot(ego["vx_mps"], ego["vy_mps"]) < 0.5:
        return nan
    touch = ttc_s(ego, agent)
    if touch != touch or touch == 0.0:
        return CAP_MPS2 if touch == 0.0 else 0.0
    seen = in_ego(ego, agent)
    polygon = [(y, x) for x, y in shifts_that_touch(own_frame(ego), seen)]
    aside, nearing = seen["vy_mps"] - seen["swing_mps"], seen["vx_mps"] - seen["ego_mps"]
    low, high = min(x for _, x in polygon), max(x for _, x in polygon)

    def right(t: float) -> float:
        return -2.0 * (slice_at(polygon, min(max(-nearing * t, low), high))[0] + aside * t) / t**2

    def left(t: float) -> float:
        return 2.0 * (slice_at(polygon, min(max(-nearing * t, low), high))[1] + aside * t) / t**2

    times = level_times(polygon, -nearing)
    return min(max(min(largest(right, times), largest(left, times)), 0.0), CAP_MPS2)


def rss_violation(ego: Body, agent: Body) -> float:
    seen = in_ego(ego, agent)
    speed, x, y = seen["ego_mps"], seen["x_m"], seen["y_m"]
    bend = ego["yaw_rate_rps"] / speed if speed > 3.0 else 0.0
    along, aside, heading = x, y, 0.0
    if bend:
        radius = 1.0 / bend
        side = 1.0 if radius > 0 else -1.0
        heading = side * atan2(x, side * (radius - y))
        along, aside = abs(radius) * side * heading, side * (abs(radius) - hypot(x, radius - y))
    tilt = seen["yaw_rad"] - heading
    reach_x = max(abs(cos(tilt) * l - sin(tilt) * w) for l, w in half_corners(agent)) + 0.5 * ego["length_m"]
    reach_y = max(abs(sin(tilt) * l + cos(tilt) * w) for l, w in half_corners(agent)) + 0.5 * ego["width_m"]
    forward = seen["vx_mps"] * cos(heading) + seen["vy_mps"] * sin(heading)
    left = seen["vy_mps"] * cos(heading) - seen["vx_mps"] * sin(heading)
    if forward < 0 and along < 0:
        return 0.0
    if forward < 0:
        needed = reacts(speed, 1.0, 3.5, 3.0) + reacts(-forward, 2.0, 3.5, 4.0)
    elif along >= 0:
        needed = reacts(speed, 1.0, 3.5, 4.0) - forward**2 / 16.0
    else:
        needed = reacts(forward, 2.0, 3.5, 4.0) - speed**2 / 16.0
    towards = -left if aside >= 0 else left
    beside = 0.1 + max(reacts(0.0, 1.0, 0.2, 0.8) + reacts(towards, 2.0, 0.2, 0.8), 0.0)
    lack_along = 1.0 - max(abs(along) - reach_x, 0.0) / needed if needed > 0 else 0.0
    lack_beside = 1.0 - max(abs(aside) - reach_y, 0.0) / beside
    return min(max(lack_along, 0.0), max(lack_beside, 0.0))


def half_corners(b: Body) -> list[Point]:
    return [(0.5 * s * b["length_m"], 0.5 * t * b["width_m"]) for s in (1, -1) for t in (1, -1)]


def reacts(speed: float, response_s: float, accel: float, brake: float) -> float:
    """How far one gets who speeds up for the response time and then brakes until it stands."""
    later = speed + accel * response_s
    stopping = later**2 / (2.0 * brake)
    return speed * response_s + 0.5 * accel * response_s**2 + (stopping if later > 0 else -stopping)


def clipped(polygon: list[Point], a: float, b: float, limit: float) -> list[Point]:
    """The part of a convex polygon where a x + b y ≤ limit."""
    out = []
    for p, q in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        at_p, at_q = a * p[0] + b * p[1] - limit, a * q[0] + b * q[1] - limit
        if at_p <= 0:
            out.append(p)
        if (at_p < 0 < at_q) or (at_q < 0 < at_p):
            share = at_p / (at_p - at_q)
            out.append((p[0] + share * (q[0] - p[0]), p[1] + share * (q[1] - p[1])))
    return out


def step_lag_s(ego: tuple[Body, Body], agent: tuple[Body, Body], times: tuple[float, float, float, float]) -> float:
    """The smallest lag at which ego, on its step from one body to the next, and the agent on its, cover common ground.

    inf where they never do, or do not cross. Times in seconds: of ego's step, then of the agent's.
    """
    ways = [(p["vx_mps"] + q["vx_mps"], p["vy_mps"] + q["vy_mps"]) for p, q in (ego, agent)]
    cosine = (ways[0][0] * ways[1][0] + ways[0][1] * ways[1][1]) / (hypot(*ways[0]) * hypot(*ways[1]))
    if cosine > cos(pi / 6):
        return inf
    e0, e1, a0, a1 = times
    (p, p1), (q, q1) = ego, agent
    mid_p, mid_q = ({**b, "yaw_rad": b["yaw_rad"] + 0.5 * turned(b["yaw_rad"], c["yaw_rad"])} for b, c in (ego, agent))
    speed_p = ((p1["x_m"] - p["x_m"]) / (e1 - e0), (p1["y_m"] - p["y_m"]) / (e1 - e0))
    speed_q = ((q1["x_m"] - q["x_m"]) / (a1 - a0), (q1["y_m"] - q["y_m"]) / (a1 - a0))
    touch = shifts_that_touch(mid_p, mid_q)
    region = [(e0, a0), (e1, a0), (e1, a1), (e0, a1)]
    for (x1, y1), (x2, y2) in zip(touch, touch[1:] + touch[:1], strict=True):
        # Ego's shift less the agent's lies in the polygon, left of each of its edges.
        nx, ny = y2 - y1, x1 - x2
        of_e, of_a = nx * speed_p[0] + ny * speed_p[1], -nx * speed_q[0] - ny * speed_q[1]
        region = clipped(region, of_e, of_a, nx * x1 + ny * y1 + of_e * e0 + of_a * a0)
        if not region:
            return inf
    lags = [a - e for e, a in region]
    return 0.0 if min(lags) <= 0 <= max(lags) else min(abs(v) for v in lags)


def turned(first: float, second: float) -> float:
    return (second - first + pi) % (2 * pi) - pi


def pet_s(times: list[float], ego: list[Body | None], agent: list[Body | None], frame: int) -> float:
    """Of the pair at a frame; None where a body is absent. All steps from that frame on, within the horizon."""
    best = inf
    for i in usable_steps(times, ego, frame):
        for j in usable_steps(times, agent, frame):
            at = (times[i], times[i + 1], times[j], times[j + 1])
            best = min(best, step_lag_s((ego[i], ego[i + 1]), (agent[j], agent[j + 1]), at))  # type: ignore[arg-type]
    return best if best < inf else nan


def usable_steps(times: list[float], bodies: list[Body | None], frame: int) -> list[int]:
    steps = []
    for i in range(frame, len(times) - 1):
        a, b = bodies[i], bodies[i + 1]
        if a is None or b is None or times[i + 1] - times[frame] > HORIZON_S + 1e-9:
            break
        if min(hypot(a["vx_mps"], a["vy_mps"]), hypot(b["vx_mps"], b["vy_mps"])) >= 0.5:
            steps.append(i)
    return steps
