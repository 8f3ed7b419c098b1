"""Models by name: the one that ships with sceneminer, folders, and names on the hub."""

from importlib import resources
from pathlib import Path

from sceneminer.model.checkpoint import is_scene_model, read_document
from sceneminer.model.errors import CheckpointError
from sceneminer.model.tower import NumericMode, TransformersTower, load_tower, resolve_folder

TINY = "sceneminer-tiny"


def resolve_model(name_or_folder: str | Path) -> Path:
    """The folder of a model: the shipped one by its name, a folder, or a hub name; CheckpointError if none."""
    if str(name_or_folder) == TINY:
        folder = Path(str(resources.files("sceneminer") / "weights" / TINY))
        if not (folder / "config.json").is_file():
            raise CheckpointError(f"expected the weights of {TINY} in this installation, found none at {folder}")
        return folder
    return resolve_folder(name_or_folder)


def load_model_tower(name_or_folder: str | Path, *, dtype: NumericMode = "fp32") -> TransformersTower:
    """The tower of a model, which may be a scene model with a trunk and heads or the tower alone."""
    folder = resolve_model(name_or_folder)
    if not is_scene_model(folder):
        return load_tower(folder, dtype=dtype)
    tower = read_document(folder)["tower"]
    return load_tower(folder / "tower" if tower.get("path") == "tower" else str(tower.get("name")), dtype=dtype)
