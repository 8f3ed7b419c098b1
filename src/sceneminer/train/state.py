"""A training's state on disk: weights, optimiser memory and step in one safetensors file, replaced as a whole."""

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sceneminer.model.errors import CheckpointError

STATE_FILE = "state.safetensors"


def save_state(folder: Path, model: nn.Module, optimisers: Sequence[torch.optim.Optimizer], *, step: int) -> Path:
    """Write the state after ``step`` steps; a reader sees the old file or the new one, never half of one."""
    tensors: dict[str, Tensor] = {f"model.{name}": value for name, value in model.state_dict().items()}
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    for optimiser in optimisers:
        for parameter, memory in optimiser.state.items():
            tensors |= {f"memory.{key}.{names[parameter]}": value for key, value in memory.items()}
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{STATE_FILE}.{os.getpid()}.part"
    # Cloned, since tensors that share memory, as tied weights do, cannot be saved.
    copies = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    save_file(copies, part, {"step": str(step)})
    part.replace(folder / STATE_FILE)
    return folder / STATE_FILE


def load_state(folder: Path, model: nn.Module, optimisers: Sequence[torch.optim.Optimizer]) -> int:
    """Fill model and optimisers with what was saved; returns the steps done, 0 where nothing was.

    CheckpointError where the file is broken or of another model.
    """
    path = folder / STATE_FILE
    if not path.exists():
        return 0
    step, tensors = _read(path, "")
    weights = {name.removeprefix("model."): v for name, v in tensors.items() if name.startswith("model.")}
    own = {name: value.shape for name, value in model.state_dict().items()}
    if step < 0 or own != {name: value.shape for name, value in weights.items()}:
        raise CheckpointError(f"expected {path} to hold the state of this model, found another one's")
    model.load_state_dict(weights)
    parameters = dict(model.named_parameters())
    owner = {p: optimiser for optimiser in optimisers for group in optimiser.param_groups for p in group["params"]}
    for name, value in tensors.items():
        if name.startswith("memory."):
            _, key, parameter_name = name.split(".", 2)
            parameter = parameters[parameter_name]
            # AdamW counts its steps on the CPU.
            kept = value if value.ndim == 0 else value.to(parameter.device)
            owner[parameter].state[parameter][key] = kept
    return step


def steps_done(folder: Path) -> int:
    """How many steps a training in the folder has made; 0 where there is none. CheckpointError for a broken state."""
    if not (folder / STATE_FILE).exists():
        return 0
    return _read(folder / STATE_FILE, None)[0]


def load_part(folder: Path, prefix: str) -> dict[str, Tensor]:
    """The weights of one part of a saved training, by their names within it; CheckpointError where it has none."""
    path = folder / STATE_FILE
    if not path.exists():
        raise CheckpointError(f"expected a training state at {path}, found none")
    found = {k.removeprefix(f"model.{prefix}"): v for k, v in _read(path, f"model.{prefix}")[1].items()}
    if not found:
        raise CheckpointError(f"expected weights of {prefix} in {path}, found none")
    return found


def _read(path: Path, prefix: str | None) -> tuple[int, dict[str, Tensor]]:
    """The step, and the tensors whose names begin so (none for None)."""
    try:
        with safe_open(path, framework="pt") as file:
            step = int((file.metadata() or {}).get("step", "-1"))
            names = [name for name in file.keys() if prefix is not None and name.startswith(prefix)]  # noqa: SIM118
            return step, {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"expected {path} to be a training state, found: {error}") from None
