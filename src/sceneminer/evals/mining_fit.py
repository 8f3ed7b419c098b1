"""How every baseline is fitted: on train by AdamW in batches, its steps and settings chosen on val, one setting at a
time from a starting point, since a fair baseline is a strong one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

STEPS, EVERY = 400, 10
BATCH = 256


@dataclass(frozen=True)
class Setting:
    """How a baseline is made; each kind of baseline reads what concerns it."""

    inputs: tuple[str, ...] = ("mean",)
    """Pooled parts of what it reads."""
    hidden: int = 0
    """Width of the one hidden layer; 0 is a linear map."""
    dropout: float = 0.0
    balance: float = 0.0
    """Positives weigh (negatives / positives) to this power."""
    loss: str = "cross-entropy"
    scale: float = 20.0
    """Of cosines in a contrast."""
    decay: float = 0.1
    """Of AdamW; decoupled."""
    rate: float = 2e-3


Options = Mapping[str, Sequence[object]]
"""Values to try by field of the setting."""
_POOLED = (("mean",), ("mean", "largest"), ("mean", "spread"), ("mean", "largest", "spread"))
_DECAYS = (0.01, 0.1, 1.0, 3.0, 10.0)
_RATES = (5e-4, 2e-3, 8e-3)
_LOSSES = ("cross-entropy", "squares")
_LINEAR: Options = {
    "inputs": _POOLED,
    "decay": _DECAYS,
    "balance": (0.0, 0.5, 1.0),
    "rate": _RATES,
    "dropout": (0.0, 0.5),
}
_REGRESSION: Options = {"decay": _DECAYS, "dropout": (0.0, 0.5), "loss": _LOSSES, "rate": _RATES[:2]}


@dataclass(frozen=True)
class Search:
    """What is tried for each baseline, and how long each try is trained."""

    linear: Options = field(default_factory=lambda: _LINEAR)
    mlp: Options = field(default_factory=lambda: {**_LINEAR, "hidden": (64, 256)})
    projection: Options = field(
        default_factory=lambda: {
            "scale": (10.0, 20.0, 40.0),
            "decay": (0.0, 0.1, 1.0, 10.0),
            "rate": (3e-4, 1e-3, 3e-3),
        }
    )
    of_features: Options = field(
        default_factory=lambda: {"inputs": _POOLED[::3], "hidden": (0, 64, 256), **_REGRESSION}
    )
    of_tokens: Options = field(
        default_factory=lambda: {"inputs": (("mean",), ("attention",)), "hidden": (64, 256), **_REGRESSION}
    )
    steps: int = STEPS


@dataclass(frozen=True, eq=False)
class Fitted:
    """A module at its best step on val."""

    module: nn.Module
    setting: Setting
    steps: int
    on_val: float
    """The figure that chose it."""


class Probe(nn.Module):
    """A linear map or a network of one hidden layer over standardised inputs."""

    def __init__(self, train: Float[Tensor, "n k"], out: int, setting: Setting):
        super().__init__()
        self.register_buffer("middle", train.mean(0))
        self.register_buffer("scale", train.std(0).clamp(min=1e-6))
        k, h = train.shape[1], setting.hidden
        if h:
            self.net = nn.Sequential(nn.Linear(k, h), nn.GELU(), nn.Dropout(setting.dropout), nn.Linear(h, out))
        else:
            self.net = nn.Sequential(nn.Dropout(setting.dropout), nn.Linear(k, out))

    def forward(self, x: Float[Tensor, "b k"]) -> Float[Tensor, "b out"]:
        return self.net((x - self.get_buffer("middle")) / self.get_buffer("scale"))


def fit(
    module: nn.Module,
    loss_of: Callable[[torch.Generator], Tensor],
    judge: Callable[[nn.Module], float],
    setting: Setting,
    *,
    seed: int,
    steps: int = STEPS,
) -> Fitted:
    """The module as it was at the step that ``judge`` likes best, the start included.

    ``loss_of`` draws its batch from the generator that it is given.
    """
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(module.parameters(), lr=setting.rate, weight_decay=setting.decay)
    best = (_judged(module, judge), 0, _copied(module))
    for step in range(1, steps + 1):
        module.train()
        optimiser.zero_grad()
        loss_of(generator).backward()
        optimiser.step()
        if step % EVERY == 0 and (value := _judged(module, judge)) > best[0]:
            best = (value, step, _copied(module))
    module.load_state_dict(best[2])
    return Fitted(module.eval(), setting, best[1], best[0])


def choose(make: Callable[[Setting], Fitted], start: Setting, options: Options, *, rounds: int = 2) -> Fitted:
    """The best on val of fits that vary one field of the setting at a time, in the options' order."""
    assert set(options) <= {f.name for f in fields(Setting)}
    made = {start: make(start)}
    best = start
    for _ in range(rounds):
        before = best
        for name, values in options.items():
            tried = [replace(best, **{name: value}) for value in values]  # type: ignore[arg-type]
            for setting in tried:
                if setting not in made:
                    made[setting] = make(setting)
            best = max([best, *tried], key=lambda s: made[s].on_val)
        if best == before:
            break
    return made[best]


def drawn(rows: int, generator: torch.Generator, *, batch: int = BATCH) -> Tensor:
    """Rows of a batch, without repetition."""
    return torch.randperm(rows, generator=generator)[:batch]


@torch.no_grad()
def _judged(module: nn.Module, judge: Callable[[nn.Module], float]) -> float:
    return judge(module.eval())


def _copied(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}
