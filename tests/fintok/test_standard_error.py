"""Errors of means over time hold what they say, also where neighbouring days tell the same twice."""

import numpy as np
import pytest

from fintok.standard_error import mean_of_blocks


def test_blocks_of_days_that_tell_the_same_have_the_error_of_so_many_blocks():
    rng = np.random.default_rng(0)
    blocks, counts = np.repeat(np.arange(60), 5), rng.integers(1, 9, 300)
    totals = np.repeat(rng.standard_normal(60), 5) * counts
    mean, error = mean_of_blocks(totals, counts, blocks)
    assert mean == pytest.approx(totals.sum() / counts.sum())
    by_block = np.bincount(blocks, totals), np.bincount(blocks, counts)
    deviations = by_block[0] - mean * by_block[1]
    assert error == pytest.approx(np.sqrt(60 * deviations.var(ddof=1)) / counts.sum(), rel=0.03)
    assert mean_of_blocks(totals, counts, np.arange(300))[1] < 0.6 * error
    assert mean_of_blocks(totals, counts, np.zeros(300, int)) == (pytest.approx(mean), np.inf)
