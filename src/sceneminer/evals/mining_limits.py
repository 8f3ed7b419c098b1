"""What keeps ``risk_camera`` from the risk of the tracks: physics on forecasts that are right but for one thing each.

Agents and their futures are the true ones, moved by noise of a known size; ego drives as it did or at its present speed
and turn rate. No network is asked: the figures bound what any forecast head of this form can reach.
Command: ``python -m sceneminer.evals.mining_limits --data runs/mining``. Result: docs/results/mining.md.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy import ndarray

from sceneminer.evals.mining_metrics import each_once, spearman
from sceneminer.model.forecast import AGENTS, EGO_KNOTS_S, FUTURES, STEP_S, STEPS
from sceneminer.model.forecast_risk import camera_risk
from sceneminer.model.zoo import load_model_tower
from sceneminer.recipes.mining import base, windows_of
from sceneminer.recipes.mining_features import Window, tower_key
from sceneminer.recipes.mining_forecast import ego_truth, risk_truth
from sceneminer.recipes.mining_set import CLASSES, Agents, agents_of, clips_of_windows


@dataclass(frozen=True)
class Limits:
    """How a forecast differs from the truth."""

    name: str
    place_m: float = 0.0
    """Standard deviation of where agents are, along each axis."""
    spread: bool = False
    """Whether the noise is drawn anew for each future, as a head that knows its doubt has it, or once an agent."""
    ego_driven: bool = True
    """Whether ego drives as it did, or goes on at its present speed and turn rate, backwards too."""
    straight: bool = False
    """Whether agents go on at their present velocity."""


LIMITS = (
    Limits("everything known"),
    Limits("agents at constant velocity", straight=True),
    Limits("ego at constant speed and turn rate", ego_driven=False),
    *(Limits(f"agents {m:g} m off", m) for m in (0.5, 1.0, 2.0, 4.0)),
    *(Limits(f"agents {m:g} m off, {FUTURES} places each", m, spread=True) for m in (1.0, 2.0, 4.0)),
)


def perfect_forecast(
    agents: Agents, ego: ndarray, clip: int, limits: Limits, rng: np.random.Generator
) -> dict[str, ndarray]:
    """What a head would say of a clip (``model.forecast.ForecastHead``) that knows all but what ``limits`` take."""
    there = np.flatnonzero(agents.there[clip].numpy())[:AGENTS]
    state = agents.state[clip].numpy()[there].astype(np.float64)
    ahead = STEP_S * np.arange(1, STEPS + 1)[:, None]
    straight = state[:, None, :2] + state[:, None, 3:5] * ahead
    future = agents.future[clip].numpy()[there].astype(np.float64)
    future = straight if limits.straight else np.where(np.isfinite(future), future, straight)
    off = rng.normal(0.0, limits.place_m, (len(there), FUTURES, 2)) if limits.place_m else np.zeros(())
    off = np.broadcast_to(off, (len(there), FUTURES, 2))
    off = off if limits.spread else off[:, :1].repeat(FUTURES, 1)
    now = EGO_KNOTS_S.index(0.0)
    ego = ego if limits.ego_driven else np.broadcast_to(ego[now], ego.shape)
    known = np.isfinite(ego[:, 0])
    last = np.flatnonzero(known)[-1]
    return {
        "agents": np.concatenate([state, np.ones((len(there), 1))], 1),
        "kind": np.eye(len(CLASSES))[agents.kind[clip].numpy()[there]],
        "futures": future[:, None] + off[:, :, None],
        "starts": state[:, None, :2] + off,
        "odds": np.full((len(there), FUTURES), 1.0 / FUTURES),
        "ego": np.where(known[:, None], ego, ego[last]),
    }


def measure_limits(windows: Sequence[Window], limits: Sequence[Limits], *, seed: int = 0) -> dict[str, list[float]]:
    """Spearman with the tracks' risk by name: over all clips, and over those of any risk. Clips are 1 s apart."""
    clips = clips_of_windows(windows, stride=2)
    agents, ego = agents_of(windows, clips), ego_truth(windows, clips).double().numpy()
    truth = risk_truth(windows, clips).double().numpy()
    some = truth > 0
    found = {}
    for one in limits:
        rng = np.random.default_rng(seed)
        said = np.array([camera_risk(perfect_forecast(agents, ego[k], k, one, rng)).risk for k in range(len(clips))])
        found[one.name] = [
            float(spearman(s, t, each_once(len(s)))[0]) for s, t in ((said, truth), (said[some], truth[some]))
        ]
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the mining recipe")
    parser.add_argument("--split", default="val", choices=("val", "test", "far"))
    args = parser.parse_args()
    recipe = base()
    key = tower_key(load_model_tower(recipe.tower, dtype=recipe.tower_mode))
    windows = windows_of(recipe, args.data, args.split, key)
    print("| what is known | Spearman | among clips with any risk |\n| --- | --- | --- |")
    for name, values in measure_limits(windows, LIMITS).items():
        print(f"| {name} | {values[0]:.3f} | {values[1]:.3f} |", flush=True)


if __name__ == "__main__":
    main()
