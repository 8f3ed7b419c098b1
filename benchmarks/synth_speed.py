"""How fast the town is drawn: images and sweeps a second of two processes at once, and what comes before the first.

Usage: python benchmarks/synth_speed.py [--seconds 8] [--size 256x448] [--processes 2] [--repeats 3].
Each process builds a town of its own, records a drive and renders every keyframe of it, six cameras and the sweep,
after one of each that compiles what must be compiled. Rates are of all processes together while all of them work.
Nothing is written to disk. Prints Markdown.
"""

import argparse
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

from sceneminer.data.synth.drive import record_drive
from sceneminer.data.synth.layout import build_town
from sceneminer.data.synth.lidar import lidar_sweep
from sceneminer.data.synth.render import Renderer, camera_image
from sceneminer.data.synth.rig import rig_sensors


def work(town_seed: int, seconds: float, size_hw: tuple[int, int]) -> dict[str, float]:
    """Seconds of each part, and how many images, sweeps and points there were."""
    began = time.perf_counter()
    town = build_town("val", town_seed)
    renderer = Renderer(town)
    town_s = time.perf_counter() - began
    began = time.perf_counter()
    drive = record_drive(town, town_seed, duration_s=seconds)
    drive_s = time.perf_counter() - began
    sensors = rig_sensors(size_hw).sensors
    times = np.arange(0.5, seconds, 0.5)
    cameras = [sensor for sensor in sensors.values() if sensor.camera is not None]
    mount = sensors["LIDAR_TOP"].ego_from_sensor
    camera_image(renderer, drive, 0.1, ego_from_camera=cameras[0].ego_from_sensor, camera=cameras[0].camera)
    lidar_sweep(renderer, drive, 0.1, ego_from_lidar=mount)
    began = time.perf_counter()
    for at in times:
        for sensor in cameras:
            camera_image(renderer, drive, at, ego_from_camera=sensor.ego_from_sensor, camera=sensor.camera)
    images_s = time.perf_counter() - began
    began = time.perf_counter()
    points = sum(len(lidar_sweep(renderer, drive, at, ego_from_lidar=mount).points) for at in times)
    sweeps_s = time.perf_counter() - began
    rates = {"images": len(times) * len(cameras) / images_s, "sweeps": len(times) / sweeps_s}
    return {**rates, "points": points / len(times), "town": town_s, "drive": drive_s}


def main() -> None:
    parser = argparse.ArgumentParser(description="rendering speed of the town")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--size", default="256x448", help="HEIGHTxWIDTH of the images")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    height, width = (int(part) for part in args.size.split("x"))
    with ProcessPoolExecutor(args.processes, mp_context=get_context("spawn")) as pool:
        list(
            pool.map(work, range(900, 900 + args.processes), [1.0] * args.processes, [(height, width)] * args.processes)
        )
        rounds = []
        for k in range(args.repeats):
            seeds = range(1000 + k * args.processes, 1000 + (k + 1) * args.processes)
            jobs = [pool.submit(work, seed, args.seconds, (height, width)) for seed in seeds]
            rounds.append([job.result() for job in jobs])
    print(f"| {args.processes} processes together | median (min to max) of {args.repeats} pairs of towns |\n|---|---|")
    for name, key in ((f"images of {height}×{width} a second", "images"), ("sweeps a second", "sweeps")):
        totals = [sum(found[key] for found in pair) for pair in rounds]
        print(f"| {name} | {statistics.median(totals):.1f} ({min(totals):.1f} to {max(totals):.1f}) |")
    for name, key in (("points a sweep", "points"), ("building a town, s", "town"), ("recording a drive, s", "drive")):
        values = [found[key] for pair in rounds for found in pair]
        middle, low, high = statistics.median(values), min(values), max(values)
        digits = 0 if key == "points" else 1
        print(f"| {name} | {middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f}) |")


if __name__ == "__main__":
    main()
