"""How large the coming moves are to be expected: a regression on the moves of the last day, week and month.

HAR with leverage (Corsi, 2009; Corsi and Renò, 2012): the size of a day's moves follows from the averages of the sizes
before it over short and long stretches, and from where the market went meanwhile, as falls are followed by larger
moves than rises.
"""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from fintok.channels import Past
from fintok.hellinger import causal_average
from fintok.moves import deviations
from fintok.panel import Panel

_SIZE_HALF_LIVES = (5, 20)  # rows; beside the day itself
_TREND_HALF_LIVES = (1, 5, 20)
_VOLATILITY_HALF_LIFE = 60  # of what a trend is measured in
_USUAL_ROWS = 500  # two trading years, after which a panel's usual size is known
_FEW_ROWS = 20  # on which an asset's own usual size counts as much as that of all
_CLIP = 4.0  # medians
_RIDGE = 1e-3


def size_predictors(panel: Panel, past: Past | None = None) -> NDArray[np.float32]:
    """What tells of the size of the next row's moves, (T, 6), each from that row and earlier ones; never NaN.

    First the log size of the row itself: the mean of the absolute moves of the assets observed (log returns, or of a
    panel of returns its `deviations`), over its mean in the panel's first 500 rows (so far; where a `past` is known,
    over the mean of what is usual of each of these assets), one asset more counted as moving as usual, so that a single
    one that hardly moves is not minus infinity. Its averages over half-lives of 5 and 20 rows follow, then the market's
    moves averaged over 1, 5 and 20 rows, in its own deviations. Moves count up to four times the day's median: a bad
    print does not make a crash. A row without any move repeats the last size.
    """
    moves, moved = _clipped(_moves(panel, past))
    size, observed = _sizes(moves, moved)
    usual = _usual_so_far(size, moved) if past is None else _remembered_usual(moves, past)
    log_size = _log_sizes(size, observed, moved, usual)[:, None]
    market = (np.nansum(moves, axis=1) / observed).astype(np.float32)[:, None]
    deviation = np.sqrt(causal_average(market**2, _VOLATILITY_HALF_LIFE))
    averages = [causal_average(log_size, half_life) for half_life in _SIZE_HALF_LIVES]
    trends = [causal_average(market, half_life) for half_life in _TREND_HALF_LIVES]
    in_deviations = np.concatenate(trends, axis=1) / np.where(deviation > 0.0, deviation, 1.0)
    return np.concatenate([log_size, *averages, in_deviations], axis=1, dtype=np.float32)


def usual_sizes(panel: Panel) -> NDArray[np.float64]:
    """Mean absolute move of each asset (A,) in the first 500 rows in which any moves, as `size_predictors` counts them;
    with the mean of all assets as if seen on 20 rows more, so that one that was hardly there has something, too.
    """
    moves, moved = _clipped(_moves(panel))
    first = moved & (np.cumsum(moved) <= _USUAL_ROWS)
    sizes, count = np.abs(moves[first]), np.isfinite(moves[first]).sum(axis=0)
    mean = _sizes(moves, moved)[0][first].mean()
    return (np.nansum(sizes, axis=0) + _FEW_ROWS * mean) / (count + _FEW_ROWS)


class ExpectedSize(NamedTuple):
    """Coefficients of the next row's log size."""

    mean: NDArray[np.float64]  # (P,) of the predictors
    coefficients: NDArray[np.float64]  # (P,)

    @classmethod
    def learn(cls, predictors: NDArray[np.float32], spread: float) -> Self:
        """Ridge regression of each row's log size on the predictors (N, P) of the row before.

        Its unit is such that the sizes themselves have the standard deviation `spread` on the training rows: what is
        expected of them has as much less as it tells less.
        """
        values = predictors.astype(np.float64)
        mean, deviation = values.mean(axis=0), values.std(axis=0)
        size_deviation = max(float(deviation[0]), 1e-12)
        deviation = np.where(deviation > 0.0, deviation, np.inf)  # what never changes tells nothing
        known, following = (values[:-1] - mean) / deviation, values[1:, 0] - mean[0]
        gram = known.T @ known + _RIDGE * len(values) * np.eye(len(mean))
        coefficients = np.linalg.solve(gram, known.T @ following) / deviation
        return cls(mean, coefficients * (spread / size_deviation))

    def of(self, predictors: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, P) -> (N,), row by row: a row's bits do not depend on the rows after it."""
        return ((predictors - self.mean) * self.coefficients).sum(axis=1).astype(np.float32)


def _clipped(moves: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Moves (T, A) of at most four times the median of the row's that are not 0; and whether there are any, (T,)."""
    sizes = np.abs(moves, dtype=np.float64)
    sizes = np.sort(np.where(sizes > 0.0, sizes, np.nan), axis=1)  # NaN comes last
    count = np.isfinite(sizes).sum(axis=1)[:, None]
    middle = np.take_along_axis(sizes, np.maximum(np.concatenate([count - 1, count], axis=1) // 2, 0), axis=1)
    bound = np.where(count > 0, _CLIP * middle.mean(axis=1, keepdims=True), 0.0)
    return np.clip(moves, -bound, bound, dtype=np.float64), count[:, 0] > 0


def _moves(panel: Panel, past: Past | None = None) -> NDArray[np.float64]:
    """Moves (T, A) that can be pooled over the assets, NaN where there is none."""
    return panel.returns if panel.values == "prices" else deviations(panel, past)


def _sizes(moves: NDArray[np.float64], moved: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Mean absolute move of each row's assets (T,), 0 where none moved, and how many they are, at least 1."""
    observed = np.maximum(np.isfinite(moves).sum(axis=1), 1)
    return np.where(moved, np.nansum(np.abs(moves), axis=1) / observed, 0.0), observed


def _usual_so_far(size: NDArray[np.float64], moved: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean size (T,) of the first 500 rows that moved, up to each row; 0 before the first of them."""
    rank = np.cumsum(moved)
    return np.cumsum(np.where(rank <= _USUAL_ROWS, size, 0.0)) / np.clip(rank, 1, _USUAL_ROWS)


def _remembered_usual(moves: NDArray[np.float64], past: Past) -> NDArray[np.float64]:
    """Mean usual size (T,) of the assets that have a move, as `past` has it; of others of their own first 500 (so far).
    0 where there is none."""
    observed, is_known = np.isfinite(moves), past.num_returns > 0
    total = np.where(observed, past.usual_sizes, 0.0).sum(axis=1)
    if not is_known.all():
        own = observed[:, ~is_known]
        rank = np.cumsum(own, axis=0)
        sums = np.cumsum(np.where(own & (rank <= _USUAL_ROWS), np.abs(moves[:, ~is_known]), 0.0), axis=0)
        total = total + np.where(own, sums / np.clip(rank, 1, _USUAL_ROWS), 0.0).sum(axis=1)
    return total / np.maximum(observed.sum(axis=1), 1)


def _log_sizes(
    size: NDArray[np.float64], count: NDArray[np.int64], moved: NDArray[np.bool_], usual: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Log of mean sizes (T,) of `count` assets and one more, over what is `usual`; 0 before the first that moved."""
    has_moved = np.logical_or.accumulate(moved)
    last = np.maximum.accumulate(np.where(moved, np.arange(len(size)), 0))
    relative = (size / np.where(usual > 0.0, usual, 1.0))[last]
    one_more = (count[last] * relative + 1.0) / (count[last] + 1.0)
    return np.where(has_moved, np.log(one_more), 0.0).astype(np.float32)
