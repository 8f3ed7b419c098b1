"""The scene model as its users see it: day one, missing parts, and bits that do not depend on company."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sceneminer.data.frame import Frame, Measurement
from sceneminer.data.log import Sensor
from sceneminer.geometry.camera import Camera
from sceneminer.geometry.grid import BevGrid
from sceneminer.geometry.pose import pose_from_rotation, pose_from_yaw
from sceneminer.labels.prompts import TAGS
from sceneminer.model.config import ModelConfig
from sceneminer.model.example import make_clip_folder, make_siglip2_folder
from sceneminer.model.geometry import ego_motion, sample_points, token_rays
from sceneminer.model.heads import EmbedHead
from sceneminer.model.scene_model import SceneModel
from sceneminer.model.stream import Stream

AHEAD = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
CAMERAS = ("front", "left", "back")
SMALL = ModelConfig(grid=BevGrid(-20.0, 20.0, -20.0, 20.0, 2.0), bev_width=16, token_width=64, bev_token_grid=(10, 10))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return SceneModel.from_pretrained(make_clip_folder(tmp_path_factory.mktemp("model") / "clip"), config=SMALL)


def make_frames(*, calibrated: bool = True, poses: bool = True, missing: tuple[str, ...] = ()) -> list[Frame]:
    frames = []
    for k in range(4):
        ego = pose_from_yaw(2.0 * k, 0.0, 0.1 * k) if poses else None
        measurements = {}
        for i, name in enumerate(CAMERAS):
            camera = Camera(160, 90, 80.0, 80.0, 79.5, 44.5) if calibrated else None
            turn = pose_from_yaw(0.0, 0.0, i * math.pi / 2)
            sensor = Sensor(name, "camera", turn @ pose_from_rotation(np.array([0.0, 0, 1.5]), AHEAD), camera)
            measurements[name] = Measurement(sensor, k * 500_000, k, ego, name not in missing)
        frames.append(Frame("log", k * 500_000, ego, measurements))
    return frames


def make_images(seed: int) -> torch.Tensor:
    """[t v 3 h w]"""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (4, 3, 3, 32, 56), dtype=torch.uint8, generator=generator)


def run(model: SceneModel, images: torch.Tensor, frames: list[Frame], **changes) -> Stream:
    """One clip through every stage, as mining does it."""
    t, v = images.shape[:2]
    features = model.encode(images.flatten(0, 1))
    embeddings, patches = (x.unflatten(0, (t, v)) for x in (features.embeddings, features.patches))
    return model.make_stream(**trunk_inputs(model, embeddings, patches, frames) | changes)


def trunk_inputs(model, embeddings, patches, frames) -> dict[str, torch.Tensor]:
    valid = torch.tensor([[frame.measurements[name].valid for name in CAMERAS] for frame in frames])
    grid = {"grid": model.config.grid, "heights_m": model.config.heights_m}
    points = [sample_points(frame, CAMERAS, **grid) for frame in frames]
    rays = [token_rays(frame, CAMERAS, token_grid=model.config.image_token_grid) for frame in frames]
    return {
        "embeddings": embeddings[None],
        "patches": patches[None],
        "valid": valid[None],
        "rays": torch.from_numpy(np.stack(rays))[None],
        "bev": model.lift_frames(patches, valid, points)[None],
        "last_from_frame": torch.from_numpy(ego_motion(frames))[None],
    }


def same(a: Stream, b: Stream) -> bool:
    return torch.equal(a.tokens, b.tokens) and torch.equal(a.embedding, b.embedding)


def test_day_one_search_and_tags_come_from_the_tower_alone(model):
    images = make_images(0)
    stream = run(model, images, make_frames())
    assert stream.tokens.shape == (1, 32, 64) and stream.tokens.dtype == torch.float16
    signals = model.signals(stream)
    mean = model.encode(images.flatten(0, 1)).embeddings.mean(0)
    assert torch.cosine_similarity(signals["embedding"][0], mean, dim=0) > 0.9999
    assert signals["tags"].shape == (1, len(TAGS)) and ((signals["tags"] >= 0) & (signals["tags"] <= 1)).all()
    assert model.heads["tags"].tags == TAGS
    untrained_tokens = Stream(torch.zeros_like(stream.tokens), stream.embedding)
    assert torch.equal(model.signals(untrained_tokens)["tags"], signals["tags"])


def test_the_stream_holds_what_the_cameras_saw(model):
    base = run(model, make_images(0), make_frames())
    assert same(base, run(model, make_images(0), make_frames()))
    assert not same(base, run(model, make_images(1), make_frames()))
    assert torch.isfinite(base.tokens).all() and base.tokens.float().std() > 0.1


def test_a_clip_is_the_same_bits_alone_or_with_neighbours_in_one_batch_shape(model):
    """Padded to a batch of 24 images alone, or beside another clip: not a bit of stream or signals moves."""
    ours, other = make_images(0).flatten(0, 1), make_images(5).flatten(0, 1)
    streams = []
    for neighbour in (torch.zeros_like(other), other):
        features = model.encode(torch.cat([ours, neighbour]))
        embeddings = features.embeddings.unflatten(0, (2, 4, 3))
        patches = features.patches.unflatten(0, (2, 4, 3))
        clips = [trunk_inputs(model, embeddings[i], patches[i], make_frames()) for i in range(2)]
        both = {name: torch.cat([clip[name] for clip in clips]) for name in clips[0]}
        streams.append((model.make_stream(**both), model.make_stream(**clips[0])))
    (alone, single), (together, _) = streams
    assert same(alone[:1], together[:1]) and same(alone[:1], single)
    assert not same(alone[1:], together[1:])
    signals, whole = model.signals(single), model.signals(together)
    assert all(torch.equal(signals[name], whole[name][:1]) for name in signals)


@pytest.mark.slow
def test_the_trunk_is_the_same_bits_with_one_thread_or_two(tmp_path):
    model = SceneModel.from_pretrained(make_clip_folder(tmp_path / "clip"))  # at full size: small shapes never split
    features = model.encode(make_images(0).flatten(0, 1))
    embeddings, patches = (x.unflatten(0, (4, 3)) for x in (features.embeddings, features.patches))
    threads = torch.get_num_threads()
    streams = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            streams.append(model.make_stream(**trunk_inputs(model, embeddings, patches, make_frames())))
    finally:
        torch.set_num_threads(threads)
    assert same(*streams)


def test_signals_from_a_stored_stream_are_the_mined_ones(model):
    stream = run(model, make_images(0), make_frames())
    stored = Stream(torch.from_numpy(stream.tokens.numpy().copy()), torch.from_numpy(stream.embedding.numpy().copy()))
    mined, filled = model.signals(stream), model.signals(stored)
    assert all(torch.equal(mined[name], filled[name]) for name in mined)
    assert list(model.signals(stored, names=["tags"])) == ["tags"]
    assert model.signals(stored[:0])["tags"].shape == (0, len(TAGS))
    with pytest.raises(ValueError, match="found risk"):
        model.signals(stored, names=["risk"])


def test_missing_cameras_leave_no_trace_of_what_stands_in_their_place(model):
    frames = make_frames(missing=("left",))
    black, noise = make_images(0), make_images(0)
    black[:, 1] = 0
    streams = [run(model, images, frames) for images in (black, noise)]
    assert same(*streams)
    assert not same(streams[0], run(model, noise, make_frames()))


@pytest.mark.parametrize("given", [{"calibrated": False}, {"poses": False}, {"calibrated": False, "poses": False}])
def test_logs_without_calibration_or_poses_still_have_a_stream(model, given):
    frames = make_frames(**given)
    stream = run(model, make_images(0), frames)
    assert torch.isfinite(stream.tokens).all()
    full = run(model, make_images(0), make_frames())
    assert torch.equal(stream.embedding, full.embedding) and not torch.equal(stream.tokens, full.tokens)
    if not given.get("calibrated", True):
        assert same(stream, run(model, make_images(0), frames, rays=None))


def test_a_clip_without_any_image_is_zero_and_finite(model):
    frames = make_frames(missing=CAMERAS)
    stream = run(model, make_images(0), frames)
    assert not stream.embedding.any() and torch.isfinite(stream.tokens).all()
    assert all(torch.isfinite(signal).all() for signal in model.signals(stream).values())


def test_cameras_of_other_shapes_go_in_one_by_one(model):
    """A portrait camera between landscape ones: patches lifted from a list, tokens from pooled grids."""
    images = make_images(0)
    features = model.encode(images.flatten(0, 1))
    patches = features.patches.unflatten(0, (4, 3))
    frames = make_frames()
    inputs = trunk_inputs(model, features.embeddings.unflatten(0, (4, 3)), patches, frames)
    points = [sample_points(f, CAMERAS, grid=model.config.grid, heights_m=model.config.heights_m) for f in frames]
    listed = model.lift_frames(list(patches.unbind(1)), inputs["valid"][0], points)
    assert torch.equal(listed[None], inputs["bev"])
    pooled = model.pool(features.patches).unflatten(0, (1, 4, 3))
    assert same(model.make_stream(**inputs), model.make_stream(**inputs | {"patches": pooled}))
    portrait = model.encode(images[:, 1, :, :, :32]).patches
    mixed = model.lift_frames([patches[:, 0], portrait, patches[:, 2]], inputs["valid"][0], points)
    assert mixed.shape == listed.shape and not torch.equal(mixed, listed)
    with pytest.raises(ValueError, match="4 frames × 3 views"):
        model.lift_frames([patches[:, 0]], inputs["valid"][0], points)


def test_a_clip_has_a_fixed_number_of_frames(model):
    inputs = trunk_inputs(model, torch.zeros(4, 3, 24), torch.zeros(4, 3, 4, 7, 32), make_frames())
    short = {name: value[:, :3] for name, value in inputs.items()}
    with pytest.raises(ValueError, match="expected 4 frames a clip, found 3"):
        model.make_stream(**short)


def test_everything_is_frozen_and_seeded(model, tmp_path):
    assert not any(p.requires_grad for p in model.parameters())
    assert not any(m.training for m in model.modules())
    folder = make_clip_folder(tmp_path / "clip")
    again = SceneModel.from_pretrained(folder, config=SMALL)
    other = SceneModel.from_pretrained(folder, config=replace(SMALL, seed=1))
    assert torch.equal(again.lift.reduce.weight, model.lift.reduce.weight)
    assert not torch.equal(other.lift.reduce.weight, model.lift.reduce.weight)


def test_a_head_that_reads_more_than_the_stream_is_refused(model):
    head = EmbedHead(embed_dim=24, token_width=64)
    head.reads = ("tokens", "bev")  # type: ignore[misc]
    with pytest.raises(ValueError, match="head embedding to read tokens or embedding, found bev"):
        model.add_head(head)


def test_gradients_reach_a_thawed_trunk(model):
    """Training uses the same path: thaw, lift, fuse, tokenise, and the loss reaches the first layer."""
    parts = [*model.lift.parameters(), *model.temporal.parameters(), *model.scene_tokens.parameters()]
    try:
        for parameter in parts:
            parameter.requires_grad_(True)
        stream = run(model, make_images(0), make_frames())
        (stream.tokens.float() * torch.randn(1, 32, 64)).sum().backward()
        starved = [n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
        # Every image here has a ray.
        assert set(starved) <= {"scene_tokens.unknown_ray"}
    finally:
        for parameter in parts:
            parameter.requires_grad_(False)
            parameter.grad = None


def test_siglip_2_works_from_day_one(tmp_path):
    model = SceneModel.from_pretrained(make_siglip2_folder(tmp_path / "siglip2"), config=SMALL)
    stream = run(model, make_images(0), make_frames())
    assert model.signals(stream)["tags"].shape == (1, 20)
