"""What a camera shows agrees with brute force, with the boxes, and with the weather."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from small_street import CAMERA, DAY, FORWARD, NIGHT, make_actor, make_drive, make_town

from sceneminer.data.errors import DataError
from sceneminer.data.synth.caster import cast
from sceneminer.data.synth.mesh import PART
from sceneminer.data.synth.render import Renderer, camera_image, camera_light
from sceneminer.data.synth.scene import MATERIAL_ID, ego_at
from sceneminer.data.synth.surface import ROWS, shade_other
from sceneminer.geometry.box import box_corners
from sceneminer.geometry.camera import Camera, project, unproject
from sceneminer.geometry.pose import invert, pose_from_yaw, transform


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(make_town())


def snap(renderer: Renderer, drive, time_s: float = 1.0, camera: Camera = CAMERA):
    return camera_image(renderer, drive, time_s, ego_from_camera=FORWARD, camera=camera)


def grey(rgb: np.ndarray) -> np.ndarray:
    return rgb.astype(float) @ [0.3, 0.59, 0.11]


def town_from_camera(drive, time_s: float) -> np.ndarray:
    x, y, z, yaw, _ = ego_at(drive, time_s)
    return pose_from_yaw(x, y, yaw, z_m=z) @ FORWARD


def pixels_of(drive, time_s: float, points: np.ndarray) -> np.ndarray:
    uv, seen = project(CAMERA, transform(invert(town_from_camera(drive, time_s)), points))
    assert np.all(seen)
    return np.round(uv).astype(int)


def test_depth_and_actors_agree_with_brute_force(renderer: Renderer) -> None:
    drive = make_drive(renderer.town)
    view = snap(renderer, drive)
    rng = np.random.default_rng(0)
    uv = np.stack([rng.integers(0, CAMERA.width_px, 300), rng.integers(0, CAMERA.height_px, 300)], -1)
    pose = town_from_camera(drive, 1.0)
    ways = unproject(CAMERA, uv.astype(float)) @ pose[:3, :3].T
    # The picture's triangles, actors included, lie in the renderer until the next picture.
    tri = renderer.triangles
    used = len(renderer.scenery.soup) + sum(len(m) for m in renderer.drive_cache(drive).meshes.found.values())
    distance, which = cast(tri.xyz[:used], np.repeat(pose[None, :3, 3], 300, 0), ways)
    along = distance * (ways @ pose[:3, 2])
    found = view.depth_m[uv[:, 1], uv[:, 0]]
    same = np.isclose(found, along, rtol=2e-4, atol=2e-3) | (np.isinf(found) & np.isinf(along))
    assert same.mean() > 0.985
    first = len(renderer.scenery.seeds)
    owner = tri.instance[np.maximum(which, 0)] - first
    expected = np.where((which >= 0) & (owner >= 0), np.array([11, 12, 13])[np.clip(owner, 0, 2)], -1)
    assert (view.actor_id[uv[:, 1], uv[:, 0]] == expected).mean() > 0.985
    assert (expected >= 0).sum() > 5 and np.isinf(along).sum() > 5


def test_pixels_of_an_actor_lie_in_its_box(renderer: Renderer) -> None:
    drive = make_drive(renderer.town)
    view = snap(renderer, drive)
    for actor in drive.actors:
        v, u = np.nonzero(view.actor_id == actor.actor_id)
        assert len(u) > 20
        state, _ = actor.at(1.0)
        l, w, h = actor.size_lwh_m
        pose = pose_from_yaw(state[0], state[1], state[3], z_m=state[2] + h / 2)
        corners = box_corners(pose, np.array([l, w, h]))
        uv, seen = project(CAMERA, transform(invert(town_from_camera(drive, 1.0)), corners), margin_px=500.0)
        assert np.all(seen)
        low, high = uv.min(0) - 0.51, uv.max(0) + 0.51
        assert u.min() >= low[0] and v.min() >= low[1] and u.max() <= high[0] and v.max() <= high[1]


def test_same_arguments_same_bytes(renderer: Renderer) -> None:
    wet = replace(DAY, rain_mm_h=4.0, wetness=0.6, lens_dirt=0.3)
    drive = make_drive(renderer.town, wet)
    first, between = snap(renderer, drive), snap(renderer, make_drive(renderer.town))
    assert not np.array_equal(first.rgb, between.rgb)
    other = Renderer(renderer.town)
    for again in (snap(renderer, drive), snap(other, drive)):
        assert np.array_equal(first.rgb, again.rgb) and np.array_equal(first.depth_m, again.depth_m)
    assert not np.array_equal(first.rgb, snap(renderer, drive, 1.05).rgb)


def test_shadow_falls_away_from_the_sun(renderer: Renderer) -> None:
    truck = make_actor(21, "vehicle.truck", (-5.0, 0.0, 0.0, 0.0))
    drive = make_drive(renderer.town, replace(DAY, hour=12.0, cloud=0.0), actors=(truck,))
    sky = drive.environment
    away = -np.array([np.cos(sky.sun_azimuth_rad), np.sin(sky.sun_azimuth_rad)])
    assert away[1] > 0.5  # the noon sun stands in the south: shadows fall to the north (left)
    light = camera_light(renderer, drive, 0.5, ego_from_camera=FORWARD, camera=CAMERA).light
    shadowed = pixels_of(drive, 0.5, np.array([[-6.0, 2.4, 0.0], [-5.0, 2.6, 0.0]]))
    sunny = pixels_of(drive, 0.5, np.array([[-6.0, -2.6, 0.0], [-5.0, -2.6, 0.0]]))
    dark = light[shadowed[:, 1], shadowed[:, 0]].mean()
    assert dark < 0.6 * light[sunny[:, 1], sunny[:, 0]].mean()


def test_brake_lamps_light_the_tail_red(renderer: Renderer) -> None:
    looks = []
    for braking in (False, True):
        car = replace(make_actor(11, "vehicle.car", (-8.0, -2.0, 0.0, 0.0)), braking=np.full(101, braking))
        drive = make_drive(renderer.town, actors=(car,))
        seen = camera_light(renderer, drive, 0.2, ego_from_camera=FORWARD, camera=CAMERA)
        looks.append((seen.light, seen.material_id == MATERIAL_ID["tail_lamp"]))
    (off, lamp), (on, _) = looks
    assert lamp.sum() > 8
    assert on[lamp, 0].mean() > 3.0 * off[lamp, 0].mean()
    assert on[lamp, 0].mean() > 4.0 * on[lamp, 1].mean()


def test_night_is_dark_but_lamps_are_bright(renderer: Renderer) -> None:
    day = camera_light(renderer, make_drive(renderer.town), 0.5, ego_from_camera=FORWARD, camera=CAMERA)
    night_drive = make_drive(renderer.town, NIGHT)
    night = camera_light(renderer, night_drive, 0.5, ego_from_camera=FORWARD, camera=CAMERA)
    assert np.median(night.light) < 0.05 * np.median(day.light)
    assert night.light.max() > 1.0
    pictures = [snap(renderer, make_drive(renderer.town, sky), 0.5).rgb for sky in (DAY, NIGHT)]
    assert grey(pictures[1]).mean() < 0.7 * grey(pictures[0]).mean()
    assert grey(pictures[1]).max() > 200


def test_street_lamp_lights_the_road_below(renderer: Renderer) -> None:
    drive = make_drive(renderer.town, NIGHT, actors=())
    back = FORWARD.copy()
    back[:3, :3] = np.diag([-1.0, -1.0, 1.0]) @ FORWARD[:3, :3]  # looking back, out of ego's own beams
    light = camera_light(renderer, drive, 4.0, ego_from_camera=back, camera=CAMERA)
    x, y, z, yaw, _ = ego_at(drive, 4.0)
    pose = pose_from_yaw(x, y, yaw, z_m=z) @ back
    spots = np.array([[-12.0, -2.0, 0.0], [-40.0, -2.0, 0.0]])
    uv, seen = project(CAMERA, transform(invert(pose), spots))
    assert np.all(seen)
    below, far = (light.light[round(v), round(u)].mean() for u, v in uv)
    assert below > 3.0 * far


def test_fog_leaves_five_percent_of_contrast_at_its_visibility(renderer: Renderer) -> None:
    looks = []
    for fog_m in (40.0, 1e7):
        sky = replace(DAY, fog_m=fog_m, cloud=1.0)
        drive = make_drive(renderer.town, sky, actors=())
        looks.append(camera_light(renderer, drive, 0.0, ego_from_camera=FORWARD, camera=CAMERA))
    foggy, clear = looks
    ray = np.linalg.norm(np.stack(np.meshgrid(np.arange(320) - 159.5, np.arange(180) - 89.5), -1) / 250.0, axis=-1)
    distance = clear.depth_m * np.sqrt(1 + ray**2)
    # All that lies at the visibility's distance: what was bright stands out by a twentieth of what it did.
    there = np.abs(distance - 40.0) < 0.5
    assert there.sum() > 100
    left, _ = np.polyfit(clear.light[there, 1], foggy.light[there, 1], 1)
    assert left == pytest.approx(0.05, abs=0.012)


def test_paint_is_where_the_divider_is(renderer: Renderer) -> None:
    drive = make_drive(renderer.town, replace(DAY, cloud=1.0), actors=())
    view = snap(renderer, drive, 0.0)
    x = np.linspace(-14.0, -2.0, 12)
    on = pixels_of(drive, 0.0, np.stack([x, 0 * x, 0 * x], -1))
    off = pixels_of(drive, 0.0, np.stack([x, 0 * x - 1.2, 0 * x], -1))
    shine = grey(view.rgb)
    assert np.all(shine[on[:, 1], on[:, 0]] > shine[off[:, 1], off[:, 0]] + 25)
    assert np.all(view.material_id[on[:6, 1], on[:6, 0]] == MATERIAL_ID["road_paint"])
    assert np.all(view.material_id[off[:, 1], off[:, 0]] == MATERIAL_ID["asphalt"])


def test_signal_shows_its_state(renderer: Renderer) -> None:
    drive = replace(make_drive(renderer.town, NIGHT, actors=()), ego=np.tile([8.0, -2.0, 0.0, 0.0, 0.0], (900, 1)))
    camera = Camera(320, 180, 400.0, 400.0, 159.5, 89.5)
    colours = []
    for time_s in (5.0, 30.0):  # green, red
        seen = camera_light(renderer, drive, time_s, ego_from_camera=FORWARD, camera=camera)
        lamp = seen.material_id == MATERIAL_ID["signal_lamp"]
        assert lamp.sum() > 10
        colours.append(seen.light[lamp].max(0))
    assert colours[0][1] > 2 * colours[0][0] and colours[1][0] > 2 * colours[1][1]


def test_wet_road_is_darker_from_above_and_a_mirror_far_ahead(renderer: Renderer) -> None:
    down = FORWARD.copy()
    c, s = np.cos(0.9), np.sin(0.9)
    down[:3, :3] = np.array([[0, -s, c], [-1, 0, 0], [0, -c, -s]])
    ratios = []
    for mount in (down, FORWARD):
        looks = []
        for wetness in (0.0, 0.9):
            drive = make_drive(renderer.town, replace(DAY, cloud=1.0, wetness=wetness), actors=())
            seen = camera_light(renderer, drive, 0.0, ego_from_camera=mount, camera=CAMERA)
            looks.append(seen.light[seen.material_id == MATERIAL_ID["asphalt"]].mean())
        ratios.append(looks[1] / looks[0])
    assert ratios[0] < 0.85
    assert ratios[1] > 1.15 * ratios[0]


def test_renderer_is_rebuilt_in_another_process(renderer: Renderer) -> None:
    assert pickle.loads(pickle.dumps(renderer)).town.name == renderer.town.name  # noqa: S301


def test_what_it_cannot_draw_is_refused(renderer: Renderer) -> None:
    drive = make_drive(renderer.town)
    bent = replace(CAMERA, distortion=(0.1, 0.0, 0.0, 0.0))
    with pytest.raises(DataError, match="pinhole"):
        snap(renderer, drive, camera=bent)
    elsewhere = make_drive(replace(renderer.town, name="elsewhere"))
    with pytest.raises(DataError, match="small-street"):
        snap(renderer, elsewhere)


def test_light_is_never_negative(renderer: Renderer) -> None:
    """Dark leaves and joints must not go below black: one such pixel would spoil a whole picture's exposure."""
    close = Camera(160, 90, 600.0, 600.0, 79.5, 44.5)
    for k, sky in enumerate((DAY, replace(DAY, wetness=1.0, rain_mm_h=5.0), NIGHT)):
        drive = make_drive(renderer.town, sky)
        for turn in np.linspace(-1.0, 1.0, 5):
            c, s = np.cos(turn), np.sin(turn)
            mount = FORWARD.copy()
            mount[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ FORWARD[:3, :3]
            seen = camera_light(renderer, drive, 1.0 + 0.5 * k, ego_from_camera=mount, camera=close)
            assert np.all(np.isfinite(seen.light)) and seen.light.min() >= 0.0
    m, rng = np.zeros(ROWS), np.random.default_rng(0)
    for part in ("foliage", "kerb", "roof", "bricks", "bark", "cloth", "stripes", "mesh_fence"):
        for at in rng.uniform(-50, 50, (4000, 3)):
            m[:3] = 0.1
            shade_other(m, PART[part], at[0], at[1], at, 5, 0.01, 4)
            assert m[:3].min() >= 0.0, part


def test_every_triangle_has_a_known_part(renderer: Renderer) -> None:
    assert renderer.scenery.soup.part.max() < len(PART)
