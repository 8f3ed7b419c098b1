"""Windows of a toy world: few agents on straight lines, facts and events drawn by a seed, no pictures."""

import dataclasses

import numpy as np
import torch
from safetensors.torch import save_file

from sceneminer.data.synth.facts import SceneFacts
from sceneminer.recipes.mining_data import CLIP_US, FRAME_US, STATE_US
from sceneminer.recipes.mining_features import Window

FRAMES, TIMES = 10, 91
KINDS = ("near_miss", "jaywalk", "step_out", "cut_in", "run_red")


def toy_windows(folder, *, count: int, embed_dim: int = 24, patch_dim: int = 32, seed: int = 0) -> list[Window]:
    """Of one log each, with a feature file each."""
    rng = np.random.default_rng(seed)
    return [
        toy_window(folder / f"w{seed}-{k}.safetensors", f"log-{k}", rng, embed_dim, patch_dim) for k in range(count)
    ]


def toy_window(path, log: str, rng: np.random.Generator, embed_dim: int, patch_dim: int) -> Window:
    times_s = 0.1 * np.arange(TIMES)
    speed, yaw, agents = rng.uniform(2, 12), rng.uniform(-3, 3), 8
    along = np.array([np.cos(yaw), np.sin(yaw)])
    ego_xy = np.array([100.0, -50.0]) + times_s[:, None] * speed * along
    ego = np.concatenate([ego_xy, np.full((TIMES, 1), yaw), np.full((TIMES, 1), speed), np.zeros((TIMES, 1))], 1)
    start = ego_xy[0] + rng.uniform(-40, 40, (agents, 2))
    velocity = rng.normal(size=(agents, 2)) * 3
    xy = start[:, None] + times_s[:, None] * velocity[:, None]
    state = np.zeros((agents, TIMES, 8), np.float32)
    state[..., :2], state[..., 3:5], state[..., 6:] = xy, velocity[:, None], (4.0, 1.8)
    state[..., 2] = np.arctan2(velocity[:, 1], velocity[:, 0])[:, None]
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    poses[:, :2, :2] = [[along[0], -along[1]], [along[1], along[0]]]
    poses[:, :2, 3] = ego_xy[: FRAMES * 5 : 5]
    starts = [1_000_000 + k * FRAME_US for k in range(7)]
    tags = (rng.random((7, 20)) < 0.4).astype(np.int8)
    direction = rng.normal(size=(FRAMES, 6, embed_dim)) + 2 * (tags[0] @ rng.normal(size=(20, embed_dim)))
    embeddings = torch.from_numpy(direction / np.linalg.norm(direction, axis=-1, keepdims=True)).half()
    patches = torch.from_numpy(rng.normal(size=(FRAMES, 6, 4, 7, patch_dim))).half()
    save_file({"embeddings": embeddings, "patches": patches}, path)
    tensors = {
        "agents": state,
        "ego": ego,
        "agent_risk": rng.random((agents, TIMES)).astype(np.float32),
        "frame_risk": rng.random(TIMES).astype(np.float32),
        "world_from_ego": poses,
        "drivable": np.ones((FRAMES, 50, 50), bool),
        "tags": tags,
    }
    truth = {
        "log": log,
        "town": "toy",
        "start_us": starts[0],
        "frame_times_us": [starts[0] + k * FRAME_US for k in range(FRAMES)],
        "clip_starts_us": starts,
        "track_ids": [f"t{k}" for k in range(agents)],
        "categories": ["car", "pedestrian", "bicycle", "truck", "cone", "car", "car", "bus"],
        "facts": [toy_facts(rng) for _ in starts],
        "risk": [toy_risk(rng, at, agents) for at in starts],
        "events": toy_events(rng),
    }
    return Window(path, tensors, truth, embeddings, (128, 224))


def toy_facts(rng) -> dict:
    kinds = rng.choice(["car", "bus", "large truck", "cyclist", "person"], 3, replace=False)
    counts = tuple((str(kind), str(rng.choice(["two", "several", "many"]))) for kind in kinds)
    sky, places = (str(rng.choice(words)) for words in (["night", "rain", "fog"], ["trees", "bus stop", "billboard"]))
    return dataclasses.asdict(SceneFacts((), counts, (sky,), (places, "narrow street")))


def toy_risk(rng, start_us: int, agents: int) -> dict:
    none = {"risk": 0.0, "track_id": None, "time_us": None, "measure": None, "category": None}
    if rng.random() < 0.25:
        return none
    instant = start_us + int(rng.integers(CLIP_US // STATE_US + 1)) * STATE_US
    named = {"track_id": f"t{rng.integers(agents)}", "time_us": instant, "measure": "dce_m", "category": "car"}
    return none | named | {"risk": float(rng.random())}


def toy_events(rng) -> list[dict]:
    start = float(rng.uniform(0, 7))
    event = {"kind": str(rng.choice(KINDS)), "start_s": start, "end_s": start + 1.0, "actors": [1], "scripted": True}
    return [event, event | {"kind": "follow", "scripted": False}]
