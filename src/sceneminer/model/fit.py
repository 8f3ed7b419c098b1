"""Fitting an added head to labelled clips: private parameters only, from the stored stream, chosen on held-out logs.

The linear part is convex: logistic regression with classes at even odds (each has half the weight), or ridge
regression, with a penalty on the distance from where it starts, chosen from a fixed list by what it gives on logs left
out. Where labels are enough, a reader that attends to the tokens is trained on top, and kept if it is better on logs
left out. Then the whole is fitted to all clips.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from sceneminer.model.added import AddedHead, with_token_reader
from sceneminer.model.examples import WEAK_WEIGHT, Examples
from sceneminer.model.fit_tokens import train_token_reader
from sceneminer.model.held_out import HeldOut, average_precision, deal_logs, figures_of

PENALTIES = (30.0, 3.0, 0.3, 0.03, 0.003)
DEFAULT_PENALTY = 0.3
"""Where there are not two logs to compare penalties on."""
FOLDS = 5
TOKENS_FROM_CLIPS, TOKENS_FROM_CLASS, TOKENS_MARGIN = 400, 64, 0.01
"""Clips, and clips of the rarer class of each label, from which a reader of tokens is tried; what it must gain."""
_LARGE = 8192
"""Clips from which two folds do."""
OnStep = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Fitted:
    """A head fitted to all its examples, the figures behind it, and what each output's penalty was."""

    head: AddedHead
    held_out: dict[str, HeldOut]
    before: dict[str, HeldOut]
    """Of the head that was continued, on the same clips; empty for a new head."""
    penalties: tuple[float, ...]


def fit_head(
    head: AddedHead,
    examples: Examples,
    *,
    background: Float[Tensor, "b d"] | None,
    seed: int,
    on_step: OnStep | None = None,
) -> Fitted:
    """A new head, fitted; ``head`` is where it starts and is left alone.

    background: pooled streams by which a new head's features are standardised; None where an older head is continued,
    which keeps its own.
    """
    say = on_step or (lambda what, done, total: None)
    start = _copy(head)
    if background is not None:
        _standardise(start, background, examples)
    features = ((examples.pooled - start.get_buffer("centre")) / start.get_buffer("spread")).contiguous()
    offset = torch.zeros(len(examples), len(start.bias))
    if start.tokens is not None:
        with torch.no_grad():
            offset = torch.cat([start.tokens(part.float()) for part in examples.tokens.split(256)])
    fitted, chosen, raw = _copy(start), [], np.full((len(examples), len(start.bias)), np.nan)
    for o in range(len(start.bias)):
        say("fitting", o, len(start.bias))
        problem = _problem(start, examples, features, offset[:, o], o)
        penalty, raw[problem.index, o] = _choose(problem, seed=seed)
        chosen.append(penalty)
        weight, bias = _solve(problem, np.ones(len(problem.index), bool), penalty)
        with torch.no_grad():
            fitted.weight[o], fitted.bias[o] = weight, bias
    figures = figures_of(start, examples, raw)
    before = {} if background is not None else figures_of(start, examples, _raw_where(start, examples, raw))
    if start.tokens is None and _enough(start, examples, raw):
        better = _try_tokens(fitted, examples, raw, seed=seed, say=say)
        if better is not None:
            fitted, figures = better
    say("fitting", len(start.bias), len(start.bias))
    return Fitted(fitted.requires_grad_(False).eval(), figures, before, tuple(chosen))


@dataclass(frozen=True, eq=False)
class _Problem:
    """One output: rows whose target is known, and where its weights start."""

    index: Int[ndarray, "k"]
    features: Float[Tensor, "k d"]
    offset: Float[Tensor, "k"]
    target: Float[Tensor, "k"]
    share: Float[Tensor, "k"]
    log: Int[ndarray, "k"]
    scored: Bool[ndarray, "k"]
    weight: Float[Tensor, "d"]
    bias: Float[Tensor, ""]
    classes: bool


def _problem(head: AddedHead, examples: Examples, features: Tensor, offset: Tensor, o: int) -> _Problem:
    index = np.flatnonzero(~np.isnan(examples.targets[:, o]))
    target = torch.from_numpy(examples.targets[index, o].astype(np.float32))
    share = torch.from_numpy(np.where(examples.weak[index], WEAK_WEIGHT, 1.0).astype(np.float32))
    if head.task == "value":
        target = (target - head.get_buffer("target_mean")[o]) / head.get_buffer("target_spread")[o]
    return _Problem(
        index,
        features[index],
        offset[index],
        target,
        share,
        examples.log[index],
        examples.scored[index],
        head.weight[o].detach().clone(),
        head.bias[o].detach().clone(),
        head.task != "value",
    )


def _choose(problem: _Problem, *, seed: int) -> tuple[float, ndarray]:
    """The penalty that is best on logs left out, and each clip's raw output where it was left out (NaN elsewhere)."""
    out = np.full(len(problem.index), np.nan)
    target = problem.target.numpy()
    rare = _rare(target) if problem.classes else np.ones(len(target), bool)
    logs = len(np.unique(problem.log[problem.scored & rare]))
    others = len(np.unique(problem.log[problem.scored & ~rare])) if problem.classes else 2
    if logs < 2 or others < 2:
        return DEFAULT_PENALTY, out
    folds = min(FOLDS if len(target) < _LARGE else 2, logs)
    fold = np.where(problem.scored, -1, folds)
    fold[problem.scored] = deal_logs(problem.log[problem.scored], rare[problem.scored], folds=folds, seed=seed)
    tried = np.full((len(PENALTIES), len(target)), np.nan)
    for k in range(folds):
        inside, left = fold != k, np.flatnonzero(fold == k)
        if problem.classes and len(np.unique(target[inside])) < 2:
            continue
        found = None
        for p, penalty in enumerate(PENALTIES):
            found = _solve(problem, inside, penalty, guess=found)
            tried[p, left] = (problem.features[left] @ found[0] + found[1] + problem.offset[left]).numpy()
    known = ~np.isnan(tried[0])
    if not known.any() or (problem.classes and len(np.unique(target[known])) < 2):
        return DEFAULT_PENALTY, out
    best = int(np.argmax([_quality(row[known], target[known], classes=problem.classes) for row in tried]))
    return PENALTIES[best], tried[best]


def _quality(raw: ndarray, target: ndarray, *, classes: bool) -> float:
    return average_precision(raw, target > 0.5) if classes else -float(np.mean((raw - target) ** 2))


def _rare(target: ndarray) -> ndarray:
    positive = target > 0.5
    return positive if 2 * positive.sum() <= len(positive) else ~positive


def _solve(
    problem: _Problem, inside: ndarray, penalty: float, *, guess: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Weights and bias of least loss + penalty/2 · ‖weights - start‖², the loss a mean over the rows ``inside``."""
    rows = torch.from_numpy(np.flatnonzero(inside))
    x, y, offset, share = problem.features[rows], problem.target[rows], problem.offset[rows], problem.share[rows]
    if not problem.classes:
        return _ridge(x, y - offset, problem, penalty)
    positive = y > 0.5
    share = torch.where(positive, share / share[positive].sum(), share / share[~positive].sum()) / 2
    start = guess or (problem.weight, problem.bias)
    weight, bias = (part.clone().requires_grad_() for part in start)
    solver = torch.optim.LBFGS(
        [weight, bias], max_iter=60, tolerance_grad=1e-5, tolerance_change=1e-7, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        solver.zero_grad()
        raw = x @ weight + bias + offset
        fit = functional.binary_cross_entropy_with_logits(raw, y, weight=share, reduction="sum")
        loss = fit + penalty / 2 * (weight - problem.weight).square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        solver.step(closure)
    return weight.detach(), bias.detach()


def _ridge(x: Tensor, y: Tensor, problem: _Problem, penalty: float) -> tuple[Tensor, Tensor]:
    x, start = x.double(), problem.weight.double()
    left = y.double() - x @ start
    x_mean, y_mean = x.mean(0), left.mean()
    centred = x - x_mean
    gram = centred.T @ centred / len(x) + penalty * torch.eye(x.shape[1], dtype=torch.float64)
    moved = torch.linalg.solve(gram, centred.T @ (left - y_mean) / len(x))
    return (start + moved).float(), (y_mean - x_mean @ moved).float()


def _enough(head: AddedHead, examples: Examples, raw: ndarray) -> bool:
    """Whether a reader of tokens is worth a try: clips, each class of each label, and logs left out to judge it."""
    if len(examples) < TOKENS_FROM_CLIPS or np.isnan(raw).all(0).any():
        return False
    if head.task == "value":
        return True
    known = examples.targets[~examples.weak] if head.task == "labels" else examples.targets
    return bool(min((known == 1).sum(0).min(), (known == 0).sum(0).min()) >= TOKENS_FROM_CLASS)


def _try_tokens(
    linear: AddedHead, examples: Examples, raw: ndarray, *, seed: int, say: OnStep
) -> tuple[AddedHead, dict[str, HeldOut]] | None:
    """The head with a reader of tokens and its figures, if it gains enough on logs left out; else None."""
    left = ~np.isnan(raw).any(1)
    fold = np.full(len(examples), -1)
    fold[left] = deal_logs(examples.log[left], np.ones(int(left.sum()), bool), folds=FOLDS, seed=seed)
    judged = fold == 0
    if len(np.unique(examples.log[judged])) < 2:
        return None
    # Raw outputs of clips left out stand in for the linear part: the reader learns what a linear part cannot say.
    offset = np.where(np.isnan(raw), linear_raw(linear, examples), raw).astype(np.float32)
    trial, epochs = train_token_reader(
        with_token_reader(linear), examples, offset, inside=~judged, judged=judged, seed=seed, say=say
    )
    assert trial.tokens is not None
    with torch.no_grad():
        gained = torch.cat([trial.tokens(part.float()) for part in examples.tokens[judged].split(256)]).numpy()
    held = np.full_like(raw, np.nan)
    held[judged] = raw[judged]
    plain = figures_of(linear, examples, held)
    held[judged] = raw[judged] + gained
    deep = figures_of(linear, examples, held)
    if epochs == 0 or _mean_quality(deep) < _mean_quality(plain) + TOKENS_MARGIN:
        return None
    whole, _ = train_token_reader(
        with_token_reader(linear),
        examples,
        offset,
        inside=np.ones(len(examples), bool),
        epochs=epochs,
        seed=seed,
        say=say,
    )
    return whole, deep


def linear_raw(head: AddedHead, examples: Examples) -> Float[ndarray, "n o"]:
    """The raw output of the linear part on each example."""
    features = (examples.pooled - head.get_buffer("centre")) / head.get_buffer("spread")
    return functional.linear(features, head.weight.detach(), head.bias.detach()).numpy()


def _mean_quality(figures: dict[str, HeldOut]) -> float:
    values = [f.ap if f.positives is not None else f.spearman for f in figures.values()]
    return float(np.mean([0.0 if value is None else value for value in values]))


@torch.no_grad()
def _raw_where(head: AddedHead, examples: Examples, raw: ndarray) -> ndarray:
    """The head's own raw output on the clips where ``raw`` is known."""
    own = linear_raw(head, examples)
    if head.tokens is not None:
        own = own + torch.cat([head.tokens(part.float()) for part in examples.tokens.split(256)]).numpy()
    return np.where(np.isnan(raw), np.nan, own)


def _standardise(head: AddedHead, background: Tensor, examples: Examples) -> None:
    """Fill a new head's buffers: its features' mean and spread over the background, the target's over the examples."""
    spread = background.std(0, unbiased=False)
    head.get_buffer("centre").copy_(background.mean(0))
    head.get_buffer("spread").copy_(torch.where(spread > 1e-6, spread, 1.0))
    if head.task == "value":
        target = torch.from_numpy(examples.targets)
        head.get_buffer("target_mean").copy_(target.mean(0))
        head.get_buffer("target_spread").copy_(target.std(0, unbiased=False))


def _copy(head: AddedHead) -> AddedHead:
    return copy.deepcopy(head).requires_grad_(False).eval()
