"""Heads that users add to an index: small readers of the stream, for labels, a number, or what was marked as relevant.

One kind of module serves the three: a linear map of the pooled stream and, where there are labels enough to learn it, a
reader that attends to the tokens. What differs is the last step: a probability, or a number in the target's own unit.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sceneminer.model.errors import CheckpointError
from sceneminer.model.stream import HEAD_BUDGET, Stream

Task = Literal["labels", "value", "relevance"]
Reader = Literal["pooled", "tokens"]
PREFIX = "head_"
NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_QUERIES, _RANK = 4, 32


class TokenReader(nn.Module):
    """Tokens, gathered by a few learned queries and passed through a bottleneck; exactly zero until trained."""

    def __init__(self, *, token_width: int, out: int):
        super().__init__()
        self.norm = nn.LayerNorm(token_width)
        self.queries = nn.Parameter(torch.zeros(_QUERIES, token_width))
        self.down, self.up = nn.Linear(_QUERIES * token_width, _RANK), nn.Linear(_RANK, out)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, tokens: Float[Tensor, "c q w"]) -> Float[Tensor, "c out"]:
        normed = self.norm(tokens)
        weight = (self.queries @ normed.mT / normed.shape[-1] ** 0.5).softmax(-1)
        return self.up(functional.gelu(self.down((weight @ normed).flatten(1))))


class AddedHead(nn.Module):
    """The stream to a probability for each label (tasks ``labels`` and ``relevance``) or to one number (``value``).

    Untrained it gives 0.5, or the mean of the target. It names the stream that it was trained on: on any other its
    output means nothing. ValueError for names that cannot be columns, or more labels than a head has parameters for.
    """

    version, reads = 1, ("tokens", "embedding")
    task: Task
    reader: Reader

    def __init__(
        self,
        name: str,
        *,
        task: Task,
        outputs: tuple[str, ...] = (),
        stream_fingerprint: str,
        embed_dim: int,
        token_width: int,
        reader: Reader = "pooled",
    ):
        """``outputs`` are the labels of task ``labels``; the other tasks have one output, without a name."""
        super().__init__()
        _check(name, task=task, outputs=outputs, reader=reader, stream_fingerprint=stream_fingerprint)
        self.name, self.task, self.outputs, self.reader = PREFIX + name, task, outputs, reader
        self.stream_fingerprint, self.embed_dim, self.token_width = stream_fingerprint, embed_dim, token_width
        out, width = max(len(outputs), 1), embed_dim + token_width
        largest = (HEAD_BUDGET - (_QUERIES + 2 + _QUERIES * _RANK) * token_width - _RANK) // (width + _RANK + 2)
        if out > largest:
            raise ValueError(f"expected at most {largest} labels in one head, found {out}: make it several heads")
        self.weight, self.bias = nn.Parameter(torch.zeros(out, width)), nn.Parameter(torch.zeros(out))
        self.tokens = TokenReader(token_width=token_width, out=out) if reader == "tokens" else None
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))
        self.register_buffer("target_mean", torch.zeros(out))
        self.register_buffer("target_spread", torch.ones(out))

    @property
    def user_name(self) -> str:
        """As its user calls it: without the prefix that its signal and columns have."""
        return self.name.removeprefix(PREFIX)

    @property
    def columns(self) -> tuple[str, ...]:
        """Of ``clips``, in the order of the signal."""
        return tuple(f"{self.name}_{label}" for label in self.outputs) or (self.name,)

    def raw(self, pooled: Float[Tensor, "c d"], tokens: Float[Tensor, "c q w"]) -> Float[Tensor, "c out"]:
        """Logits, or the standardised value, from ``pool_stream`` and the tokens."""
        features = (pooled - self.get_buffer("centre")) / self.get_buffer("spread")
        linear = functional.linear(features, self.weight, self.bias)
        return linear if self.tokens is None else linear + self.tokens(tokens)

    def finish(self, raw: Float[Tensor, "c out"]) -> Float[Tensor, "c out"]:
        """From logits to probabilities, or from the standardised value to the target's unit."""
        if self.task != "value":
            return raw.sigmoid()
        return raw * self.get_buffer("target_spread") + self.get_buffer("target_mean")

    def forward(self, stream: Stream) -> Float[Tensor, "c out"]:
        return self.finish(self.raw(pool_stream(stream), stream.tokens.float()))

    def document(self) -> dict[str, Any]:
        return {
            "kind": "added",
            "name": self.user_name,
            "task": self.task,
            "outputs": list(self.outputs),
            "reader": self.reader,
            "stream_fingerprint": self.stream_fingerprint,
        }


def pool_stream(stream: Stream) -> Float[Tensor, "c d"]:
    """The mean image embedding and the mean token, in fp32, side by side."""
    return torch.cat([stream.embedding.float(), stream.tokens.float().mean(1)], -1)


def build_added(document: Mapping[str, Any], *, embed_dim: int, token_width: int) -> AddedHead:
    """The head that ``document`` describes, with weights yet to be loaded; CheckpointError for an unsound one."""
    wanted = {"kind", "name", "task", "outputs", "reader", "stream_fingerprint"}
    if set(document) != wanted:
        odd = ", ".join(sorted(map(str, wanted ^ set(document))))
        raise CheckpointError(f"expected an added head with {', '.join(sorted(wanted))}; unknown or missing: {odd}")
    outputs = document["outputs"]
    texts = [document[name] for name in sorted(wanted - {"outputs"})]
    if not isinstance(outputs, list) or not all(isinstance(text, str) for text in (*outputs, *texts)):
        raise CheckpointError("expected an added head described by texts and a list of outputs, found something else")
    try:
        # Before it is made: what a file says has any type.
        _check(
            document["name"],
            task=document["task"],
            outputs=tuple(outputs),
            reader=document["reader"],
            stream_fingerprint=document["stream_fingerprint"],
        )
        return AddedHead(
            document["name"],
            task=document["task"],
            outputs=tuple(outputs),
            reader=document["reader"],
            stream_fingerprint=document["stream_fingerprint"],
            embed_dim=embed_dim,
            token_width=token_width,
        )
    except ValueError as error:
        raise CheckpointError(str(error)) from None


def with_token_reader(head: AddedHead) -> AddedHead:
    """The same head with a reader of tokens that adds exactly nothing yet; its signal is the same bit for bit."""
    other = build_added(head.document() | {"reader": "tokens"}, embed_dim=head.embed_dim, token_width=head.token_width)
    other.load_state_dict(head.state_dict(), strict=False)
    return other


def added_heads(heads: Iterable[nn.Module]) -> tuple[AddedHead, ...]:
    """Those of a model's heads that users added."""
    return tuple(head for head in heads if isinstance(head, AddedHead))


def require_name(text: str, what: str = "a name") -> None:
    """ValueError unless the text can be part of a column's name."""
    if not NAME.fullmatch(text):
        raise ValueError(f"expected {what} of at most 41 letters a-z, digits and _, a letter first; found {text!r}")


def _check(name: str, *, task: str, outputs: tuple[str, ...], reader: str, stream_fingerprint: str) -> None:
    require_name(name, "a head's name")
    for output in outputs:
        require_name(output, "a label")
    if task not in get_args(Task) or reader not in get_args(Reader):
        raise ValueError(
            f"expected a task of {get_args(Task)} and a reader of {get_args(Reader)}, found {task}, {reader}"
        )
    if len(set(outputs)) != len(outputs) or (task == "labels") != bool(outputs):
        raise ValueError(f"expected labels, each once, for task labels only; found {task} with {list(outputs)}")
    if not _FINGERPRINT.fullmatch(stream_fingerprint):
        raise ValueError(f"expected a stream fingerprint of 64 hexadecimal digits, found {stream_fingerprint!r}")
