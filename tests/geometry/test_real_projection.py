"""Our projection on one real nuScenes keyframe, against the boxes that mmdetection3d computed for it."""

import json
from pathlib import Path

import numpy as np
import pytest
from shapely import MultiPoint, box

from sceneminer.geometry.box import box_corners
from sceneminer.geometry.camera import Camera, project
from sceneminer.geometry.pose import invert, pose_from_yaw, transform, yaw_of

INFO = Path(__file__).parents[2].parent / "shared" / "data" / "nuscenes" / "mmdet3d_info"
pytestmark = pytest.mark.skipif(not INFO.is_dir(), reason="no real calibration at ../shared/data/nuscenes/mmdet3d_info")


@pytest.fixture(scope="module")
def keyframe() -> dict:
    (path,) = INFO.glob("*.json")
    (sample,) = json.loads(path.read_text())["data_list"]
    return sample


def lens(image: dict) -> Camera:
    matrix = np.array(image["cam2img"])
    return Camera(1600, 900, matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])


def lidar_from_boxes(keyframe: dict) -> tuple[np.ndarray, np.ndarray]:
    """Poses of box centres in the LiDAR frame, and sizes: x, y, z (the centre), length, width, height, yaw.

    Boxes stand upright in the world, and the LiDAR leans a little: the yaw alone would be off by pixels.
    """
    values = np.array([instance["bbox_3d"] for instance in keyframe["instances"]])
    world_from_lidar = np.array(keyframe["ego2global"]) @ np.array(keyframe["lidar_points"]["lidar2ego"])
    leaning = world_from_lidar @ pose_from_yaw(values[:, 0], values[:, 1], values[:, 6], z_m=values[:, 2])
    x, y, z = leaning[:, :3, 3].T
    upright = pose_from_yaw(x, y, yaw_of(leaning), z_m=z)
    return invert(world_from_lidar) @ upright, values[:, 3:6]


def test_boxes_agree_within_a_pixel(keyframe):
    """Centres, depths and outlines; an outline that leaves the image is that of what is left of it."""
    poses, sizes = lidar_from_boxes(keyframe)
    canvas = box(0, 0, 1600, 900)
    whole, cut = [], []
    for name, image in keyframe["images"].items():
        camera_from_lidar, camera = np.array(image["lidar2cam"]), lens(image)
        centers = transform(camera_from_lidar, poses[:, :3, 3])
        centers_uv, _ = project(camera, centers, margin_px=3000.0)
        corners = transform(camera_from_lidar, box_corners(poses, sizes).reshape(-1, 3)).reshape(-1, 8, 3)
        corners_uv, seen = project(camera, corners)
        for theirs in keyframe["cam_instances"][name]:
            off_px = np.linalg.norm(centers_uv - theirs["center_2d"], axis=1)
            off_m = np.abs(centers[:, 2] - theirs["depth"])
            k = int(np.argmin(off_px + off_m))
            assert off_px[k] < 0.1 and off_m[k] < 0.01, name
            left = MultiPoint(corners_uv[k][corners[k, :, 2] > 0]).convex_hull.intersection(canvas)
            (whole if seen[k].all() else cut).append(np.abs(np.subtract(left.bounds, theirs["bbox"])).max())
    assert len(whole) >= 70 and np.max(whole) < 0.5
    assert len(cut) >= 8 and np.max(cut) < 1.0
