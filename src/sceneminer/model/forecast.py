"""The risk and forecast head: agents around ego and where each may go, read from the scene tokens alone.

Coarse cells ahead of and around ego each ask the tokens what stands there; a cell answers with a box, a class, a
velocity and K futures, and with a belief in each of them (none of them: there is nobody). Everything starts as nothing:
the last layer is zero, so that untrained futures are constant velocity from the middle of the cell and belief is small.
It reads the stream and nothing else, so that it can be back-filled from an index; physics on what it says gives risk
(``forecast_risk``).
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from sceneminer.geometry.grid import BevGrid
from sceneminer.model.stream import Stream
from sceneminer.model.tokens import fourier, weighted_mean

FORECAST_BUDGET = 110_000
"""Learned parameters of the head."""
AGENTS, FUTURES, STEPS = 16, 6, 8
STEP_S = 0.5
KINDS = ("vehicle", "vulnerable", "static")
CELLS = BevGrid(-20.0, 44.0, -24.0, 24.0, 4.0)
EGO_KNOTS_S = tuple(STEP_S * i for i in range(-3, STEPS + 1))
"""Where ego's speed and turn rate are told: over the clip, and as far ahead as the futures reach."""
_PARTS = (("kind", len(KINDS)), ("state", 9), ("futures", FUTURES * (STEPS + 1) * 2))
_BANDS, _READERS = 6, 4
_SPEED_MPS, _OFFSET_M, _FUTURE_M = 8.0, 3.0, 8.0
_SIZE_M = (3.5, 1.6)
_TURN_RPS = 0.2
_EGO = (20.0, 0.5)
"""Units that ego's speed (m/s) and turn rate (rad/s) are told in."""
_NOBODY = 3.0
"""Log odds of nobody before training: about one cell in a few dozen holds an agent."""
_APART_M = 2.0
"""Of two answers nearer than this the one believed less is dropped: they mean the same agent."""


class EgoReader(nn.Module):
    """Scene tokens, weighted by one learned query, to ego's speed (m/s) and turn rate (rad/s) at ``EGO_KNOTS_S``;
    ego stands until it is trained."""

    def __init__(self, *, token_width: int, inner: int = 16):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(token_width))
        self.inner, self.say = nn.Linear(token_width, inner), nn.Linear(inner, 2 * len(EGO_KNOTS_S))
        nn.init.zeros_(self.say.weight)
        nn.init.zeros_(self.say.bias)

    def forward(self, normed: Float[Tensor, "c q w"]) -> Float[Tensor, "c s 2"]:
        said = self.say(functional.gelu(self.inner(weighted_mean(normed, self.weight))))
        return said.unflatten(-1, (-1, 2)) * said.new_tensor(_EGO)


class ForecastHead(nn.Module):
    """Stream to agents and futures, in the ego frame of the clip's last Frame.

    The signal is a mapping of tensors, agents in the order of belief:
    ``agents`` [c a 9]: x, y (m), yaw (rad), vx, vy (m/s), yaw rate (rad/s), length, width (m), existence (0 to 1);
    ``kind`` [c a 3]: probabilities of ``KINDS``; ``futures`` [c a k 8 2]: x, y every 0.5 s up to 4 s;
    ``starts`` [c a k 2]: where each of them takes the agent to be now, since its place is not known exactly;
    ``odds`` [c a k]: their probabilities; ``ego`` [c 12 2]: ego's speed (m/s) and yaw rate (rad/s) every 0.5 s from
    1.5 s ago to 4 s ahead.
    """

    name, version, reads = "forecast", 1, ("tokens",)

    def __init__(self, *, token_width: int, width: int = 96, inner: int = 98, doubt: int = 32):
        super().__init__()
        self.width, self.inner, self.doubt = width, inner, doubt
        self.ask = nn.Linear(2 * (1 + 2 * _BANDS), width)
        self.norm = nn.LayerNorm(token_width)
        self.key_value = nn.Linear(token_width, 2 * width)
        self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, inner), nn.Linear(inner, width)
        self.say = nn.Linear(width, sum(size for _, size in _PARTS))
        # Apart from the paths, so that beliefs can be tuned while these are held.
        self.weigh, self.believe = nn.Linear(width, doubt), nn.Linear(doubt, 1 + FUTURES)
        self.ego = EgoReader(token_width=token_width)
        for last in (self.say, self.believe):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        extent = torch.tensor([CELLS.x_max_m, CELLS.y_max_m])
        centers = torch.from_numpy(CELLS.centers()).float().flatten(0, 1)
        self.register_buffer("centers", centers, persistent=False)
        self.register_buffer("places", fourier((centers / extent).clamp(-1, 1), _BANDS), persistent=False)

    def cells(self, stream: Stream, beside: Float[Tensor, "c n h"] | None = None) -> dict[str, Tensor]:
        """What every cell says, before one is chosen: ``belief`` logits [c n 1+k] (the first: nobody), ``kind`` logits
        [c n 3], ``state`` [c n 8] as in ``agents``, ``futures`` [c n k 9 2] from now on, and ``ego`` [c 12 2].

        ``beside`` is added to what each cell asks with; only an experiment does that (``recipes.mining_bev_head``)."""
        tokens = self.norm(stream.tokens.float())
        read = self._read(tokens, beside)
        raw = dict(zip([n for n, _ in _PARTS], self.say(read).split([s for _, s in _PARTS], -1), strict=True))
        state = self._state(raw["state"])
        ahead_s = STEP_S * torch.arange(STEPS + 1, device=tokens.device)
        straight = state[..., None, :2] + state[..., None, 3:5] * ahead_s[:, None]
        reach_m = _OFFSET_M + (_FUTURE_M - _OFFSET_M) * ahead_s / ahead_s[-1]
        strayed = raw["futures"].unflatten(-1, (FUTURES, STEPS + 1, 2)) * reach_m[:, None]
        nobody = torch.zeros(1 + FUTURES, device=tokens.device)
        nobody[0] = _NOBODY
        return {
            "belief": self.believe(functional.gelu(self.weigh(read))) + nobody,
            "kind": raw["kind"],
            "state": state,
            "futures": straight[..., None, :, :] + strayed,
            "ego": self.ego(tokens),
        }

    def forward(self, stream: Stream) -> dict[str, Tensor]:
        said = self.cells(stream)
        exists = existence(said["belief"])
        return agents_of_cells(
            said, torch.stack([self._choose(e, s) for e, s in zip(exists, said["state"], strict=True)])
        )

    def document(self) -> dict[str, Any]:
        return {"kind": "forecast", "width": self.width, "inner": self.inner, "doubt": self.doubt}

    def _read(self, tokens: Float[Tensor, "c q w"], beside: Tensor | None) -> Float[Tensor, "c n h"]:
        """Each cell's answer: one cross-attention over the tokens and a perceptron."""

        def split(x: Tensor) -> Tensor:
            return x.unflatten(-1, (_READERS, -1)).transpose(1, 2)

        asked = self.ask(self.get_buffer("places")).expand(len(tokens), -1, -1)
        if beside is not None:
            asked = asked + beside
        key, value = self.key_value(tokens).chunk(2, -1)
        seen = functional.scaled_dot_product_attention(split(self.query(asked)), split(key), split(value))
        read = asked + self.out(seen.transpose(1, 2).flatten(2))
        return read + self.narrow(functional.gelu(self.widen(functional.layer_norm(read, read.shape[-1:]))))

    def _state(self, raw: Float[Tensor, "c n 9"]) -> Float[Tensor, "c n 8"]:
        xy = self.get_buffer("centers") + _OFFSET_M * raw[..., 0:2]
        yaw = torch.atan2(raw[..., 2:3], 1.0 + raw[..., 3:4])
        size = torch.tensor(_SIZE_M, device=raw.device) * raw[..., 7:9].clamp(-2.5, 2.0).exp()
        return torch.cat([xy, yaw, _SPEED_MPS * raw[..., 4:6], _TURN_RPS * raw[..., 6:7], size], -1)

    def _choose(self, exists: Float[Tensor, "n"], state: Float[Tensor, "n 8"]) -> Tensor:
        """The cells believed most; of those that mean the same agent the first, the others fill what is left."""
        order = torch.argsort(exists, descending=True, stable=True)[: 3 * AGENTS]
        xy = state[order, :2]
        near = torch.cdist(xy[None], xy[None])[0] < _APART_M
        kept = torch.ones(len(order), dtype=torch.bool)
        for i in range(1, len(order)):
            kept[i] = not bool((near[i, :i] & kept[:i]).any())
        return torch.cat([order[kept], order[~kept]])[:AGENTS]


def existence(belief: Float[Tensor, "*b j"]) -> Float[Tensor, "*b"]:
    """How much it is believed that a cell holds somebody, from its logits."""
    return 1.0 - belief.softmax(-1)[..., 0]


def agents_of_cells(said: Mapping[str, Tensor], chosen: Int[Tensor, "c a"]) -> dict[str, Tensor]:
    """The signal of ``ForecastHead``, of some of its cells."""
    belief, rows = said["belief"].softmax(-1), torch.arange(len(chosen))[:, None]
    futures = said["futures"][rows, chosen]
    odds = belief[..., 1:] / belief[..., 1:].sum(-1, keepdim=True)
    return {
        "agents": torch.cat([said["state"], existence(said["belief"])[..., None]], -1)[rows, chosen],
        "kind": said["kind"].softmax(-1)[rows, chosen],
        "futures": futures[..., 1:, :],
        "starts": futures[..., 0, :],
        "odds": odds[rows, chosen],
        "ego": said["ego"],
    }
