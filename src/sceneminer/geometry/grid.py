"""Bird's-eye-view grids: square cells in the ego frame, indexed [y, x]."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray


@dataclass(frozen=True)
class BevGrid:
    """A grid over x in [x_min_m, x_max_m) and y in [y_min_m, y_max_m): row 0 is the lowest y, column 0 the lowest x."""

    x_min_m: float = -50.0
    x_max_m: float = 50.0
    y_min_m: float = -50.0
    y_max_m: float = 50.0
    cell_m: float = 1.0

    def __post_init__(self) -> None:
        if not np.all(np.isfinite([self.x_min_m, self.x_max_m, self.y_min_m, self.y_max_m, self.cell_m])):
            raise ValueError(f"expected finite extents and cell size, found {self}")
        if self.cell_m <= 0 or self.x_max_m <= self.x_min_m or self.y_max_m <= self.y_min_m:
            raise ValueError(f"expected positive extents and cell size, found {self}")
        for extent in (self.x_max_m - self.x_min_m, self.y_max_m - self.y_min_m):
            if abs(extent / self.cell_m - round(extent / self.cell_m)) > 1e-6:
                raise ValueError(f"expected extents in whole cells of {self.cell_m} m, found {extent} m")

    @property
    def shape(self) -> tuple[int, int]:
        """(rows along y, columns along x)."""
        return (
            round((self.y_max_m - self.y_min_m) / self.cell_m),
            round((self.x_max_m - self.x_min_m) / self.cell_m),
        )

    def centers(self) -> Float[ndarray, "y x 2"]:
        """(x, y) of each cell centre in metres."""
        rows, columns = self.shape
        x = self.x_min_m + (np.arange(columns) + 0.5) * self.cell_m
        y = self.y_min_m + (np.arange(rows) + 0.5) * self.cell_m
        return np.stack(np.meshgrid(x, y, indexing="xy"), -1)

    def cells(self, xy_m: Float[ndarray, "*b 2"]) -> tuple[Int[ndarray, "*b 2"], Bool[ndarray, "*b"]]:
        """(row, column) of each point, and whether it lies on the grid."""
        xy = np.asarray(xy_m, np.float64)
        column = np.floor((xy[..., 0] - self.x_min_m) / self.cell_m)
        row = np.floor((xy[..., 1] - self.y_min_m) / self.cell_m)
        rows, columns = self.shape
        inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        index = np.stack([np.where(inside, row, 0), np.where(inside, column, 0)], -1).astype(np.int64)
        return index, np.asarray(inside)
