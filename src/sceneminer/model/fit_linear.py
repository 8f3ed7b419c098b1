"""The linear part of an added head: one convex problem an output, its penalty chosen on logs left out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from sceneminer.model.added import AddedHead
from sceneminer.model.examples import WEAK_WEIGHT, Examples
from sceneminer.model.held_out import average_precision, deal_logs

PENALTIES = (30.0, 3.0, 0.3, 0.03, 0.003)
RELEVANCE_PENALTIES = (30.0, 3.0)
"""Clips that nobody marked are not truly negative: a light penalty would learn them by heart."""
DEFAULT_PENALTY = 3.0
"""Where there are not two logs to compare penalties on."""
TIED = 0.01
"""The heaviest penalty within this of the best is taken."""
FOLDS, LARGE = 5, 8192
"""Two folds do from LARGE clips."""


@dataclass(frozen=True, eq=False)
class Problem:
    """One output of a head: rows whose target is known, and where its weights start."""

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
    penalties: tuple[float, ...]


def problem_of(head: AddedHead, examples: Examples, features: Tensor, offset: Tensor, o: int) -> Problem:
    """What is known of output ``o``, and where its weights start."""
    index = np.flatnonzero(~np.isnan(examples.targets[:, o]))
    target = torch.from_numpy(examples.targets[index, o].astype(np.float32))
    share = torch.from_numpy(np.where(examples.weak[index], WEAK_WEIGHT, 1.0).astype(np.float32))
    if head.task == "value":
        target = (target - head.get_buffer("target_mean")[o]) / head.get_buffer("target_spread")[o]
    return Problem(
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
        RELEVANCE_PENALTIES if head.task == "relevance" else PENALTIES,
    )


def choose_penalty(problem: Problem, *, seed: int) -> tuple[float, ndarray]:
    """The penalty that is best on logs left out, and each clip's raw output where it was left out (NaN elsewhere)."""
    out = np.full(len(problem.index), np.nan)
    target = problem.target.numpy()
    rare = _rare(target) if problem.classes else np.ones(len(target), bool)
    logs = len(np.unique(problem.log[problem.scored & rare]))
    others = len(np.unique(problem.log[problem.scored & ~rare])) if problem.classes else 2
    if logs < 2 or others < 2:
        return DEFAULT_PENALTY, out
    folds = min(FOLDS if len(target) < LARGE else 2, logs)
    fold = np.where(problem.scored, -1, folds)
    fold[problem.scored] = deal_logs(problem.log[problem.scored], rare[problem.scored], folds=folds, seed=seed)
    tried = np.full((len(problem.penalties), len(target)), np.nan)
    for k in range(folds):
        inside, left = fold != k, np.flatnonzero(fold == k)
        if problem.classes and len(np.unique(target[inside])) < 2:
            continue
        for p, (weight, bias) in enumerate(solve(problem, inside, problem.penalties)):
            tried[p, left] = (problem.features[left] @ weight + bias + problem.offset[left]).numpy()
    known = ~np.isnan(tried[0])
    if not known.any() or (problem.classes and len(np.unique(target[known])) < 2):
        return DEFAULT_PENALTY, out
    quality = np.array([_quality(row[known], target[known], classes=problem.classes) for row in tried])
    best = int(np.flatnonzero(quality >= quality.max() - TIED)[0])
    return problem.penalties[best], tried[best]


def solve(problem: Problem, inside: Bool[ndarray, "k"], penalties: Sequence[float]) -> Iterator[tuple[Tensor, Tensor]]:
    """For each penalty, weights and bias of least mean loss ``inside`` + penalty/2 · ‖weights - start‖².

    The loss is cross-entropy with classes at even odds, or half the squared error.
    """
    rows = torch.from_numpy(np.flatnonzero(inside))
    x, y, offset, share = problem.features[rows], problem.target[rows], problem.offset[rows], problem.share[rows]
    if not problem.classes:
        yield from _ridge(x, y - offset, problem, penalties)
        return
    positive = y > 0.5
    share = torch.where(positive, share / share[positive].sum(), share / share[~positive].sum()) / 2
    weight, bias = problem.weight, problem.bias
    for penalty in penalties:
        weight, bias = _logistic(x, y, offset, share, problem.weight, penalty, guess=(weight, bias))
        yield weight, bias


def _logistic(
    x: Tensor, y: Tensor, offset: Tensor, share: Tensor, start: Tensor, penalty: float, *, guess: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    weight, bias = (part.clone().requires_grad_() for part in guess)
    solver = torch.optim.LBFGS(
        [weight, bias], max_iter=60, tolerance_grad=1e-5, tolerance_change=1e-7, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        solver.zero_grad()
        raw = x @ weight + bias + offset
        fit = functional.binary_cross_entropy_with_logits(raw, y, weight=share, reduction="sum")
        loss = fit + penalty / 2 * (weight - start).square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        solver.step(closure)
    return weight.detach(), bias.detach()


def _ridge(x: Tensor, y: Tensor, problem: Problem, penalties: Sequence[float]) -> Iterator[tuple[Tensor, Tensor]]:
    left = y - x @ problem.weight
    x_mean, y_mean = x.mean(0), left.mean()
    centred = x - x_mean
    # Sums in fp32 are exact enough beside the penalty; what they are divided by is worth doubles.
    gram, side = (centred.T @ centred / len(x)).double(), (centred.T @ (left - y_mean) / len(x)).double()
    for penalty in penalties:
        moved = torch.linalg.solve(gram + penalty * torch.eye(len(gram), dtype=gram.dtype), side).float()
        yield problem.weight + moved, y_mean - x_mean @ moved


def calibrate(problem: Problem, raw: ndarray) -> tuple[float, float]:
    """Scale and shift that make logits of clips left out probabilities at even odds (Platt, 1999, with his targets).

    A heavy penalty shrinks logits towards zero; their order stays as it is.
    """
    known = np.flatnonzero(~np.isnan(raw))
    if not problem.classes or not len(known) or bool(problem.offset.any()):
        return 1.0, 0.0
    x, y = torch.from_numpy(raw[known]), problem.target[known].double()
    share = problem.share[known].double()
    counts = [(y == value).sum() for value in (0.0, 1.0)]
    goal = torch.where(y == 1.0, (counts[1] + 1) / (counts[1] + 2), 1 / (counts[0] + 2))
    share = torch.where(y == 1.0, share / share[y == 1.0].sum(), share / share[y == 0.0].sum()) / 2
    line = torch.tensor([0.0, 0.0], dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([line], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        scaled = x * line[0].exp() + line[1]
        loss = functional.binary_cross_entropy_with_logits(scaled, goal, weight=share, reduction="sum")
        loss = loss + 1e-3 * line[0].square()
        loss.backward()
        return loss

    with torch.enable_grad():
        solver.step(closure)
    return float(line[0].detach().exp()), float(line[1].detach())


def _quality(raw: ndarray, target: ndarray, *, classes: bool) -> float:
    """Average precision, or the share of variance explained."""
    if classes:
        return average_precision(raw, target > 0.5)
    return 1.0 - float(np.mean((raw - target) ** 2) / max(float(np.var(target)), 1e-12))


def _rare(target: ndarray) -> ndarray:
    positive = target > 0.5
    return positive if 2 * positive.sum() <= len(positive) else ~positive
