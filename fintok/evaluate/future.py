"""What a day's regime tells of the days to come: their volatility, dispersion and drawdown.

A regime foresees the mean that what followed it had on training rows. Volatility and drawdown are the equal-weight
market's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.evaluate.market import Market
from fintok.signature import cross_variance

Array = NDArray[np.float64]

HORIZONS = (5, 20)  # rows ahead
TINY = 1e-12  # of a variance: a market that stands still is not minus infinity


class Foresight(NamedTuple):
    """How well training means of a regime foresee one target on the judged days."""

    r_squared: float  # 1 - squared error / variance of the judged days; below 0: worse than their mean
    rank_correlation: float  # Spearman's
    daily: Array  # (R,) squared error of each judged day over that variance: R² is 1 less their mean


def targets(market: Market) -> dict[str, Array]:
    """What follows each day, (T,) by name; NaN in the last rows, whose future is not known yet.

    Log volatility, log dispersion (standard deviation over assets) and drawdown (largest loss from a peak, in the
    units of the returns) over the next 5 and 20 rows.
    """
    move = np.nan_to_num(market.move)
    spread = np.nan_to_num(cross_variance(market.returns))
    answer = {}
    for rows in HORIZONS:
        answer[f"volatility {rows}"] = 0.5 * np.log(_ahead(move**2, rows).mean(axis=1) + TINY)
        answer[f"dispersion {rows}"] = 0.5 * np.log(_ahead(spread, rows).mean(axis=1) + TINY)
        path = np.cumsum(_ahead(move, rows), axis=1)
        peak = np.maximum(np.maximum.accumulate(path, axis=1), 0.0)
        answer[f"drawdown {rows}"] = (peak - path).max(axis=1)
    return answer


def foresight(labels: NDArray[np.integer], target: Array, rows: int, market: Market) -> Foresight:
    """Of labels (T,) for a target of the next ``rows`` rows. Training targets end before the cut."""
    first, cut = market.first, market.cut
    known = slice(first, cut - rows)
    overall = float(target[known].mean())
    means = np.full(int(labels[first:].max()) + 1, overall)
    for regime in range(len(means)):
        days = target[known][labels[known] == regime]
        if len(days):
            means[regime] = days.mean()
    judged = np.arange(len(labels)) >= cut
    judged &= np.isfinite(target)
    said, true = means[labels[judged]], target[judged]
    variance = float(true.var())
    daily = (true - said) ** 2 / (variance if variance > 0.0 else float("nan"))
    return Foresight(1.0 - float(daily.mean()), _rank_correlation(said, true), daily)


def _rank_correlation(one: Array, other: Array) -> float:
    from scipy.stats import rankdata

    ranks = np.stack([rankdata(one), rankdata(other)])
    if (ranks.std(axis=1) == 0.0).any():  # one regime all the time
        return float("nan")
    return float(np.corrcoef(ranks)[0, 1])


def _ahead(values: Array, rows: int) -> Array:
    """(T, rows): the values of the rows after each row; NaN where they end."""
    padded = np.concatenate([values[1:], np.full(rows, np.nan)])
    return np.lib.stride_tricks.sliding_window_view(padded, rows)
