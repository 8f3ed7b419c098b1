"""What a model says of the clips of an ``EvalSet``, in one form whatever the model has heads for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float16
from numpy import ndarray
from torch import Tensor

from sceneminer.evals.mining_set import eval_clips, features_of
from sceneminer.model.scene_model import SceneModel
from sceneminer.model.stream import Stream
from sceneminer.recipes.mining_data import WindowPlan
from sceneminer.recipes.mining_features import Window
from sceneminer.recipes.mining_set import FRAMES, ClipRef, lift_batch, read_batch, rig_geometry

_BATCH = 8


@dataclass(frozen=True, eq=False)
class Named:
    """Who, when and which measure is behind a risk, in the ego frame of the clip's last Frame."""

    xy_m: Float[ndarray, "n 2"]
    """Of the agent at the instant; NaN where nobody is named."""
    instant_s: Float[ndarray, "n"]
    """From the clip's start; NaN where nobody is named."""
    measure: tuple[str, ...]
    """Empty where nobody is named."""


@dataclass(frozen=True, eq=False)
class Forecast:
    """The agents that a model takes to be there at one clip's last Frame, in its ego frame."""

    xy_m: Float[ndarray, "a 2"]
    velocity_mps: Float[ndarray, "a 2"]
    futures_m: Float[ndarray, "a k 8 2"]
    """Every half second from half a second on."""
    belief: Float[ndarray, "a"]
    """The surest takes its match first."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """None where a model has no such signal: reported as not measured."""

    embedding: Float[ndarray, "n e"]
    tags: Float[ndarray, "n t"]
    tokens: Float16[ndarray, "n q w"] | None = None
    risk: Float[ndarray, "n"] | None = None
    ambiguity: Float[ndarray, "n"] | None = None
    explanation: Named | None = None
    forecasts: tuple[Forecast, ...] | None = None


def predict_zero_shot(model: SceneModel, windows: Sequence[Window]) -> Predictions:
    """What the frozen tower says with no trunk behind it: embedding and tags of heads that read no token.

    For a model whose heads have never been trained; a trained one's residual of zero tokens is not zero.
    """
    mean = torch.from_numpy(features_of(windows, eval_clips(windows)).mean).half()
    tokens = torch.zeros(len(mean), model.config.token_count, model.config.token_width, dtype=torch.float16)
    said = _signals(model, Stream(tokens, mean))
    return Predictions(said["embedding"], said["tags"])


def predict_stream(model: SceneModel, windows: Sequence[Window]) -> Predictions:
    """Embedding and tags of the trained trunk, and its tokens; reads patch tokens a few clips at a time."""
    stream = stream_of(model, windows, eval_clips(windows))
    said = _signals(model, stream)
    return Predictions(said["embedding"], said["tags"], stream.tokens.numpy())


def stream_of(model: SceneModel, windows: Sequence[Window], clips: Sequence[ClipRef]) -> Stream:
    """The streams of clips of windows, rounded."""
    parts = list(_streams(model, windows, clips))
    return Stream(torch.cat([p.tokens for p in parts]), torch.cat([p.embedding for p in parts]))


@torch.no_grad()
def _streams(model: SceneModel, windows: Sequence[Window], clips: Sequence[ClipRef]) -> Iterator[Stream]:
    for at in range(0, len(clips), _BATCH):
        batch = read_batch(windows, clips[at : at + _BATCH])
        points, rays = rig_geometry(model.config, WindowPlan("val").size_hw)
        c, t, v = batch.embeddings.shape[:3]
        assert t == FRAMES
        bev = lift_batch(model.lift, batch.patches.flatten(0, 1), points).unflatten(0, (c, t))
        yield model.make_stream(
            embeddings=batch.embeddings,
            patches=batch.patches.float(),
            valid=torch.ones(c, t, v, dtype=torch.bool),
            rays=torch.from_numpy(rays).expand(c, t, *rays.shape),
            bev=bev,
            last_from_frame=batch.last_from_frame,
        )


def _signals(model: SceneModel, stream: Stream) -> dict[str, ndarray]:
    with torch.no_grad():
        said: dict[str, Tensor] = model.signals(stream, names=("embedding", "tags"))
    return {name: value.float().numpy().astype(np.float64) for name, value in said.items()}
