"""Paths of labels: how persistent they are, whether their timing matters, what a simple rule would have made."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.evaluate.log_score import Densities
from fintok.evaluate.market import Market
from fintok.signature import market_return, spell_lengths

Array = NDArray[np.float64]

NUM_SHIFTS = 500  # of the permutation test
COST = 0.001  # of the strategy's every change, as a share of what is held: ten basis points
DELAYS = (1, 5)  # rows from a label to the trade


class Persistence(NamedTuple):
    """How long labels last on the judged days, and how rare they get."""

    switches_a_year: float
    mean_rows: float  # length of a spell
    smallest_share: float  # share of days of the rarest regime, 0 for one that never comes


def persistence(labels: NDArray[np.integer], num_regimes: int, market: Market) -> Persistence:
    judged = labels[market.cut :]
    _, lengths = spell_lengths(judged)
    share = np.bincount(judged, minlength=num_regimes).min() / len(judged)
    return Persistence((len(lengths) - 1) / market.num_judged_years, float(lengths.mean()), float(share))


def shift_p_value(densities: Densities, labels: NDArray[np.integer], seed: int) -> float:
    """Share of circular shifts of the path (R,) that score as well: is it the timing, or only the shares?

    Shifts by less than a twentieth of the days are not tried: regimes persist, so these are the same path.
    """
    num_days, rng = len(labels), np.random.default_rng(seed)
    shifts = rng.integers(num_days // 20, num_days - num_days // 20, NUM_SHIFTS)
    own = densities.of_days(labels).sum()
    others = np.array([densities.of_days(np.roll(labels, shift)).sum() for shift in shifts])
    return float((1 + (others >= own).sum()) / (1 + NUM_SHIFTS))


class Strategy(NamedTuple):
    """What holding the market outside the most volatile regime would have made on the judged days. Descriptive."""

    annual_return: float  # log, after costs
    sharpe: float
    drawdown: float  # largest loss from a peak, log
    share_invested: float
    trades_a_year: float


def strategy(is_held: NDArray[np.bool_], delay: int, market: Market) -> Strategy:
    """Hold the market, equal weights every day, on the days after ``is_held`` (T,), ``delay`` rows later; else nothing.

    A delay of 1 trades on the close of the label's own day. Every change costs ten basis points.
    """
    held = np.roll(is_held, delay)[market.cut :].astype(np.float64)
    change = np.abs(np.diff(held, prepend=held[:1]))
    gain = held * _earned(market.returns[market.cut :]) - COST * change
    path = np.cumsum(gain)
    a_year, spread = market.panel.periods_per_year, float(gain.std())
    return Strategy(
        annual_return=float(gain.mean()) * a_year,
        sharpe=float(gain.mean()) / spread * np.sqrt(a_year) if spread > 0.0 else float("nan"),
        drawdown=float((np.maximum(np.maximum.accumulate(path), 0.0) - path).max()),
        share_invested=float(held.mean()),
        trades_a_year=float(change.sum()) / market.num_judged_years,
    )


def _earned(returns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log return of equal weights in the assets observed, from their log returns (T, A); 0 where none is.

    The mean of log returns is less than that, by half the variance between assets.
    """
    return np.log1p(np.nan_to_num(market_return(np.expm1(returns))))
