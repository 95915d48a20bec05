"""Statistics of an asset's own past, strictly before each date, and of the other assets' day."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

STILL = 1e-12  # a return that is none
_FEWEST_ASSETS = 5
_ROUNDING = 1e-12  # of the mean square: what a variance below it is made of


class TrailingMoments(NamedTuple):
    """Exponentially weighted moments of each column over the rows before each row; NaN before `min_count`."""

    mean: NDArray[np.float64]  # (T, A)
    deviation: NDArray[np.float64]  # (T, A)


def trailing_moments(values: NDArray[np.floating], *, half_life: float, min_count: int) -> TrailingMoments:
    """Mean and standard deviation of values (T, A) with weights halving every `half_life` rows.

    Row t uses the finite values of rows before t, and is NaN until there are `min_count` of them. A NaN takes
    no weight; time goes on over it. Each column stands for itself.
    """
    from scipy.signal import lfilter

    values = np.asarray(values, dtype=np.float64)
    observed = np.isfinite(values)
    filled = np.where(observed, values, 0.0)
    keep = 0.5 ** (1.0 / half_life)

    def before(x: NDArray[np.float64]) -> NDArray[np.float64]:
        filtered = np.asarray(lfilter([1.0], [1.0, -keep], x, axis=0))
        return np.concatenate([np.zeros((1, x.shape[1])), filtered[:-1]])

    enough = np.cumsum(observed, axis=0) - observed >= min_count
    weight = np.where(enough, before(observed.astype(np.float64)), np.nan)
    mean = before(filled) / weight
    square = before(filled**2) / weight
    variance = square - mean**2
    variance = np.where(variance > _ROUNDING * square, variance, 0.0 * square)  # equal values have none; NaN stays
    return TrailingMoments(mean, np.sqrt(variance))


class TrailingMean:
    """The mean of `trailing_moments`, of rows (n, A) that come a few at a time."""

    def __init__(self, num_columns: int, *, half_life: float, min_count: int) -> None:
        self.keep, self.min_count = 0.5 ** (1.0 / half_life), min_count
        self.sums = np.zeros((1, 2 * num_columns))  # of values, of weights
        self.count = np.zeros(num_columns, dtype=np.int64)

    def add(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean over the rows before each of the next rows."""
        from scipy.signal import lfilter

        observed = np.isfinite(values)
        inputs = np.hstack([np.where(observed, values, 0.0), observed])
        sums, after = lfilter([0.0, 1.0], [1.0, -self.keep], inputs, axis=0, zi=self.sums)
        self.sums = after if len(values) else self.sums  # of no rows, lfilter's state is what lay in memory
        count = self.count + np.cumsum(observed, axis=0) - observed
        self.count = self.count + observed.sum(axis=0)
        total, weight = np.hsplit(sums, 2)
        return total / np.where(count >= self.min_count, weight, np.nan)


def trailing_sum(values: NDArray[np.floating], rows: int, min_count: int) -> NDArray[np.float64]:
    """Sum over each row and the `rows` - 1 before it, divided by the root of how many were finite.

    Standardised values stay standardised. NaN where fewer than `min_count` of the rows are finite, or where
    the row itself is not.
    """
    observed = np.isfinite(values)
    filled = np.where(observed, values, 0.0).astype(np.float64)
    total, count = np.zeros_like(filled), np.zeros(filled.shape)
    for lag in range(min(rows, len(filled))):  # a handful of shifted additions, exact and causal
        total[lag:] += filled[: len(filled) - lag]
        count[lag:] += observed[: len(filled) - lag]
    usable = observed & (count >= min_count)
    return np.where(usable, total / np.sqrt(np.maximum(count, 1.0)), np.nan)


def median_of_day(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Median over the assets of each date, (T, A) -> (T, 1); NaN for fewer than five: they tell of no market."""
    enough = np.isfinite(values).sum(axis=1) >= _FEWEST_ASSETS
    median = np.full((len(values), 1), np.nan)
    if enough.any():
        median[enough, 0] = np.nanmedian(values[enough], axis=1)
    return median
