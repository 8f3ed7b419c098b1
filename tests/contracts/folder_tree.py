"""Small folders of images: two logs of two cameras with tables, and one of bare frames."""

import json
from pathlib import Path

from adapter_case import write_two_tone

RIG = {
    "sensors": {
        "front": {
            "width": 64,
            "height": 36,
            "fx": 50.0,
            "fy": 50.0,
            "cx": 31.5,
            "cy": 17.5,
            "ego_from_sensor": {"translation": [1.5, 0.0, 1.6], "quaternion_wxyz": [0.5, -0.5, 0.5, -0.5]},
        },
        "rear": {
            "width": 48,
            "height": 30,
            "fx": 20.0,
            "fy": 20.0,
            "cx": 23.5,
            "cy": 14.5,
            "model": "fisheye",
            "distortion": [0.01, 0.0, 0.0, 0.0],
            "ego_from_sensor": [[0, 0, -1, -1.0], [1, 0, 0, 0.0], [0, -1, 0, 1.2], [0, 0, 0, 1]],
        },
    }
}
START_US = 1_700_000_000_000_000


def make_folder_tree(folder: Path) -> Path:
    """``drives/<log>/<camera>/*.jpg`` with stamps in names, a rig for all and poses for each log."""
    root = folder / "drives"
    for d, log in enumerate(("monday", "tuesday")):
        for k in range(5):
            time_us = START_US + d * 10**9 + k * 100_000
            write_two_tone(root / log / "front" / f"car7__front__{time_us}.jpg", 64, 36)
            write_two_tone(root / log / "rear" / f"car7__rear__{time_us + 40_000}.PNG", 48, 30)
        rows = [f"{START_US + d * 10**9 + k * 200_000},{2.0 * k},0,0,1,0,0,0" for k in range(3)]
        (root / log / "poses.csv").write_text("\n".join(["time_us,x,y,z,qw,qx,qy,qz", *rows]) + "\n")
    (root / "rig.json").write_text(json.dumps(RIG))
    (root / "README.md").write_text("two drives")
    return root


def make_frames_tree(folder: Path) -> Path:
    """``clip/frame_0.jpg`` to ``frame_11.jpg``: no times, no rig."""
    root = folder / "clip"
    for k in range(12):
        write_two_tone(root / f"frame_{k}.jpg", 64, 36)
    return root
