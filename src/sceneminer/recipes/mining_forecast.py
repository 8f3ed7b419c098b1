"""Stage 2: the risk and forecast head, on streams that no longer move.

Two phases, both of the head's private parameters alone. First boxes, classes and futures are learned from tracks: an
agent belongs to the cell that it stands in, the nearest future is the one to believe (winner takes all). Then paths are
held, the physics of every future is computed once, and the beliefs alone are tuned so that the risk that follows agrees
with that of the tracks: physics says how dangerous a future is, the head how much it believes in it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from sceneminer.model.forecast import CELLS, EGO_KNOTS_S, ForecastHead, agents_of_cells, existence
from sceneminer.model.forecast_risk import clip_risks
from sceneminer.model.stream import Stream
from sceneminer.recipes.mining_features import Window
from sceneminer.recipes.mining_set import NOW, Agents, ClipRef

_STATES_HZ = 10
_NAMED_FROM = 0.1
"""Clips of less risk name nobody in particular."""


@dataclass(frozen=True)
class ForecastPlan:
    """What a step of stage 2 draws, and what its losses weigh."""

    clips: int = 64
    drop: float = 0.2
    """Share of the tokens' values that is left out in a step, lest clips are learned by heart."""
    positive: float = 3.0
    """What a cell with an agent weighs against one without, in the belief."""
    risky: float = 4.0
    """How much more an agent of risk 1 weighs than one of none."""
    loser: float = 0.05
    """Share of the loss that futures get that were not the nearest, lest they die."""
    physics_clips: int = 1200
    """On so many of the training clips the physics is computed, for the second phase."""
    name_weight: float = 0.3
    """What naming the riskiest agent weighs, in the second phase."""
    keep_belief: float = 0.3
    """What the belief in truth weighs beside agreement in risk, in the second phase."""


@dataclass(frozen=True, eq=False)
class CellTruth:
    """What the cells of some clips are to say; rows where ``agent`` is -1 hold nobody."""

    agent: Int[Tensor, "c n"]
    state: Float[Tensor, "c n 8"]
    future: Float[Tensor, "c n 9 2"]
    """From now on."""
    kind: Int[Tensor, "c n"]
    risk: Float[Tensor, "c n"]
    ego: Float[Tensor, "c s 2"]
    """Speed and turn rate at ``EGO_KNOTS_S``; NaN where unknown."""

    def __getitem__(self, rows: Tensor) -> "CellTruth":
        return CellTruth(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def cell_truth(agents: Agents, ego: Float[Tensor, "c s 2"]) -> CellTruth:
    """The agent of each cell: of several in one, the riskiest, then the nearest."""
    rows, columns = CELLS.shape
    index, inside = CELLS.cells(agents.state[..., :2].double().numpy())
    inside = torch.from_numpy(inside) & agents.there
    flat = torch.from_numpy(index[..., 0] * columns + index[..., 1])
    c, a = flat.shape
    found = torch.full((c, rows * columns), -1)
    for clip in range(c):
        # Ascending, so that who matters most is written last.
        order = sorted(range(a), key=lambda k: (float(agents.risk[clip, k].nan_to_num()), -k))
        for k in order:
            if inside[clip, k]:
                found[clip, flat[clip, k]] = k
    pick, at = found.clamp(min=0), torch.arange(c)[:, None]
    state = agents.state[at, pick]
    future = torch.cat([state[..., None, :2], agents.future[at, pick]], -2)
    return CellTruth(found, state, future, agents.kind[at, pick], agents.risk[at, pick], ego)


def ego_truth(windows: Sequence[Window], clips: Sequence[ClipRef]) -> Float[Tensor, "c s 2"]:
    """Ego's speed (m/s) and turn rate (rad/s) around each clip's last Frame, at ``EGO_KNOTS_S``; NaN past the end."""
    offsets = np.round(np.array(EGO_KNOTS_S) * _STATES_HZ).astype(np.int64)
    found = []
    for clip in clips:
        driven = windows[clip.window].tensors["ego"][:, 3:5]
        at = (clip.first + NOW) * _STATES_HZ // 2 + offsets
        found.append(np.where((at < len(driven))[:, None], driven[np.minimum(at, len(driven) - 1)], np.nan))
    return torch.from_numpy(np.stack(found).astype(np.float32))


def ego_loss(said: Float[Tensor, "c s 2"], truth: Float[Tensor, "c s 2"]) -> Float[Tensor, ""]:
    """In units of half a metre and a twentieth of a radian a second."""
    known = torch.isfinite(truth)
    scale = said.new_tensor([0.5, 0.05])
    return functional.smooth_l1_loss((said / scale)[known], (truth / scale)[known])


def risk_truth(windows: Sequence[Window], clips: Sequence[ClipRef]) -> Float[Tensor, "c"]:
    """Of the tracks; 0 where unknown."""
    return torch.tensor([windows[r.window].truth["risk"][r.first]["risk"] or 0.0 for r in clips])


def forecast_loss(
    head: ForecastHead,
    stream: Stream,
    truth: CellTruth,
    plan: ForecastPlan,
    *,
    beside: Float[Tensor, "c n h"] | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """The loss of the first phase and its parts."""
    said = head.cells(stream, beside)
    there = truth.agent >= 0
    weight = (1.0 + plan.risky * truth.risk.nan_to_num()) * there
    error, nearest = _futures(said["futures"], truth.future, there)
    best = error.gather(-1, nearest[..., None])[..., 0]
    future_loss = _mean((1 - plan.loser) * best + plan.loser * error.mean(-1), weight)
    target = torch.where(there, 1 + nearest, 0)
    belief = functional.cross_entropy(said["belief"].flatten(0, 1), target.flatten(), reduction="none")
    belief = belief.reshape(there.shape) * torch.where(
        there, plan.positive * (1 + plan.risky * truth.risk.nan_to_num()), 1.0
    )
    kind = functional.cross_entropy(said["kind"].flatten(0, 1), truth.kind.flatten(), reduction="none")
    state_loss = _mean(_state_error(said["state"], truth.state, there), weight)
    kind_loss = _mean(kind.reshape(there.shape), weight)
    ego = ego_loss(said["ego"], truth.ego)
    parts = {"belief": belief.mean() * 10, "state": state_loss, "future": future_loss, "kind": kind_loss, "ego": ego}
    return torch.stack(list(parts.values())).sum(), {k: float(v.detach()) for k, v in parts.items()}


def _futures(
    futures: Float[Tensor, "c n k 9 2"], truth: Float[Tensor, "c n 9 2"], there: Bool[Tensor, "c n"]
) -> tuple[Float[Tensor, "c n k"], Int[Tensor, "c n"]]:
    """A robust error of each future, over what is known of the truth, and the nearest one."""
    known = torch.isfinite(truth).all(-1) & there[..., None]
    gap = futures - torch.where(known[..., None], truth, 0.0)[:, :, None]
    distance = (gap.square().sum(-1) + 1e-4).sqrt()
    robust = functional.smooth_l1_loss(distance, torch.zeros_like(distance), reduction="none", beta=1.0)
    counts = known[:, :, None].float()
    error = (robust * counts).sum(-1) / counts.sum(-1).clamp(min=1)
    return error, error.detach().argmin(-1)


def _state_error(said: Float[Tensor, "c n 8"], truth: Float[Tensor, "c n 8"], there: Bool[Tensor, "c n"]) -> Tensor:
    """Metres of place, and what a wrong velocity, heading and size mean beside them."""
    truth = torch.where(there[..., None], truth, 0.0)

    def off(of: Tensor, to: Tensor, scale: float) -> Tensor:
        return functional.smooth_l1_loss(of / scale, to / scale, reduction="none").sum(-1)

    place, velocity = off(said[..., :2], truth[..., :2], 1.0), off(said[..., 3:5], truth[..., 3:5], 1.5)
    turned = 1.0 - torch.cos(said[..., 2] - truth[..., 2])
    size = off(said[..., 6:8].log(), truth[..., 6:8].clamp(min=0.1).log(), 0.3)
    return place + velocity + turned + 0.3 * size + 0.3 * off(said[..., 5:6], truth[..., 5:6], 0.2)


def _mean(value: Tensor, weight: Tensor) -> Tensor:
    return (torch.where(weight > 0, value, 0.0) * weight).sum() / weight.sum().clamp(min=1e-6)


@dataclass(frozen=True, eq=False)
class Physics:
    """What the measures say of the futures of the agents that a head has named: risk [c a k f] at each instant."""

    cells: Int[Tensor, "c a"]
    risk: Float[Tensor, "c a k f"]


@torch.no_grad()
def physics_of(head: ForecastHead, stream: Stream, *, agents: int, say: Callable[[str], None] = print) -> Physics:
    """The physics of every future of the ``agents`` cells believed most of each clip."""
    cells, risks = [], []
    for k in range(len(stream)):
        said = head.cells(stream[k : k + 1])
        order = torch.argsort(existence(said["belief"]), descending=True, stable=True)
        forecast = agents_of_cells(said, order[:, :agents])
        risks.append(clip_risks({name: value[0].double().numpy() for name, value in forecast.items()}))
        cells.append(order[0, :agents])
        if (k + 1) % 200 == 0:
            say(f"physics of {k + 1} of {len(stream)} clips")
    return Physics(torch.stack(cells), torch.from_numpy(np.stack(risks)).float())


def risk_of_belief(belief: Float[Tensor, "c n j"], physics: Physics) -> tuple[Float[Tensor, "c"], Float[Tensor, "c a"]]:
    """A clip's risk as ``camera_risk`` has it and each agent's largest, with gradients to the beliefs."""
    rows = torch.arange(len(belief))[:, None]
    weight = belief.softmax(-1)[rows, physics.cells][..., 1:]
    agent = (weight[..., None] * physics.risk).sum(2)
    # The 95th percentile of 21 instants is the second largest.
    return agent.amax(1).topk(2, -1).values[:, 1], agent.amax(-1)


def belief_loss(
    head: ForecastHead, stream: Stream, truth: CellTruth, risk: Float[Tensor, "c"], physics: Physics, plan: ForecastPlan
) -> tuple[Tensor, dict[str, float]]:
    """The loss of the second phase: risk as the tracks have it, and the belief in who is there."""
    said = head.cells(stream)
    found, each = risk_of_belief(said["belief"], physics)
    agree = functional.binary_cross_entropy(found.clamp(1e-4, 1 - 1e-4), risk)
    there = truth.agent >= 0
    named = _naming_loss(each, truth, physics)
    with torch.no_grad():
        _, nearest = _futures(said["futures"], truth.future, there)
    target = torch.where(there, 1 + nearest, 0)
    belief = functional.cross_entropy(said["belief"].flatten(0, 1), target.flatten()) * 10
    parts = {"risk": agree, "belief": belief, "named": named}
    loss = agree + plan.keep_belief * belief + plan.name_weight * named
    return loss, {k: float(v.detach()) for k, v in parts.items()}


def _naming_loss(each: Float[Tensor, "c a"], truth: CellTruth, physics: Physics) -> Float[Tensor, ""]:
    """Cross-entropy of the truly riskiest agent's cell under the agents' risks, where physics was computed for it."""
    risk, cell = truth.risk.nan_to_num().masked_fill(truth.agent < 0, 0.0).max(1)
    right = physics.cells == cell[:, None]
    counts = (risk > _NAMED_FROM) & right.any(1)
    share = (each * right).sum(1) / each.sum(1).clamp(min=1e-6)
    return -(share.clamp(min=1e-4).log() * counts).sum() / counts.sum().clamp(min=1)
