"""Heat maps and lines made small: no alert vanishes."""

import numpy as np
import pytest

from fintok.plots.theme import MAX_CELLS
from fintok_dashboard.resample import MISSING, STEPS_PER_UNIT, pool, quantise, strangest, thin_line


def test_quantised_scores_keep_missing_apart_from_nothing():
    codes = quantise(np.array([[np.nan, 0.0], [1.0, 99.0]]))
    np.testing.assert_array_equal(codes, [[MISSING, 1 + STEPS_PER_UNIT], [1, 253]])


@pytest.mark.parametrize(("width", "height"), [(1, 1), (7, 3), (40, 2), (1000, 1000), (13, 9)])
def test_each_cell_is_the_maximum_of_its_block(width, height):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 255, (9, 100)).astype(np.uint8)
    order = rng.permutation(9)
    grid = pool(codes, order, slice(10, 93), width=width, height=height)
    assert grid.cells.shape == (len(grid.rows) - 1, len(grid.columns) - 1)
    assert grid.cells.shape[0] <= max(height, 1)
    assert grid.cells.shape[1] <= width
    for r, c in np.ndindex(*grid.cells.shape):
        block = codes[order[grid.rows[r] : grid.rows[r + 1]], grid.columns[c] : grid.columns[c + 1]]
        assert grid.cells[r, c] == block.max()
    assert (grid.columns[0], grid.columns[-1]) == (10, 93)


def test_a_large_map_stays_within_what_a_browser_draws():
    grid = pool(np.zeros((2000, 5000), np.uint8), np.arange(2000), slice(0, 5000), width=3000, height=2000)
    assert grid.cells.size <= MAX_CELLS


def test_an_empty_part_has_no_cells():
    assert pool(np.zeros((3, 0), np.uint8), np.arange(3), slice(0, 0), width=10, height=10).cells.size == 0


def test_the_strangest_of_a_block_is_found():
    score = np.full((6, 4), np.nan)
    score[3, 2], score[4, 1] = 2.0, 5.0
    assert strangest(score, slice(2, 6), np.array([2, 1])) == (4, 1)
    assert strangest(score, slice(0, 2), np.array([0, 1])) is None


def test_a_thinned_line_keeps_its_highs_and_lows():
    values = np.sin(np.arange(10_000) / 50.0)
    values[1234], values[7777] = 9.0, -9.0
    values[4000:4100] = np.nan
    shown = thin_line(values, 500)
    assert len(shown) <= 502
    assert {0, 1234, 7777, 9999} <= set(shown.tolist())
