"""The one training loop: AdamW, a schedule that can be prolonged, and a state on disk from which it goes on.

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
    optimiser = make_optimiser(model, loop)
    step = load_state(folder, model, optimiser)
    folder.mkdir(parents=True, exist_ok=True)
    _write_run(folder, describe, loop)
    if step:
        say(f"resumed after step {step}")
    end = min(loop.steps, loop.steps if stop_at is None else stop_at)
    began, first, metrics = time.monotonic(), step, dict[str, float]()
    while step < end:
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, loop)
        loss, figures = loss_at(step)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), loop.clip_norm)
        optimiser.step()
        step += 1
        values = {"loss": float(loss.detach()), "grad_norm": float(norm), **figures}
        metrics = {k: 0.9 * metrics.get(k, v) + 0.1 * v for k, v in values.items()}
        if step % loop.log_every == 0 or step == end:
            pace_s = (time.monotonic() - began) / (step - first)
            _log(folder, {"step": step, "rate": rate_at(step - 1, loop), "seconds_per_step": pace_s, **metrics}, say)
        if step % loop.save_every == 0 or step == end:
            save_state(folder, model, optimiser, step=step)
    return step


def make_optimiser(model: nn.Module, loop: Loop) -> torch.optim.AdamW:
    """AdamW over all trainable parameters; vectors and scalars do not decay."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": loop.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=loop.rate, betas=loop.betas)


def rate_at(step: int, loop: Loop) -> float:
    """Linear warm-up, constant, then a half cosine down to nearly 0 over the last ``decay_steps``."""
    warm = min(1.0, (step + 1) / max(loop.warmup_steps, 1))
    left = min(1.0, (loop.steps - step) / max(loop.decay_steps, 1))
    return loop.rate * warm * 0.5 * (1.0 - math.cos(math.pi * left))


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
