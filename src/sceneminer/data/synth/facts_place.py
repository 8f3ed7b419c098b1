"""Where a picture was taken: sky, ground, houses, trees and street furniture that it shows."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sceneminer.data.synth.facts_state import inside
from sceneminer.data.synth.render import CameraView
from sceneminer.data.synth.scene import EGO_LEAD_S, MATERIAL_ID, TICK_S, Drive, Environment, Prop, ego_at
from sceneminer.geometry.camera import Camera, project
from sceneminer.geometry.pose import invert, pose_from_yaw, transform

_ROAD = (MATERIAL_ID["asphalt"], MATERIAL_ID["road_paint"])
_WALLS = {name: MATERIAL_ID[name] for name in ("brick", "plaster", "concrete")}
_NAMED_PROPS = {"bus_shelter": "bus stop", "billboard": "billboard", "advert_column": "advert column"}
_NAMED_PROPS |= {"traffic_light": "traffic light", "stop_sign": "stop sign"}
_PROP_REACH_M = {
    "bus_shelter": 40.0,
    "billboard": 60.0,
    "advert_column": 30.0,
    "traffic_light": 30.0,
    "stop_sign": 22.0,
}
_LEAST_PROP_SHARE = {"bus_shelter": 0.006, "billboard": 0.005, "advert_column": 0.004, "traffic_light": 0.0009}
_LEAST_PROP_SHARE |= {"stop_sign": 0.001}


def sky_of(sky: Environment) -> tuple[str, ...]:
    """night, dusk or day; rain, wet road, fog, overcast, sunny."""
    words = ["night" if sky.is_night else "dusk" if sky.sun_elevation_rad < np.deg2rad(5.0) else "day"]
    if sky.rain_mm_h > 0.5:
        words += ["rain", "drops"] if sky.lens_dirt > 0.2 else ["rain"]
    if sky.wetness > 0.3:
        words.append("wet road")
    if sky.fog_m < 260.0:
        words.append("fog")
    if sky.rain_mm_h == 0.0 and sky.wetness < 0.1 and sky.fog_m > 1000.0:
        words.append("dry")
        if words[0] == "day" and sky.cloud < 0.3:
            words.append("sunny")
        if words[0] == "day" and sky.cloud > 0.75:
            words.append("overcast")
    return tuple(words)


def places_of(
    drive: Drive, time_s: float, view: CameraView, *, ego_from_camera: Float[ndarray, "4 4"], camera: Camera
) -> tuple[str, ...]:
    """Everything that stays where it is and takes enough of the image."""
    x, y, z, yaw, _ = ego_at(drive, time_s)
    town_from_camera = pose_from_yaw(x, y, yaw, z_m=z) @ ego_from_camera
    step = max(1, view.actor_id.shape[0] // 64)
    sky = drive.environment
    sight_m = min(90.0, 0.5 * sky.fog_m)
    v, u = np.mgrid[step // 2 : view.actor_id.shape[0] : step, step // 2 : view.actor_id.shape[1] : step]
    depth, material = view.depth_m[v, u], view.material_id[v, u]
    still = (depth < sight_m) & (view.actor_id[v, u] < 0)
    points = _points(camera, u[still], v[still], depth[still], town_from_camera)
    light = view.rgb[v, u][still].astype(np.float32).mean(-1)
    words = _ground_words(drive, points, material[still], light, (x, y), depth.size)
    words += _tall_words(points, material[still], depth.size, dark=sky.is_night)
    words += _lane_words(drive, time_s) if abs(ego_from_camera[0, 2]) > 0.9 else []
    words += _prop_words(drive, time_s, view, town_from_camera, camera, sight_m)
    return tuple(dict.fromkeys(words))


def _points(camera: Camera, u: ndarray, v: ndarray, depth: ndarray, town_from_camera: ndarray) -> Float[ndarray, "n 3"]:
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(len(u))], -1)
    return transform(town_from_camera, rays * depth[:, None])


def _ground_words(
    drive: Drive, points: ndarray, material: ndarray, light: ndarray, ego_xy: tuple[float, float], total: int
) -> list[str]:
    town = drive.town
    on_road = np.flatnonzero(((material == _ROAD[0]) | (material == _ROAD[1])) & (points[:, 2] < 0.3))
    on_road = on_road[np.hypot(*(points[on_road, :2] - ego_xy).T) < 32.0][::2]
    road, paint, shine = points[on_road, :2], material[on_road] == _ROAD[1], light[on_road]
    words: list[str] = []

    def within(rings: tuple[ndarray, ...], reach_m: float) -> ndarray:
        near = [r for r in rings if np.maximum(r.min(0) - ego_xy, ego_xy - r.max(0)).max() < reach_m]
        return np.any([inside(road, ring) for ring in near], 0) if near else np.zeros(len(road), bool)

    if 2 * within(town.intersections, 45.0).sum() > 0.045 * total:
        words.append("intersection")
    striped = within(tuple(c.polygon for c in town.crossings), 40.0)
    if 2 * striped.sum() > 0.012 * total and (striped & paint).any() and (striped & ~paint).any():
        bright, dark = float(shine[striped & paint].mean()), float(shine[striped & ~paint].mean())
        if bright - dark > 12.0:
            words.append("zebra crossing")
    if 2 * within(town.parking_lots, 60.0).sum() > 0.03 * total:
        words.append("parking lot")
    if (material == MATERIAL_ID["grass"]).sum() / total > 0.07:
        words.append("grass")
    return words


def _lane_words(drive: Drive, time_s: float) -> list[str]:
    """How wide the road is that ego is on, for a camera that looks along it."""
    tick = int(np.clip(round((time_s + EGO_LEAD_S) / TICK_S), 0, len(drive.ego_lane) - 1))
    lane = next((lane for lane in drive.town.lanes if lane.lane_id == drive.ego_lane[tick]), None)
    if lane is None or lane.intersection is not None:
        return []
    return ["narrow street"] if lane.left is None and lane.right is None else ["multi-lane road"]


def _tall_words(points: ndarray, material: ndarray, total: int, *, dark: bool) -> list[str]:
    words: list[str] = []
    high = points[:, 2] > 2.2
    leaves = (high & (material == MATERIAL_ID["foliage"])).sum() / total
    if leaves > (0.10 if dark else 0.03):
        words.append("trees")
    if leaves > 0.16:
        words.append("many trees")
    walls = {name: (high & (material == number)).sum() / total for name, number in _WALLS.items()}
    windows = (high & (material == MATERIAL_ID["window"])).sum() / total
    if dark and windows > 0.02:
        words.append("lit windows")
    if sum(walls.values()) + windows > 0.06:
        words.append("buildings")
        best = max(walls, key=lambda name: walls[name])
        if not dark and walls[best] > 0.05 and walls[best] > 0.75 * sum(walls.values()):
            words.append(f"{best} buildings")
    built = np.isin(material, (*_WALLS.values(), MATERIAL_ID["window"]))
    if (built & (points[:, 2] > 17.0)).sum() / total > 0.012:
        words.append("tall buildings")
    return words


def _prop_words(
    drive: Drive, time_s: float, view: CameraView, town_from_camera: ndarray, camera: Camera, sight_m: float
) -> list[str]:
    camera_from_town = invert(town_from_camera)
    eye = town_from_camera[:3, 3]
    words: list[str] = []
    for prop in drive.town.props:
        if prop.kind not in _NAMED_PROPS:
            continue
        gap = float(np.hypot(prop.pose[0] - eye[0], prop.pose[1] - eye[1]))
        if gap > min(_PROP_REACH_M[prop.kind], sight_m):
            continue
        seen, lamps = _prop_pixels(prop, view, town_from_camera, camera_from_town, camera)
        if seen / view.actor_id.size < _LEAST_PROP_SHARE[prop.kind]:
            continue
        if drive.environment.is_night and lamps / view.actor_id.size < 1e-4:
            continue  # unlit street furniture is not seen
        words.append(_NAMED_PROPS[prop.kind])
        if prop.kind == "traffic_light" and lamps / view.actor_id.size > 1.5e-4 and _faces(prop, eye):
            state = _signal_of(drive, prop, time_s)
            words += [f"{state} traffic light"] if state else []
    return words


def _prop_pixels(
    prop: Prop, view: CameraView, town_from_camera: ndarray, camera_from_town: ndarray, camera: Camera
) -> tuple[int, int]:
    """Pixels that show a prop (of a traffic light: its upper part), and those of its lamps."""
    length, width, height = (max(s, 0.6) for s in prop.size_lwh_m)
    low = height - 1.4 if prop.kind == "traffic_light" else height - 0.9 if prop.kind == "stop_sign" else 0.3
    half = np.array([length / 2 + 0.1, width / 2 + 0.1])
    town_from_prop = pose_from_yaw(prop.pose[0], prop.pose[1], float(prop.pose[3]), z_m=float(prop.pose[2]))
    signs = np.array([[a, b] for a in (-1, 1) for b in (-1, 1)]) * half
    corners = np.concatenate([np.column_stack([signs, np.full(4, z)]) for z in (low, height + 0.3)])
    in_camera = transform(camera_from_town @ town_from_prop, corners)
    if in_camera[:, 2].min() < 0.5:
        return 0, 0
    uv, _ = project(camera, in_camera, margin_px=1e6)
    u0, v0 = np.maximum(np.floor(uv.min(0)), 0).astype(int)
    u1, v1 = np.minimum(np.ceil(uv.max(0)) + 1, (camera.width_px, camera.height_px)).astype(int)
    if u0 >= u1 or v0 >= v1:
        return 0, 0
    v, u = np.mgrid[v0:v1, u0:u1]
    depth = view.depth_m[v, u]
    keep = np.isfinite(depth) & (view.actor_id[v, u] < 0)
    own = transform(invert(town_from_prop), _points(camera, u[keep], v[keep], depth[keep], town_from_camera))
    within = np.all(np.abs(own[:, :2]) <= half, 1) & (own[:, 2] >= low) & (own[:, 2] <= height + 0.3)
    lamp = np.isin(view.material_id[v, u][keep], (MATERIAL_ID["signal_lamp"], MATERIAL_ID["sign_face"]))
    return int(within.sum()), int((within & lamp).sum())


def _faces(prop: Prop, eye: ndarray) -> bool:
    way = np.arctan2(eye[1] - prop.pose[1], eye[0] - prop.pose[0])
    return bool(np.cos(way - prop.pose[3]) > 0.5)


def _signal_of(drive: Drive, prop: Prop, time_s: float) -> str:
    signals = drive.town.signals
    if not signals:
        return ""
    place = np.array([s.position[:2] for s in signals])
    turn = np.array([np.abs((s.facing_yaw_rad - prop.pose[3] + np.pi) % (2 * np.pi) - np.pi) for s in signals])
    return signals[int(np.argmin(np.hypot(*(place - prop.pose[:2]).T) + 0.5 * turn))].state(time_s)
