"""What the trained signals must beat: probes for tags, a projection for text search, regressions of risk.

All are trained on train and chosen on val alone (``mining_fit``), deterministic by seed. Settings are searched with
seed 0 and then fitted with each seed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor, nn
from torch.nn import functional

from sceneminer.evals.mining_fit import STEPS, Fitted, Probe, Search, Setting, choose, drawn, fit
from sceneminer.evals.mining_metrics import each_once, mean_precision, ndcg, query_precision, spearman
from sceneminer.evals.mining_queries import Queries
from sceneminer.evals.mining_set import EvalSet, Features, features_of
from sceneminer.recipes.mining_features import Window
from sceneminer.recipes.mining_set import clips_of_windows
from sceneminer.recipes.mining_text import CaptionBank
from sceneminer.recipes.tiny_loss import contrast

_TEXTS = 128


@dataclass(frozen=True, eq=False)
class TrainSet:
    """Every clip of the training windows, half a second apart, as stage 1 draws them."""

    features: Features
    tags: Int[ndarray, "n t"]
    risk: Float[ndarray, "n"]


def make_train_set(windows: Sequence[Window]) -> TrainSet:
    clips = clips_of_windows(windows)
    tags = np.stack([windows[c.window].tensors["tags"][c.first] for c in clips]).astype(np.int64)
    risk = [windows[c.window].truth["risk"][c.first]["risk"] for c in clips]
    return TrainSet(features_of(windows, clips), tags, np.array(risk, np.float64))


def read_inputs(features: Features, names: Sequence[str], *, motion: bool = True) -> Float[Tensor, "n k"]:
    """Pooled embeddings side by side, with ego's motion."""
    parts = [getattr(features, name) for name in names] + [features.motion] * motion
    return torch.from_numpy(np.concatenate(parts, 1).astype(np.float32))


def fit_tags(train: TrainSet, val: EvalSet, setting: Setting, *, seed: int, steps: int = STEPS) -> Fitted:
    """Tags from pooled embeddings and ego's motion; chosen by mAP."""
    x, on_val = (read_inputs(part.features, setting.inputs) for part in (train, val))
    truth = torch.from_numpy(train.tags)
    known = (truth >= 0).float()
    positives = ((truth == 1).float().sum(0) / known.sum(0).clamp(min=1)).clamp(1e-3, 1 - 1e-3)
    weight = ((1 - positives) / positives) ** setting.balance
    torch.manual_seed(seed)
    module = Probe(x, truth.shape[1], setting)

    def loss_of(generator: torch.Generator) -> Tensor:
        rows = drawn(len(x), generator)
        each = functional.binary_cross_entropy_with_logits(
            module(x[rows]), (truth[rows] == 1).float(), pos_weight=weight, reduction="none"
        )
        return (each * known[rows]).sum() / known[rows].sum()

    def judge(fitted: nn.Module) -> float:
        return float(mean_precision(_numbers(fitted(on_val)), val.tags, each_once(len(val)))[0])

    return fit(module, loss_of, judge, setting, seed=seed, steps=steps)


def choose_tags(train: TrainSet, val: EvalSet, *, hidden: bool, search: Search) -> Setting:
    """Of the linear probe, or of the small network."""
    make = partial(fit_tags, train, val, seed=0, steps=search.steps)
    return choose(make, Setting(hidden=64 if hidden else 0), search.mlp if hidden else search.linear).setting


@torch.no_grad()
def say_tags(fitted: Fitted, features: Features) -> Float[ndarray, "n t"]:
    """Logits."""
    return _numbers(fitted.module(read_inputs(features, fitted.setting.inputs)))


class Projection(nn.Module):
    """A linear map into the text space that starts as the identity; decay pulls it back there."""

    def __init__(self, width: int):
        super().__init__()
        self.change = nn.Linear(width, width)
        nn.init.zeros_(self.change.weight)
        nn.init.zeros_(self.change.bias)

    def forward(self, mean: Float[Tensor, "b e"]) -> Float[Tensor, "b e"]:
        direction = functional.normalize(mean, dim=-1)
        return functional.normalize(direction + self.change(direction), dim=-1)


def fit_projection(
    train: TrainSet,
    bank: CaptionBank,
    val: EvalSet,
    queries: Queries,
    setting: Setting,
    *,
    seed: int,
    steps: int = STEPS,
) -> Fitted:
    """Mean embeddings towards captions that are true of them, as stage 1 trains its own; chosen by mAP of search."""
    x, on_val = (torch.from_numpy(part.features.mean.astype(np.float32)) for part in (train, val))
    texts, of_batch = bank.embeddings.float(), _truth_of(bank)
    module = Projection(x.shape[1])

    def loss_of(generator: torch.Generator) -> Tensor:
        rows = drawn(len(x), generator, batch=_TEXTS).tolist()
        which = torch.randint(texts.shape[1], (len(rows),), generator=generator).tolist()
        return contrast(setting.scale * texts[rows, which] @ module(x[rows]).T, of_batch(rows, which))

    def judge(fitted: nn.Module) -> float:
        return float(query_precision(queries.embedding @ _numbers(fitted(on_val)).T, queries.true).mean())

    return fit(module, loss_of, judge, setting, seed=seed, steps=steps)


@lru_cache(maxsize=1)
def _truth_of(bank: CaptionBank) -> Callable[[list[int], list[int]], Tensor]:
    """``bank.truth`` of one caption of each clip of a batch among that batch, by a table of facts: steps are many."""
    place = {
        fact: i for i, fact in enumerate(set().union(*bank.facts, *(c.facts for own in bank.captions for c in own)))
    }
    has = np.zeros((len(bank.facts), len(place)), bool)
    for row, facts in zip(has, bank.facts, strict=True):
        row[[place[fact] for fact in facts]] = True
    said = [[np.array([place[fact] for fact in c.facts], np.int64) for c in own] for own in bank.captions]

    def of_batch(rows: list[int], which: list[int]) -> Tensor:
        here = has[rows]
        return torch.from_numpy(np.stack([here[:, said[c][k]].all(1) for c, k in zip(rows, which, strict=True)]))

    return of_batch


def choose_projection(train: TrainSet, bank: CaptionBank, val: EvalSet, queries: Queries, *, search: Search) -> Setting:
    make = partial(fit_projection, train, bank, val, queries, seed=0, steps=search.steps)
    return choose(make, Setting(rate=1e-3), search.projection).setting


@torch.no_grad()
def project(fitted: Fitted, features: Features) -> Float[ndarray, "n e"]:
    return _numbers(fitted.module(torch.from_numpy(features.mean.astype(np.float32))))


def risk_judge(scores: ndarray, risk: ndarray) -> float:
    """What regressions are chosen by: the mean of Spearman and NDCG."""
    once = each_once(len(risk))
    return float(np.mean([np.nan_to_num(spearman(scores, risk, once)[0]), ndcg(scores, risk, once)[0]]))


def _numbers(values: Tensor) -> ndarray:
    return values.detach().float().numpy().astype(np.float64)
