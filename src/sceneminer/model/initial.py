"""Starting weights that are the same on every machine."""

import zlib

import numpy as np
import torch
from torch import nn


@torch.no_grad()
def initialise(module: nn.Module, *, seed: int) -> None:
    """Fill weights in place: matrices uniform with variance 1 / fan-in, norms at one, biases at zero.

    Each parameter draws from a NumPy generator of its own, keyed by seed and name: torch's generators differ by
    vector instruction set, and a new submodule must not shift the numbers of the old ones.
    """
    for name, parameter in module.named_parameters():
        if parameter.ndim < 2:
            parameter.fill_(1.0 if name.endswith("weight") else 0.0)
            continue
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        bound = (3.0 / parameter[0].numel()) ** 0.5
        drawn = (rng.random(tuple(parameter.shape)) * 2.0 - 1.0) * bound
        parameter.copy_(torch.from_numpy(drawn.astype(np.float32)))


@torch.no_grad()
def initialise_head(head: nn.Module, *, seed: int) -> None:
    """As ``initialise``, leaving parameters that the head made all zero: its output starts at nothing."""
    zeros = [p for p in head.parameters() if not bool(p.any())]
    initialise(head, seed=seed)
    for parameter in zeros:
        parameter.zero_()
