"""``bench identity``: runs the interference benchmark and writes its page, picture and numbers."""

import json
import platform
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from sceneminer.evals.identity_bench import ArmResult, as_document, run_benchmark
from sceneminer.evals.identity_data import BenchData, make_toy_data, read_bench_data
from sceneminer.evals.identity_page import page, summarise
from sceneminer.evals.identity_plot import draw
from sceneminer.evals.identity_system import Plan
from sceneminer.model.scene_model import SceneModel
from sceneminer.model.zoo import resolve_model
from sceneminer.train.loop import git_commit


def run_and_write(
    out: Path, *, model: str | None = None, data: Path | None = None, seeds: int = 3, steps: int = 60
) -> None:
    """Run the interference benchmark and write ``results/identity.md``, ``results/identity.json`` and
    ``images/identity.png`` under ``out``; ValueError, before anything runs, where only one of model and data is given.
    """
    if (model is None) != (data is None):
        raise ValueError(
            "expected both --model and --data, or neither, found one: features belong to the model's tower"
        )
    torch.set_num_threads(1)  # bits may depend on it
    console = Console(highlight=False, soft_wrap=True)
    scene = None if model is None else SceneModel.from_pretrained(resolve_model(model))
    given = None if data is None else read_bench_data(data)
    plan, began = Plan(steps=steps), time.monotonic()
    results = run_benchmark(
        make_toy_data if given is None else lambda seed: given,
        model=scene,
        plan=plan,
        seeds=range(seeds),
        say=lambda line: console.print(line, markup=False),
    )
    about = _about(model, given, plan, seeds, seconds=time.monotonic() - began)
    write_results(out, results, plan, about)
    console.print(f"wrote {out / 'results/identity.md'}, identity.json beside it and {out / 'images/identity.png'}")


def write_results(out: Path, results: Sequence[ArmResult], plan: Plan, about: dict[str, str]) -> None:
    """The page, its picture and every number."""
    for name in ("results", "images"):
        (out / name).mkdir(parents=True, exist_ok=True)
    text = json.dumps(as_document(results, plan, dict(about)), indent=1)
    (out / "results/identity.json").write_text(text + "\n", encoding="utf-8")
    (out / "results/identity.md").write_text(page(results, about, plot="../images/identity.png"), encoding="utf-8")
    draw(summarise(results)).save(out / "images/identity.png")


def _about(model: str | None, data: BenchData | None, plan: Plan, seeds: int, *, seconds: float) -> dict[str, str]:
    if model is None or data is None:
        base = (
            "The trunk is the product's own (32 tokens × 256, two layers) with its two heads, trained from nothing for "
            f"{plan.base_steps} steps on made-up clips (`evals/identity_data.py`), anew in each seed."
        )
        clips = "1,200 made-up clips to train on, 300 to measure by"
        given = ""
    else:
        base = f"Trunk and heads are those of {Path(model).name}; seeds differ in batches and in the new sub-module."
        clips = f"{len(data.train):,} clips to train on, {len(data.val):,} to measure by"
        given = f" --model {Path(model).name} --data FEATURES"
    return {
        "base": base,
        "command": f"`sceneminer bench identity --out docs{given} --seeds {seeds} --steps {plan.steps}`",
        "commit": git_commit() or "unknown",
        "data": clips,
        "training": f"{plan.steps} steps of {plan.batch} clips, AdamW at {plan.rate:g}, decay {plan.weight_decay:g}",
        "machine": f"{_processor()}, one thread, torch {torch.__version__}; {seconds / 60:.0f} minutes, machine shared",
        "every number": "[identity.json](identity.json)",
    }


def _processor() -> str:
    """As the kernel names it; its architecture elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
