"""The one training loop: AdamW and Muon, a schedule that can be prolonged, and a state on disk from which it goes on.

A step's batch is a function of the seed and the step's number alone, so that no generator has to be stored: a run
that was stopped and resumed gives the same bits as one that was not (same machine, same number of threads).
"""

import json
import math
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sceneminer.train.state import load_state, save_state

METRICS_FILE = "metrics.jsonl"


@dataclass(frozen=True)
class Loop:
    """How long, how fast, and how often it is written down."""

    steps: int
    warmup_steps: int = 60
    decay_steps: int = 200
    """At the end the rate falls to 0 over so many steps; before, it is constant, so that ``steps`` may grow later."""
    rate: float = 1e-3
    muon_rate: float = 0.0
    """Of Muon, for the matrices of transformer layers and cross-attention blocks; 0: AdamW for them, too."""
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.98)
    clip_norm: float = 1.0
    save_every: int = 50
    log_every: int = 10


def run_loop(
    model: nn.Module,
    loss_at: Callable[[int], tuple[Tensor, Mapping[str, float]]],
    loop: Loop,
    folder: Path,
    *,
    describe: Mapping[str, Any],
    stop_at: int | None = None,
    say: Callable[[str], None] = print,
) -> int:
    """Train from the state in the folder, or from the start, to ``loop.steps`` or ``stop_at``; returns the steps done.

    ``loss_at(step)`` gives a step's loss and figures to log. ``describe`` and the git commit go to ``run.json``.
    """
    optimisers = make_optimisers(model, loop)
    peaks = [[group["lr"] for group in optimiser.param_groups] for optimiser in optimisers]
    step = load_state(folder, model, optimisers)
    folder.mkdir(parents=True, exist_ok=True)
    _write_run(folder, describe, loop)
    if step:
        say(f"resumed after step {step}")
    end = min(loop.steps, loop.steps if stop_at is None else stop_at)
    began, first, metrics = time.monotonic(), step, dict[str, float]()
    while step < end:
        loss, figures = loss_at(step)
        model.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), loop.clip_norm)
        for optimiser, rates in zip(optimisers, peaks, strict=True):
            for group, peak in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = peak * share_at(step, loop)
            optimiser.step()
        step += 1
        values = {"loss": float(loss.detach()), "grad_norm": float(norm), **figures}
        metrics = {k: 0.9 * metrics.get(k, v) + 0.1 * v for k, v in values.items()}
        if step % loop.log_every == 0 or step == end:
            pace_s = (time.monotonic() - began) / (step - first)
            _log(
                folder,
                {"step": step, "rate": loop.rate * share_at(step - 1, loop), "seconds_per_step": pace_s, **metrics},
                say,
            )
        if step % loop.save_every == 0 or step == end:
            save_state(folder, model, optimisers, step=step)
    return step


def make_optimisers(model: nn.Module, loop: Loop) -> tuple[torch.optim.Optimizer, ...]:
    """AdamW, without decay for vectors and scalars; and Muon (Jordan et al., 2024) for the matrices inside
    transformer layers where the loop gives it a rate."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    layers = (".layers.", ".blocks.")
    inner = {n for n, p in named if loop.muon_rate > 0 and p.ndim == 2 and any(part in n for part in layers)}
    groups = [
        {"params": [p for n, p in named if n not in inner and p.ndim >= 2], "weight_decay": loop.weight_decay},
        {"params": [p for n, p in named if n not in inner and p.ndim < 2], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, lr=loop.rate, betas=loop.betas)
    if not inner:
        return (adam,)
    matrices = [p for n, p in named if n in inner]
    return adam, torch.optim.Muon(matrices, lr=loop.muon_rate, weight_decay=0.01, momentum=0.95)


def share_at(step: int, loop: Loop) -> float:
    """Of the full rate: linear warm-up, constant, then a half cosine down to nearly 0 over the last ``decay_steps``."""
    warm = min(1.0, (step + 1) / max(loop.warmup_steps, 1))
    left = min(1.0, (loop.steps - step) / max(loop.decay_steps, 1))
    return warm * 0.5 * (1.0 - math.cos(math.pi * left))


def git_commit() -> str:
    """The commit of the code that runs, with + where it was changed; "" outside a repository."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip()


def _write_run(folder: Path, describe: Mapping[str, Any], loop: Loop) -> None:
    run = {"commit": git_commit(), "torch": torch.__version__, "threads": torch.get_num_threads()}
    (folder / "run.json").write_text(json.dumps({**run, "loop": asdict(loop), **describe}, indent=1))


def _log(folder: Path, row: Mapping[str, int | float], say: Callable[[str], None]) -> None:
    with (folder / METRICS_FILE).open("a") as file:
        file.write(json.dumps(row) + "\n")
    say("  ".join(f"{name} {value:.4g}" for name, value in row.items()))
