"""Training an added head's reader of tokens, by minibatches, on top of what its linear part says."""

import copy
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from sceneminer.model.added import AddedHead
from sceneminer.model.examples import WEAK_WEIGHT, Examples
from sceneminer.model.initial import initialise_head

BATCH, EPOCHS, PATIENCE = 128, 30, 5
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 0.05


def train_token_reader(
    head: AddedHead,
    examples: Examples,
    offset: Float[ndarray, "n o"],
    *,
    inside: Bool[ndarray, "n"],
    judged: Bool[ndarray, "n"] | None = None,
    epochs: int = EPOCHS,
    seed: int,
    say: Callable[[str, int, int], None],
) -> tuple[AddedHead, int]:
    """The head after training on the rows ``inside``, and for how many epochs; only its reader of tokens moves.

    With ``judged``, training stops when the loss there has not fallen for some epochs and the best epoch is returned
    (0: none was better than no reader at all).
    """
    reader = head.tokens
    assert reader is not None
    initialise_head(reader, seed=seed)
    reader.requires_grad_(True)
    target, share = _targets(head, examples, inside)
    base = torch.from_numpy(offset)
    optimiser = torch.optim.AdamW(reader.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    rng, rows = np.random.default_rng([seed, 2]), np.flatnonzero(inside)
    best, best_loss, best_epoch = copy.deepcopy(reader.state_dict()), float("inf"), 0
    if judged is not None:
        best_loss = _loss_on(head, examples, base, judged)
    for epoch in range(1, epochs + 1):
        say("reading tokens", epoch, epochs)
        order = rng.permutation(rows)
        for first in range(0, len(order), BATCH):
            part = order[first : first + BATCH]
            with torch.enable_grad():
                raw = reader(examples.tokens[part].float()) + base[part]
                loss = (_losses(raw, target[part], head.task) * share[part]).sum() / max(float(share[part].sum()), 1e-9)
                optimiser.zero_grad()
                loss.backward()
            optimiser.step()
        if judged is None:
            continue
        now = _loss_on(head, examples, base, judged)
        if now < best_loss:
            best, best_loss, best_epoch = copy.deepcopy(reader.state_dict()), now, epoch
        elif epoch - best_epoch >= PATIENCE:
            break
    if judged is not None:
        reader.load_state_dict(best)
    head.requires_grad_(False)
    return head, best_epoch if judged is not None else epochs


def _targets(head: AddedHead, examples: Examples, rows: ndarray) -> tuple[Tensor, Tensor]:
    """Targets, and each one's share: zero where not known or not among the rows, classes at even odds."""
    target = torch.from_numpy(np.nan_to_num(examples.targets).astype(np.float32))
    known = ~np.isnan(examples.targets) & rows[:, None]
    if head.task == "value":
        target = (target - head.get_buffer("target_mean")) / head.get_buffer("target_spread")
        return target, torch.from_numpy(known.astype(np.float32))
    share = known * np.where(examples.weak, WEAK_WEIGHT, 1.0)[:, None]
    positive = np.nan_to_num(examples.targets) > 0.5
    for side in (positive, ~positive):
        total = (share * side).sum(0)
        share = np.where(side, share * known.sum(0) / 2 / np.maximum(total, 1e-9), share)
    return target, torch.from_numpy(share.astype(np.float32))


def _losses(raw: Tensor, target: Tensor, task: str) -> Tensor:
    if task == "value":
        return (raw - target).square()
    return functional.binary_cross_entropy_with_logits(raw, target, reduction="none")


@torch.no_grad()
def _loss_on(head: AddedHead, examples: Examples, base: Tensor, rows: ndarray) -> float:
    assert head.tokens is not None
    target, share = _targets(head, examples, rows)
    total = 0.0
    for part in np.array_split(np.flatnonzero(rows), max(1, int(rows.sum()) // 256)):
        raw = head.tokens(examples.tokens[part].float()) + base[part]
        total += float((_losses(raw, target[part], head.task) * share[part]).sum())
    return total / max(float(share.sum()), 1e-9)
