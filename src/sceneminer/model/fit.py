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
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from sceneminer.model.added import AddedHead, with_token_reader
from sceneminer.model.examples import Examples
from sceneminer.model.fit_linear import FOLDS, calibrate, choose_penalty, problem_of, solve
from sceneminer.model.fit_tokens import train_token_reader
from sceneminer.model.held_out import HeldOut, deal_logs, figures_of

TOKENS_FROM_CLIPS, TOKENS_FROM_CLASS, TOKENS_MARGIN = 400, 64, 0.01
"""Clips, and clips of the rarer class of each label, from which a reader of tokens is tried; what it must gain."""
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
        problem = problem_of(start, examples, features, offset[:, o], o)
        penalty, left_out = choose_penalty(problem, seed=seed)
        chosen.append(penalty)
        weight, bias = next(solve(problem, np.ones(len(problem.index), bool), [penalty]))
        scale, shift = calibrate(problem, left_out)
        raw[problem.index, o] = scale * left_out + shift
        with torch.no_grad():
            fitted.weight[o], fitted.bias[o] = scale * weight, scale * bias + shift
    figures = figures_of(start, examples, raw)
    before = {} if background is not None else figures_of(start, examples, _raw_where(start, examples, raw))
    if start.tokens is None and _enough(start, examples, raw):
        better = _try_tokens(fitted, examples, raw, seed=seed, say=say)
        if better is not None:
            fitted, figures = better
    say("fitting", len(start.bias), len(start.bias))
    return Fitted(fitted.requires_grad_(False).eval(), figures, before, tuple(chosen))


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
