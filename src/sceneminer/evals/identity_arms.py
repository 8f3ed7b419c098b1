"""The arms of the interference benchmark: two conditions two by two, and the mechanism with one leak each."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from sceneminer.evals.identity_data import BenchData
from sceneminer.evals.identity_system import Plan, System, batch_at, stage_one_loss, upgraded
from sceneminer.model.identity import Private
from sceneminer.model.tokens import SceneTokens

Group = Literal["conditions", "leaks", "evaluation"]
_NEW_TOKENS = 4
_EMA_DECAY = 0.99


@dataclass(frozen=True)
class Arm:
    """One way to add the new sub-module."""

    key: str
    title: str
    says: str
    """What is done, in half a sentence."""
    group: Group = "leaks"
    zero: bool = True
    """C1: the sub-module ends in a zero projection."""
    into_stream: bool = False
    """The sub-module writes into what siblings read: C2 is broken."""
    static: bool = True
    """The trunk gives the same tokens at every step, so that they need not be made again."""


ARMS: tuple[Arm, ...] = (
    Arm("ours", "C1 and C2 (ours)", "zero-initialised, on a private branch", "conditions"),
    Arm("c2", "C2 alone", "not zero-initialised, on a private branch", "conditions", zero=False),
    Arm("c1", "C1 alone", "zero-initialised, writes into the stream", "conditions", into_stream=True),
    Arm(
        "neither", "neither", "not zero-initialised, writes into the stream", "conditions", zero=False, into_stream=True
    ),
    Arm("all", "everything trained", "nothing frozen, the new head's loss only", static=False),
    Arm(
        "shared_norm", "shared LayerNorm trained", "the stream's last scale and shift count as the head's", static=False
    ),
    Arm("memory", "new tokens in shared attention", "four learned tokens join what the queries read", static=False),
    Arm("queries", "new queries beside the old", "four learned queries; no query sees another here", static=False),
    Arm("scale", "shared logit scale trained", "the risk logit shares the tags' temperature"),
    Arm("statistics", "norm statistics in train mode", "weights frozen, batch norm left in train mode", static=False),
    Arm("dropout", "dropout left on", "weights frozen, dropout left in train mode", static=False),
    Arm("decay", "weight decay on frozen weights", "all in AdamW, frozen gradients zero, not None", static=False),
    Arm("momentum", "momentum on frozen weights", "AdamW goes on from stage 1, gradients zero, no decay", static=False),
    Arm("average", "EMA: d a + (1 - d) w", "the average of all weights is what ships; frozen ones round"),
    Arm("lerp", "EMA: a + (1 - d)(w - a)", "the same average in the other form"),
    Arm("batch", "another batch size", "ours, but siblings run 7 clips at a time, not 50", "evaluation"),
    Arm("autocast", "autocast left on", "ours, but siblings run under bf16 autocast", "evaluation"),
)


@dataclass
class Setup:
    """What an arm trains, and what it does around a step."""

    system: System
    private: Private
    """What whoever wrote the arm believes to be private."""
    trained: Sequence[nn.Parameter] = ()
    optimiser: torch.optim.Optimizer | None = None
    before_step: Callable[[], None] = field(default=lambda: None)
    after_step: Callable[[], None] = field(default=lambda: None)
    finish: Callable[[], None] = field(default=lambda: None)


class Prompted(SceneTokens):
    """Scene tokens whose queries read a few learned tokens beside the BEV and the images."""

    prompts: nn.Parameter

    def _bev_memory(self, bev: Tensor) -> tuple[Tensor, Tensor]:
        token, valid = super()._bev_memory(bev)
        more = self.prompts.expand(len(bev), -1, -1)
        return torch.cat([token, more], 1), torch.cat([valid, valid.new_ones(more.shape[:2])], 1)


class Appended(nn.Module):
    """Learned rows after those that are there."""

    def __init__(self, rows: Tensor):
        super().__init__()
        self.rows = nn.Parameter(rows)

    def forward(self, queries: Tensor) -> Tensor:
        return torch.cat([queries, self.rows])


def build(arm: Arm, base: System, *, seed: int) -> Setup:
    """The arm's system, and what is declared private of it; nothing is trained or checked yet."""
    system = upgraded(base, zero=arm.zero, into_stream=arm.into_stream, seed=seed)
    assert system.adapter is not None
    tokens, rng = system.trunk.tokens, torch.Generator().manual_seed(seed)
    rows = 0.02 * torch.randn(_NEW_TOKENS, tokens.queries.shape[1], generator=rng)
    private: list[nn.Module | nn.Parameter] = [system.adapter, system.reader]
    match arm.key:
        case "shared_norm":
            private.append(tokens.out_norm)
        case "memory":
            # The same weights read more: a copy of another class rather than a second constructor.
            tokens.__class__ = Prompted
            tokens.prompts = nn.Parameter(rows)
            private.append(tokens.prompts)
        case "queries":
            appended = Appended(rows)
            register_parametrization(tokens, "queries", appended, unsafe=True)  # which here means: of another shape
            private.append(appended)
        case "scale":
            system.log_gain = nn.Parameter(torch.zeros(()))
            private.append(system.log_gain)
    return Setup(system, private)


def arrange(arm: Arm, setup: Setup, private: list[nn.Parameter], data: BenchData, plan: Plan, *, seed: int) -> None:
    """Optimiser, modes and hooks of an arm whose system has just been isolated: here is where it leaks."""
    system = setup.system
    frozen = [p for p in system.parameters() if not p.requires_grad]
    setup.trained, decay = private, plan.weight_decay
    match arm.key:
        case "all":
            setup.trained = list(system.requires_grad_(True).parameters())
        case "statistics":
            system.trunk.norm.train()
        case "dropout":
            system.trunk.drop.train()
        case "scale":
            setup.after_step = _share_scale(system)
        case "decay" | "momentum":
            decay = plan.weight_decay if arm.key == "decay" else 0.0
            setup.before_step = _zero_gradients(frozen)
        case "average" | "lerp":
            setup.after_step, setup.finish = _average(system, in_one_step=arm.key == "lerp")
    held = [*setup.trained, *frozen] if arm.key in ("decay", "momentum") else setup.trained
    setup.optimiser = torch.optim.AdamW(held, lr=plan.rate, weight_decay=decay)
    if arm.key == "momentum":
        _remember_stage_one(setup.optimiser, system, frozen, data, plan, seed)


def _share_scale(system: System) -> Callable[[], None]:
    start, gain = system.tags.get_buffer("logit_scale").clone(), system.log_gain
    assert gain is not None

    def after_step() -> None:
        system.tags.get_buffer("logit_scale").copy_(start * gain.detach().exp())

    return after_step


def _zero_gradients(frozen: Sequence[nn.Parameter]) -> Callable[[], None]:
    """As ``zero_grad(set_to_none=False)`` leaves them, or a loss that is multiplied by nothing."""

    def before_step() -> None:
        for parameter in frozen:
            parameter.grad = torch.zeros_like(parameter)

    return before_step


def _remember_stage_one(
    optimiser: torch.optim.Optimizer,
    system: System,
    frozen: Sequence[nn.Parameter],
    data: BenchData,
    plan: Plan,
    seed: int,
    steps: int = 5,
) -> None:
    """Fill the optimiser's memory with gradients of stage 1 at a rate of nothing."""
    for group in optimiser.param_groups:
        group["lr"] = 0.0
    for parameter in frozen:
        parameter.requires_grad_(True)
    for step in range(steps):
        optimiser.zero_grad()
        stage_one_loss(system, data, batch_at(seed, 20_000 + step, len(data.train), 32)).backward()
        optimiser.step()
    for parameter in frozen:
        parameter.requires_grad_(False)
    for group in optimiser.param_groups:
        group["lr"] = plan.rate


def _average(system: System, *, in_one_step: bool) -> tuple[Callable[[], None], Callable[[], None]]:
    """An exponential moving average of every parameter, begun at what they are; it replaces them in the end."""
    averages = {name: copy.deepcopy(p.detach()) for name, p in system.named_parameters()}

    @torch.no_grad()
    def after_step() -> None:
        for name, parameter in system.named_parameters():
            if in_one_step:
                averages[name].lerp_(parameter.detach(), 1.0 - _EMA_DECAY)
            else:
                averages[name].mul_(_EMA_DECAY).add_(parameter.detach(), alpha=1.0 - _EMA_DECAY)

    @torch.no_grad()
    def finish() -> None:
        for name, parameter in system.named_parameters():
            parameter.copy_(averages[name])

    return after_step, finish
