"""Streams of windows by a frozen model, as mining makes them: what stage 2 and all later heads learn from."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from sceneminer.model.fingerprint import stream_fingerprint
from sceneminer.model.scene_model import SceneModel
from sceneminer.model.stream import Stream
from sceneminer.recipes.mining_features import Window
from sceneminer.recipes.mining_set import FRAMES, motion_of, window_views


@torch.no_grad()
def window_streams(model: SceneModel, window: Window) -> Stream:
    """The stream of every clip of a window, each Frame lifted once."""
    views = window_views(window, model.config)
    t, v = window.embeddings.shape[:2]
    patches, valid = window.patches(0, t).float(), torch.ones(t, v, dtype=torch.bool)
    bev = model.lift_frames(patches, valid, views.points * (t if len(views.points) == 1 else 1))
    pooled = torch.stack([model.pool(frame) for frame in patches])
    rays = views.rays.expand(t, *views.rays.shape[-4:])
    parts = []
    for first in range(window.clips):
        span = slice(first, first + FRAMES)
        parts.append(
            model.make_stream(
                embeddings=window.embeddings[None, span].float(),
                patches=pooled[None, span],
                valid=valid[None, span],
                rays=rays[None, span],
                bev=bev[None, span],
                last_from_frame=motion_of(window, first)[None],
            )
        )
    return Stream(torch.cat([p.tokens for p in parts]), torch.cat([p.embedding for p in parts]))


def read_streams(
    model: SceneModel,
    windows: Sequence[Window],
    path: Path,
    *,
    say: Callable[[str], None] = print,
) -> Stream:
    """Streams of all clips of all windows, in order, kept at ``path`` under the stream's fingerprint."""
    fingerprint = stream_fingerprint(model)
    if path.exists():
        with safe_open(path, framework="pt") as file:
            told = file.metadata() or {}
            if told.get("stream_fingerprint") == fingerprint and told.get("windows") == str(len(windows)):
                return Stream(file.get_tensor("tokens"), file.get_tensor("embedding"))
    parts = []
    for k, window in enumerate(windows):
        parts.append(window_streams(model, window))
        if (k + 1) % 50 == 0:
            say(f"streams of {k + 1} of {len(windows)} windows")
    stream = Stream(torch.cat([p.tokens for p in parts]), torch.cat([p.embedding for p in parts]))
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {"stream_fingerprint": fingerprint, "windows": str(len(windows))}
    save_file({"tokens": stream.tokens, "embedding": stream.embedding}, path, told)
    return stream
