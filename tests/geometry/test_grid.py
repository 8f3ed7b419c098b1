"""Bird's-eye-view grids: cells and their centres."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sceneminer.geometry.grid import BevGrid

GRIDS = st.builds(
    lambda x, y, rows, columns, cell: BevGrid(x, x + columns * cell, y, y + rows * cell, cell),
    st.integers(-100, 100).map(float),
    st.integers(-100, 100).map(float),
    st.integers(1, 30),
    st.integers(1, 30),
    st.sampled_from([0.25, 0.5, 1.0, 2.0]),
)


@given(grid=GRIDS)
def test_centres_lie_in_their_cells(grid):
    rows, columns = grid.shape
    index, inside = grid.cells(grid.centers())
    assert inside.all()
    np.testing.assert_array_equal(index[..., 0], np.arange(rows)[:, None].repeat(columns, 1))
    np.testing.assert_array_equal(index[..., 1], np.arange(columns)[None].repeat(rows, 0))


def test_rows_go_along_y_and_columns_along_x():
    grid = BevGrid(-10.0, 30.0, -5.0, 5.0, 0.5)
    assert grid.shape == (20, 80)
    np.testing.assert_allclose(grid.centers()[0, 0], [-9.75, -4.75])
    np.testing.assert_allclose(grid.centers()[1, 0], [-9.75, -4.25])
    index, inside = grid.cells(np.array([[0.1, 4.9], [-10.0, -5.0], [30.0, 0.0], [0.0, -5.01]]))
    assert index[:2].tolist() == [[19, 20], [0, 0]]
    assert inside.tolist() == [True, True, False, False]


def test_what_is_not_a_number_is_not_on_the_grid():
    _, inside = BevGrid().cells(np.array([[np.nan, 0.0], [np.inf, 0.0], [0.0, -np.inf]]))
    assert not inside.any()


@pytest.mark.parametrize(
    "values",
    [{"cell_m": 0.0}, {"x_max_m": -60.0}, {"cell_m": 0.3}, {"cell_m": np.nan}, {"y_min_m": -np.inf}],
)
def test_impossible_grids_are_refused(values):
    with pytest.raises(ValueError, match="expected"):
        BevGrid(**values)
