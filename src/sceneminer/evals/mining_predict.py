"""What a model says of the clips of an ``EvalSet``, in one form whatever the model has heads for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Float16
from numpy import ndarray
from torch import Tensor

from sceneminer.evals.mining_set import STRIDE, eval_clips, features_of
from sceneminer.model.forecast_risk import camera_risk
from sceneminer.model.scene_model import SceneModel
from sceneminer.model.stream import Stream
from sceneminer.recipes.mining_features import Window
from sceneminer.recipes.mining_streams import window_streams

THERE = 0.5
"""Belief from which on an agent counts as there."""


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


def predict(model: SceneModel, windows: Sequence[Window]) -> Predictions:
    """What a model says by its trunk and by whichever heads it has; a window's patch tokens are read at a time."""
    streams = [window_streams(model, window)[::STRIDE] for window in windows]
    stream = Stream(torch.cat([s.tokens for s in streams]), torch.cat([s.embedding for s in streams]))
    said = _signals(model, stream)
    found = Predictions(said["embedding"], said["tags"], stream.tokens.numpy())
    if "forecast" not in model.heads:
        return found
    with torch.no_grad():
        signal = model.signals(stream, names=("forecast",))["forecast"]
    assert isinstance(signal, Mapping)
    clips = [{name: value[c].float().numpy() for name, value in signal.items()} for c in range(len(stream))]
    return with_forecast(found, clips)


def with_forecast(said: Predictions, clips: Sequence[Mapping[str, ndarray]]) -> Predictions:
    """With the physics of each clip's part of the signal ``forecast``: risk, ambiguity and explanation."""
    risks = [camera_risk(clip) for clip in clips]
    where = [(np.nan, np.nan) if r.x_m is None or r.y_m is None else (r.x_m, r.y_m) for r in risks]
    return replace(
        said,
        risk=np.array([r.risk for r in risks], np.float64),
        ambiguity=np.array([r.ambiguity_m for r in risks], np.float64),
        explanation=Named(
            np.array(where, np.float64),
            np.array([np.nan if r.after_s is None else r.after_s for r in risks], np.float64),
            tuple(r.measure or "" for r in risks),
        ),
        forecasts=tuple(_forecast(clip) for clip in clips),
    )


def _forecast(clip: Mapping[str, ndarray]) -> Forecast:
    agents, futures = clip["agents"].astype(np.float64), clip["futures"].astype(np.float64)
    there = agents[:, 8] >= THERE
    return Forecast(agents[there, :2], agents[there, 3:5], futures[there], agents[there, 8])


def _signals(model: SceneModel, stream: Stream) -> dict[str, ndarray]:
    with torch.no_grad():
        said = model.signals(stream, names=("embedding", "tags"))
    tensors = {name: value for name, value in said.items() if isinstance(value, Tensor)}
    return {name: value.float().numpy().astype(np.float64) for name, value in tensors.items()}
