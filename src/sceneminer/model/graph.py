"""What the autograd graph says about which output depends on which parameter. It names culprits and proves nothing:
it does not see through ``detach``, ``no_grad`` or indices."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from sceneminer.model.snapshot import tensors_in

_MOST_OPERATIONS = 6


def graph_paths(
    forward: Callable[[], object], parameters: Mapping[str, Tensor]
) -> dict[tuple[str, str], tuple[str, ...]]:
    """By (output, parameter) where the graph has a way: the operations along a shortest one, output first.

    Long ways are cut in the middle. Parameters that want no gradient are not in the graph.
    """
    names = {id(parameter): name for name, parameter in parameters.items()}
    with torch.enable_grad():
        outputs = tensors_in(forward())
    found = {}
    for output, tensor in outputs.items():
        if id(tensor) in names:
            found[output, names[id(tensor)]] = ()
        for name, path in _paths_from(tensor.grad_fn, names).items():
            found[output, name] = path
    return found


def _paths_from(start: Any, names: Mapping[int, str]) -> dict[str, tuple[str, ...]]:
    """Breadth first from an operation back to the leaves."""
    came_from: dict[Any, Any] = {start: None}
    queue, found = deque([start] if start is not None else []), {}
    while queue:
        node = queue.popleft()
        name = names.get(id(getattr(node, "variable", None)))
        if name is not None and name not in found:
            found[name] = _walk(came_from[node], came_from)
        for following, _ in node.next_functions:
            if following is not None and following not in came_from:
                came_from[following] = node
                queue.append(following)
    return found


def _walk(node: Any, came_from: Mapping[Any, Any]) -> tuple[str, ...]:
    steps = []
    while node is not None:
        steps.append(node.name().removesuffix("0").removesuffix("Backward"))
        node = came_from[node]
    steps.reverse()
    if len(steps) <= _MOST_OPERATIONS:
        return tuple(steps)
    half = _MOST_OPERATIONS // 2
    return (*steps[:half], "...", *steps[-half:])
