"""The shape of a scene model, and its form in ``config.json``."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from sceneminer.geometry.grid import BevGrid
from sceneminer.model.errors import CheckpointError
from sceneminer.model.tower import NumericMode


@dataclass(frozen=True)
class ModelConfig:
    """Shapes, seed and numeric mode (why these: docs/decisions/0002-model.md)."""

    tower: str = ""
    """Folder or hub name that the tower came from: a label, not part of the fingerprint."""
    numeric_mode: NumericMode = "fp32"
    """Of the tower; the trunk and the heads always compute in fp32."""
    grid: BevGrid = field(default_factory=lambda: BevGrid(cell_m=2.0))
    heights_m: tuple[float, ...] = (0.0, 1.0, 2.5)
    bev_width: int = 96
    distance_bins: int = 32
    bev_token_grid: tuple[int, int] = (25, 25)
    """(rows, columns) of BEV tokens that the queries read."""
    image_token_grid: tuple[int, int] = (7, 12)
    """(rows, columns) of patch tokens that the queries read of each image, whatever its aspect."""
    token_count: int = 32
    token_width: int = 256
    token_layers: int = 2
    frames_per_clip: int = 4
    frame_period_us: int = 500_000
    seed: int = 0

    def __post_init__(self) -> None:
        sizes = (self.bev_width, self.token_count, self.token_width, self.token_layers, self.frames_per_clip)
        sizes += (self.frame_period_us, *self.bev_token_grid, *self.image_token_grid, len(self.heights_m))
        if min(sizes) < 1 or min(self.bev_width, self.distance_bins) < 2 or self.seed < 0:
            raise ValueError(f"expected positive sizes, at least two channels and distance bins, found {self}")
        if self.token_width % 8:
            raise ValueError(f"expected a token width in multiples of 8 attention heads, found {self.token_width}")

    def stream_values(self) -> dict[str, str]:
        """All but the tower's name: what decides the stream beside the weights."""
        return {k: repr(v) for k, v in sorted(asdict(self).items()) if k != "tower"}

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def parse_config(document: Mapping[str, Any]) -> ModelConfig:
    """The config that ``document`` wrote; CheckpointError names a field that is unknown, missing or of another type."""
    names = {f.name for f in fields(ModelConfig)}
    if set(document) != names:
        odd = ", ".join(sorted(names ^ set(document)))
        raise CheckpointError(f"expected model fields {', '.join(sorted(names))}; unknown or missing: {odd}")
    reference = ModelConfig().document()
    values: dict[str, Any] = {name: _like(reference[name], document[name], f"model.{name}") for name in sorted(names)}
    if values["numeric_mode"] not in ("fp32", "bf16"):
        raise CheckpointError(f"expected model.numeric_mode fp32 or bf16, found {values['numeric_mode']!r}")
    try:
        values["grid"] = BevGrid(**values["grid"])
        return ModelConfig(**values)
    except ValueError as error:
        raise CheckpointError(str(error)) from None


def _like(reference: Any, value: Any, name: str) -> Any:
    """The value, checked to have the reference's type; JSON lists become tuples, whole numbers may be floats."""
    if isinstance(reference, dict):
        if not isinstance(value, dict) or set(value) != set(reference):
            raise CheckpointError(f"expected {name} with {', '.join(reference)}, found {value!r}")
        return {k: _like(reference[k], value[k], f"{name}.{k}") for k in reference}
    if isinstance(reference, tuple):
        grid = name.endswith("_grid")
        if not isinstance(value, list | tuple) or not value or (grid and len(value) != len(reference)):
            raise CheckpointError(f"expected {name} like {list(reference)}, found {value!r}")
        return tuple(_like(reference[0], item, name) for item in value)
    wanted = (int, float) if isinstance(reference, float) else type(reference)
    if isinstance(value, bool) or not isinstance(value, wanted):
        raise CheckpointError(f"expected {name} of type {type(reference).__name__}, found {value!r}")
    return float(value) if isinstance(reference, float) else value
