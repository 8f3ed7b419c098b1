"""A training's state on disk: weights, optimiser moments and step in one safetensors file, replaced as a whole."""

import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sceneminer.model.errors import CheckpointError

STATE_FILE = "state.safetensors"
_MOMENTS = ("exp_avg", "exp_avg_sq")


def save_state(folder: Path, model: nn.Module, optimiser: torch.optim.AdamW, *, step: int) -> Path:
    """Write the state after ``step`` steps; a reader sees the old file or the new one, never half of one."""
    tensors: dict[str, Tensor] = {f"model.{name}": value for name, value in model.state_dict().items()}
    for name, parameter in _optimised(model, optimiser).items():
        for moment in _MOMENTS:
            if moment in optimiser.state[parameter]:
                tensors[f"{moment}.{name}"] = optimiser.state[parameter][moment]
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{STATE_FILE}.{os.getpid()}.part"
    save_file(
        {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}, part, {"step": str(step)}
    )
    part.replace(folder / STATE_FILE)
    return folder / STATE_FILE


def load_state(folder: Path, model: nn.Module, optimiser: torch.optim.AdamW) -> int:
    """Fill model and optimiser with what was saved; returns the steps done, 0 where nothing was.

    CheckpointError where the file is broken or of another model.
    """
    path = folder / STATE_FILE
    if not path.exists():
        return 0
    try:
        with safe_open(path, framework="pt") as file:
            step = int((file.metadata() or {}).get("step", "-1"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"expected {path} to be a training state, found: {error}") from None
    weights = {name.removeprefix("model."): v for name, v in tensors.items() if name.startswith("model.")}
    own = {name: value.shape for name, value in model.state_dict().items()}
    if step < 0 or own != {name: value.shape for name, value in weights.items()}:
        raise CheckpointError(f"expected {path} to hold the state of this model, found another one's")
    model.load_state_dict(weights)
    for name, parameter in _optimised(model, optimiser).items():
        if f"exp_avg.{name}" not in tensors:
            continue
        moments = {m: tensors[f"{m}.{name}"].to(parameter.device) for m in _MOMENTS}
        optimiser.state[parameter] = {"step": torch.tensor(float(step)), **moments}
    return step


def _optimised(model: nn.Module, optimiser: torch.optim.AdamW) -> dict[str, nn.Parameter]:
    known = {id(p) for group in optimiser.param_groups for p in group["params"]}
    return {name: p for name, p in model.named_parameters() if id(p) in known}
