"""Identity-preserving fine-tuning: something new is trained on any torch model, and not one bit of the rest moves.

Two conditions (after SceneMiner, arXiv 2606.11507; the reading is ours, docs/decisions/0003-identity.md):

C1: a new sub-module ends in a zero projection (``zero_last``), so that an upgraded head starts as the old one
(``Upgraded``). It says nothing about any later step.
C2: nothing that is trained lies upstream of what siblings read. It is made so by construction (``isolated``: all is
frozen and in eval mode but the private parameters, and only those may enter the optimiser) and then shown by trial
(``prove``: every trainable tensor is perturbed, and siblings must keep their bits).

    with isolated(model, [model.heads["risk"]]) as private:
        optimiser = torch.optim.AdamW(private)
        check_optimiser(optimiser, private)
        prove(lambda: siblings(model, probe), named(private, model), within=model)
        ...                                      # train as you like
    # leaving it raises IdentityBroken if a frozen parameter or buffer moved
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sceneminer.model.fingerprint import fingerprint_of
from sceneminer.model.snapshot import Moved, Snapshot, compare, named_state, snapshot

Private = Sequence[nn.Module | nn.Parameter]


@dataclass(frozen=True)
class Leak:
    """A sibling that moved when a parameter did."""

    parameter: str
    sibling: str
    max_abs: float
    path: tuple[str, ...] | None
    """Operations from the sibling back to the parameter, as the autograd graph has them; None where it sees none."""

    def __str__(self) -> str:
        moved = f"{self.sibling} moved by up to {self.max_abs:.3g} with {self.parameter}"
        if self.path is None:
            return f"{moved}; the graph sees no path: look for detach, no_grad, indices or shared memory"
        return f"{moved}, through {' <- '.join((self.sibling, *self.path, self.parameter))}"


class IdentityBroken(ValueError):
    """Something that had to keep its bits did not; ``leaks`` name what moved it, where that is known."""

    def __init__(self, message: str, leaks: Sequence[Leak] = ()):
        super().__init__(message)
        self.leaks = tuple(leaks)


@dataclass(frozen=True)
class Proof:
    """What held, and how much was tried."""

    siblings: Snapshot
    parameters: tuple[str, ...]
    trials: int
    """Forward passes that gave the same bits."""


def isolate(model: nn.Module, private: Private, *, train_private: bool = False) -> list[nn.Parameter]:
    """Freeze the model and put all of it in eval mode, except the private parameters; returns those, once each.

    Private modules are in eval mode too unless ``train_private``. ValueError where there is nothing to train, or where
    a private parameter is also something else's: registered twice, tied, or in memory that another tensor uses.
    """
    parameters = _private_parameters(private)
    if not parameters:
        raise ValueError("expected private parameters to train, found none")
    _check_alone(model, private, parameters)
    model.requires_grad_(False).eval()
    for item in private:
        if isinstance(item, nn.Module):
            item.train(train_private)
    for parameter in parameters:
        parameter.requires_grad_(True)
    return parameters


@contextmanager
def isolated(model: nn.Module, private: Private, *, train_private: bool = False) -> Iterator[list[nn.Parameter]]:
    """``isolate`` for as long as one trains. At the end IdentityBroken names what moved: a frozen parameter, a buffer
    outside the private modules, or a part that was put back in train mode or made to want a gradient."""
    parameters = isolate(model, private, train_private=train_private)
    before = _hashes(_frozen(model, private))
    yield parameters
    after, frozen = _hashes(_frozen(model, private)), _frozen(model, private)
    moved = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    if moved:
        raise IdentityBroken(f"expected frozen parameters and buffers as they were, found {_few(moved)} changed")
    waking = [name for name, tensor in frozen.items() if tensor.requires_grad]
    if waking:
        raise IdentityBroken(f"expected only private parameters to want a gradient, found {_few(waking)}")
    inside = _parts(private)
    training = [name or "the model" for name, part in model.named_modules() if part.training and id(part) not in inside]
    if training:
        raise IdentityBroken(f"expected eval mode outside the private modules, found {_few(training)} in train mode")


def check_optimiser(optimiser: torch.optim.Optimizer, private: Sequence[nn.Parameter]) -> None:
    """IdentityBroken where an optimiser holds any tensor that is not private.

    A frozen parameter in it would move all the same: by weight decay or momentum, if ever its gradient is zero
    instead of None.
    """
    own = {id(parameter) for parameter in private}
    held = [p for group in optimiser.param_groups for p in group["params"]]
    others = [p for p in held if id(p) not in own]
    if others:
        shapes = ", ".join(str(list(p.shape)) for p in others[:3])
        raise IdentityBroken(
            f"expected only the {len(own)} private parameters in the optimiser, found {len(others)} more: {shapes}"
        )


def named(parameters: Sequence[nn.Parameter], *modules: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters by the names they have in these modules (a plain number where they have none): for ``prove``."""
    names = {id(p): name for module in modules for name, p in module.named_parameters()}
    return {names.get(id(p), str(i)): p for i, p in enumerate(parameters)}


def prove(
    forward: Callable[[], object],
    trainable: Mapping[str, nn.Parameter],
    *,
    within: nn.Module | None = None,
    seed: int = 0,
    draws: int = 2,
) -> Proof:
    """Show that siblings do not depend on what is trained: perturb each trainable tensor, and require equal bits.

    ``forward`` gives the siblings' outputs on a probe batch, tensors in any nesting; it is called twice as it is, once
    for each tensor, and ``draws`` times with all of them moved at once, since a zero projection hides what lies before
    it from single trials. Then all is put back, bit for bit. ``within`` is the model whose other parameters and
    buffers must not change meanwhile. IdentityBroken names parameters, siblings, the largest difference and, where the
    autograd graph sees it, the way from one to the other. Randomness outside is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        own = {id(p) for p in trainable.values()}
        held = {} if within is None else {k: v for k, v in named_state(within).items() if id(v) not in own}
        hashes = _hashes(held)
        base = _outputs(forward)
        _check_repeats(base, _outputs(forward), hashes, held)
        rng = torch.Generator().manual_seed(seed)
        leaks = [leak for name in trainable for leak in _trial(forward, base, trainable, [name], rng)]
        for _ in range(draws):
            leaks += [] if leaks else _trial(forward, base, trainable, list(trainable), rng)
        if leaks:
            raise IdentityBroken(_say(leaks, trainable), leaks)
        _check_repeats(base, _outputs(forward), hashes, held)
    return Proof(base, tuple(trainable), 3 + len(trainable) + draws)


def zero_last(module: nn.Module) -> nn.Module:
    """Set the last projection (linear or convolution, in order of registration) to zero; returns the module.

    As ControlNet's zero convolutions (Zhang et al., ICCV 2023): only the last layer is zero, so that it has a gradient
    at the first step and the rest from the second on. ValueError where there is no projection.
    """
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    projections = [part for part in module.modules() if isinstance(part, kinds)]
    if not projections:
        raise ValueError(f"expected a linear layer or convolution in {type(module).__name__}, found none")
    last = projections[-1]
    with torch.no_grad():
        for parameter in (last.weight, last.bias):
            if parameter is not None:
                parameter.zero_()
    return module


class Upgraded(nn.Module):
    """A head plus an addition that starts at nothing: at step 0 the old head's output, bit for bit.

    The old head is frozen and stays in eval mode; train ``addition`` alone. Both read the same arguments and give one
    tensor. The addition must be finite.
    """

    def __init__(self, old: nn.Module, addition: nn.Module):
        super().__init__()
        self.old, self.addition = old.requires_grad_(False).eval(), zero_last(addition)

    def train(self, mode: bool = True) -> "Upgraded":
        super().train(mode)
        self.old.eval()
        return self

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        # Not a sum: -0.0 + 0.0 is 0.0, equal to torch.equal and another fingerprint. 0.0 - z is +0.0 for either
        # zero, and x - 0.0 is x for every x, -0.0, infinity and NaN included.
        return self.old(*args, **kwargs) - (0.0 - self.addition(*args, **kwargs))


def _private_parameters(private: Private) -> list[nn.Parameter]:
    found: dict[int, nn.Parameter] = {}
    for item in private:
        parts = item.parameters() if isinstance(item, nn.Module) else [item]
        found |= {id(parameter): parameter for parameter in parts}
    return list(found.values())


def _check_alone(model: nn.Module, private: Private, parameters: Sequence[nn.Parameter]) -> None:
    """ValueError where a module or a parameter is reached in two ways, or shares memory with what is not private."""
    places: dict[int, list[str]] = {id(item): [] for item in private}
    modules = list(model.named_modules(remove_duplicate=False))
    for name, part in [*modules, *model.named_parameters(remove_duplicate=False)]:
        if id(part) in places:
            places[id(part)].append(name)
    twice = next((names for names in places.values() if len(names) > 1), None)
    if twice:
        raise ValueError(f"expected one place for what is private, found {_few(twice)} to be the same")
    inside, roots = _parts(private), [name for names in places.values() for name in names]
    for name, part in modules:
        if id(part) in inside and not any(not root or f"{name}.".startswith(f"{root}.") for root in roots):
            raise ValueError(f"expected one place for what is private, found {name} to be part of it, too")
    names = {id(p): name for name, p in model.named_parameters()}
    spans = [(*_span(p), names.get(id(p), f"private {list(p.shape)}")) for p in parameters]
    for name, tensor in _frozen(model, private).items():
        start, end = _span(tensor)
        for low, high, own in spans:
            if start < high and low < end:
                raise ValueError(f"expected private parameters in memory of their own, found {own} to share {name}'s")


def _parts(private: Private) -> set[int]:
    return {id(part) for item in private if isinstance(item, nn.Module) for part in item.modules()}


def _frozen(model: nn.Module, private: Private) -> dict[str, Tensor]:
    """Parameters, buffers and plain tensor attributes by name, except what private modules and parameters hold."""
    inside = _parts(private)
    own = {id(item) for item in private if isinstance(item, nn.Parameter)}
    found = {}
    for path, part in model.named_modules(remove_duplicate=False):
        if id(part) in inside:
            continue
        plain = {k: v for k, v in vars(part).items() if isinstance(v, Tensor)}
        for name, tensor in {**part._parameters, **part._buffers, **plain}.items():
            if tensor is not None and id(tensor) not in own:
                found[f"{path}.{name}" if path else name] = tensor
    return found


def _span(tensor: Tensor) -> tuple[int, int]:
    """First byte and the one after the last that a tensor can touch; nothing for an empty one."""
    if tensor.numel() == 0 or tensor.layout is not torch.strided:
        return 0, 0
    reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True)) + 1
    return tensor.data_ptr(), tensor.data_ptr() + reach * tensor.element_size()


def _hashes(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    return {name: fingerprint_of({"": tensor}) for name, tensor in tensors.items()}


@torch.no_grad()
def _outputs(forward: Callable[[], object]) -> Snapshot:
    taken = snapshot(forward())
    if not taken.tensors:
        raise ValueError("expected siblings' outputs from forward, found no tensor")
    return taken


def _check_repeats(base: Snapshot, again: Snapshot, hashes: Mapping[str, str], held: Mapping[str, Tensor]) -> None:
    """A second pass gives the first one's bits and leaves the model as it was."""
    now = _hashes(held)
    changed = [name for name in hashes if now[name] != hashes[name]]
    if changed:
        raise IdentityBroken(
            f"expected a forward pass to change nothing, found {_few(changed)} changed by it: statistics in train mode?"
        )
    moved = compare(base, again)
    if moved:
        raise IdentityBroken(
            f"expected the same bits from two passes, found that {moved[0].name} {moved[0].found} with nothing "
            "changed: dropout or other randomness is on"
        )


def _trial(
    forward: Callable[[], object],
    base: Snapshot,
    trainable: Mapping[str, nn.Parameter],
    names: Sequence[str],
    rng: torch.Generator,
) -> list[Leak]:
    """Perturb the named tensors, look, and put them back."""
    kept = {name: trainable[name].detach().clone() for name in names}
    try:
        with torch.no_grad():
            for name in names:
                parameter = trainable[name]
                noise = torch.randn(parameter.shape, generator=rng, dtype=torch.float32)
                parameter.data.add_(noise.to(parameter))
        moved = compare(base, _outputs(forward))
        return _leaks(forward, trainable, names, moved) if moved else []
    finally:
        for name, old in kept.items():
            trainable[name].data.copy_(old)


def _leaks(
    forward: Callable[[], object], trainable: Mapping[str, nn.Parameter], names: Sequence[str], moved: Sequence[Moved]
) -> list[Leak]:
    from sceneminer.model.graph import graph_paths

    paths = graph_paths(forward, {name: trainable[name] for name in names})
    found = []
    for item in moved:
        seen = [name for name in names if (item.name, name) in paths]
        # With several moved at once the graph alone can tell which; where it sees none, all of them are suspect.
        for name in seen or [", ".join(names[:3]) + (" and more" if len(names) > 3 else "")]:
            found.append(Leak(name, item.name, item.max_abs, paths.get((item.name, name))))
    return found


def _say(leaks: Sequence[Leak], trainable: Mapping[str, nn.Parameter]) -> str:
    worst = max(leaks, key=lambda leak: leak.max_abs)
    names = list(dict.fromkeys(leak.parameter for leak in leaks))
    return (
        f"expected siblings to keep their bits whatever is trained ({len(trainable)} tensors), found that {worst}. "
        f"Culprits: {_few(names)}"
    )


def _few(names: Sequence[str], most: int = 4) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
