"""Risk regressed directly, with no agents and no physics: from the stream's tokens, or from the tower alone."""

from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor, nn
from torch.nn import functional

from sceneminer.evals.mining_baselines import TrainSet, read_inputs, risk_judge
from sceneminer.evals.mining_fit import STEPS, Fitted, Probe, Search, Setting, choose, drawn, fit
from sceneminer.evals.mining_set import EvalSet, Features


class TokenRegression(nn.Module):
    """One number from a clip's tokens: their mean, or their weighted sum by one learned query, through a network."""

    def __init__(self, train: Float[Tensor, "n q w"], setting: Setting):
        super().__init__()
        width = train.shape[-1]
        self.query = nn.Parameter(torch.zeros(width)) if setting.inputs == ("attention",) else None
        self.register_buffer("middle", train.mean((0, 1)))
        self.register_buffer("scale", train.std((0, 1)).clamp(min=1e-6))
        self.probe = Probe(self._pooled(train).detach(), 1, setting)

    def forward(self, tokens: Float[Tensor, "b q w"]) -> Float[Tensor, "b 1"]:
        return self.probe(self._pooled(tokens))

    def _pooled(self, tokens: Tensor) -> Tensor:
        normed = (tokens - self.get_buffer("middle")) / self.get_buffer("scale")
        if self.query is None:
            return normed.mean(1)
        weight = (normed @ self.query / normed.shape[-1] ** 0.5).softmax(-1)
        return (weight[..., None] * normed).sum(1)


def fit_from_features(train: TrainSet, val: EvalSet, setting: Setting, *, seed: int, steps: int = STEPS) -> Fitted:
    """From pooled embeddings and ego's motion."""
    x, on_val = (read_inputs(part.features, setting.inputs) for part in (train, val))
    torch.manual_seed(seed)
    return _fit(Probe(x, 1, setting), x, train.risk, on_val, val.risk, setting, seed=seed, steps=steps)


def fit_from_tokens(
    tokens: ndarray,
    risk: Float[ndarray, "n"],
    on_val: ndarray,
    val_risk: Float[ndarray, "m"],
    setting: Setting,
    *,
    seed: int,
    steps: int = STEPS,
) -> Fitted:
    """From a trained stream's tokens [n 32 256] of training clips."""
    x, other = (torch.from_numpy(part).float() for part in (tokens, on_val))
    torch.manual_seed(seed)
    return _fit(TokenRegression(x, setting), x, risk, other, val_risk, setting, seed=seed, steps=steps)


def choose_from_features(train: TrainSet, val: EvalSet, *, search: Search) -> Setting:
    make = partial(fit_from_features, train, val, seed=0, steps=search.steps)
    return choose(make, Setting(hidden=64), search.of_features).setting


def choose_from_tokens(
    tokens: ndarray, risk: ndarray, on_val: ndarray, val_risk: ndarray, *, search: Search
) -> Setting:
    make = partial(fit_from_tokens, tokens, risk, on_val, val_risk, seed=0, steps=search.steps)
    return choose(make, Setting(hidden=64), search.of_tokens).setting


@torch.no_grad()
def say_risk(fitted: Fitted, inputs: Features | ndarray) -> Float[ndarray, "n"]:
    """Logits: a monotone score, not in [0, 1]."""
    if isinstance(inputs, Features):
        x = read_inputs(inputs, fitted.setting.inputs)
    else:
        x = torch.from_numpy(inputs).float()
    return fitted.module(x)[:, 0].numpy().astype(np.float64)


def _fit(
    module: nn.Module,
    x: Tensor,
    risk: ndarray,
    on_val: Tensor,
    val_risk: ndarray,
    setting: Setting,
    *,
    seed: int,
    steps: int,
) -> Fitted:
    target = torch.from_numpy(risk.astype(np.float32))

    def loss_of(generator: torch.Generator) -> Tensor:
        rows = drawn(len(x), generator)
        said = module(x[rows])[:, 0]
        if setting.loss == "squares":
            return functional.mse_loss(said.sigmoid(), target[rows])
        return functional.binary_cross_entropy_with_logits(said, target[rows])

    def judge(fitted: nn.Module) -> float:
        return risk_judge(fitted(on_val)[:, 0].numpy().astype(np.float64), val_risk)

    return fit(module, loss_of, judge, setting, seed=seed, steps=steps)
