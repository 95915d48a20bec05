"""The channels of a return image: point-in-time features of returns, one number per asset and date.

All work on (T, A) arrays, dates down the rows so that every sum over time runs in one fixed order: a panel
cut short gives the same bits up to the cut. `observed` says where a number counts; elsewhere the answer means
nothing and is set to 0 by the imager. There are no loops over dates or assets.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fintok.panel import Panel

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

NORMAL_SCALE = 1.2533  # sqrt(pi / 2): a normal's standard deviation over its mean absolute value
PARKINSON = 1.6651  # sqrt(4 log 2): root mean squared log range over volatility (Parkinson 1980)
LEAST_RATIO = 0.05  # ratios are floored here before their logarithm: a still day is not minus infinity
BETA_PRIOR = 18.0  # weight of beta = 1: 60 days of market squared at its usual 0.3, in units of squared scale


class Past(NamedTuple):
    """What is known of a panel's assets from before its first row: sums over the rows there, (A,); 0 = nothing."""

    num_returns: Array
    total: Array  # of their absolute values
    covariance: Array  # of scaled returns times the market's
    variance: Array  # of the market's squared, on the asset's days
    usual_sizes: Array  # mean absolute move of each in the first rows that are known (`fintok.expected_size`)

    @property
    def num_known(self) -> int:
        """Assets of which anything is known."""
        return int((self.num_returns > 0).sum())


class ScaledReturns(NamedTuple):
    """Returns over their slow scale, and what the channels share. All (T, A) but `market`, (T, 1)."""

    returns: Array  # as in the panel, 0 where missing
    is_known: Flags  # the return is there, with or without enough history
    observed: Flags  # ... and the scale is there as well
    scale: Array  # expanding scale before each date, 1 where there is none
    scaled: Array  # returns / scale, 0 where not observed
    market: Array  # cross-sectional mean of `scaled` over observed assets, 0 where there is none
    past: Past | None = None  # from before the first row


def scaled_returns(panel: "Panel", min_observations: int, past: Past | None = None) -> ScaledReturns:
    """Divide returns by 1.2533 x the mean |return| over all rows before each date, strictly, those of `past` too.

    Not observed: a missing return, an asset's first `min_observations` returns in the panel, and an asset that has
    never moved before the date (its scale would be 0).
    """
    is_known = np.isfinite(panel.returns)
    returns = np.where(is_known, panel.returns, 0.0)
    size = np.abs(returns)
    count = np.cumsum(is_known, axis=0) - is_known  # before the date
    total = before(np.cumsum(size, axis=0))
    is_enough = count >= max(min_observations, 1)
    if past is not None:
        count, total = count + past.num_returns, total + past.total
    observed = is_known & is_enough & (total > 0.0)
    scale = np.where(observed, NORMAL_SCALE * total / np.maximum(count, 1), 1.0)
    scaled = np.where(observed, returns / scale, 0.0)
    market = scaled.sum(axis=1, keepdims=True) / np.maximum(observed.sum(axis=1, keepdims=True), 1)
    return ScaledReturns(returns, is_known, observed, scale, scaled, market, past)


def past_sums(data: ScaledReturns, rows: NDArray[np.integer]) -> Array:
    """The sums of `Past` as they were before each of some rows, (R, A, 4); row T comes after the last."""
    market = np.where(data.observed, data.market, 0.0)
    parts = (data.is_known, np.abs(data.returns), data.scaled * market, market * market)
    start = np.zeros_like(data.returns[:1])
    sums = [np.concatenate([start, np.cumsum(part, axis=0, dtype=np.float64)])[rows] for part in parts]
    return np.stack(sums, axis=-1)


def before(values: Array) -> Array:
    """Each row holds the row above it; the first holds zeros."""
    return np.concatenate([np.zeros_like(values[:1]), values[:-1]])


def decayed_mean(values: Array, counts: Flags, half_life: float) -> Array:
    """Mean over rows up to and including each, weights halving every `half_life` rows.

    Rows that do not count take no weight, but time goes on over them; 0 where nothing counts yet.
    """
    from scipy.signal import lfilter  # costs most of a second to import

    keep = 0.5 ** (1.0 / half_life)
    total = np.asarray(lfilter([1.0], [1.0, -keep], np.where(counts, values, 0.0), axis=0))
    weight = np.asarray(lfilter([1.0], [1.0, -keep], counts.astype(np.float64), axis=0))
    return np.where(weight > 0.0, total / np.where(weight > 0.0, weight, 1.0), 0.0)


def relative_volatility(data: ScaledReturns, half_life: float) -> Array:
    """Log of recent volatility (decayed mean |return|, this date included) over the slow scale."""
    recent = NORMAL_SCALE * decayed_mean(np.abs(data.returns), data.is_known, half_life)
    return np.log(np.maximum(recent / data.scale, LEAST_RATIO))


def market_volatility(data: ScaledReturns, half_life: float) -> Array:
    """Log of the decayed mean of |x| over all observed assets, this date included: (T, 1)."""
    count = data.observed.sum(axis=1, keepdims=True)
    size = np.abs(data.scaled).sum(axis=1, keepdims=True) / np.maximum(count, 1)
    return np.log(np.maximum(NORMAL_SCALE * decayed_mean(size, count > 0, half_life), LEAST_RATIO))


def cross_rank(scaled: Array, observed: Flags) -> Array:
    """Rank among the assets observed on the date, evenly over (-1, 1); equal values share their mean rank."""
    from scipy.stats import rankdata

    rank = np.asarray(rankdata(np.where(observed, scaled, np.inf), axis=1))
    count = np.maximum(observed.sum(axis=1, keepdims=True), 1)
    return 2.0 * (rank - 0.5) / count - 1.0


def market_residual(data: ScaledReturns) -> Array:
    """Scaled return less beta x market, with the beta of all dates before this one, shrunk towards 1."""
    market = np.where(data.observed, data.market, 0.0)
    covariance = before(np.cumsum(data.scaled * market, axis=0))
    variance = before(np.cumsum(market * market, axis=0))
    if data.past is not None:
        covariance, variance = covariance + data.past.covariance, variance + data.past.variance
    beta = (covariance + BETA_PRIOR) / (variance + BETA_PRIOR)
    return data.scaled - beta * data.market


def relative_range(panel: "Panel", data: ScaledReturns) -> Array:
    """Log of the high-low range as a volatility (Parkinson) over the slow scale; 0 where a bar is missing."""
    high, low = _logs(panel, "high"), _logs(panel, "low")
    ratio = (high - low) / PARKINSON / data.scale
    return np.where(np.isfinite(ratio), np.log(np.maximum(np.nan_to_num(ratio), LEAST_RATIO)), 0.0)


def opening_gap(panel: "Panel", data: ScaledReturns) -> Array:
    """Scaled return from the last close to the open: the day's return less the part from open to close.

    Taking it so leaves splits and dividends out, because the return is adjusted and open and close are of one
    day. 0 where open or close is missing.
    """
    overnight = (data.returns - (_logs(panel, "close") - _logs(panel, "open"))) / data.scale
    return np.where(np.isfinite(overnight), overnight, 0.0)


def relative_volume(panel: "Panel", half_life: float, min_observations: int) -> Array:
    """Log of volume over its decayed mean of the dates before; 0 where there is no volume or no history.

    Volume is as the source has it: after a split left unadjusted, it stays off until the mean follows.
    """
    volume = panel.fields["volume"].astype(np.float64)
    known = np.isfinite(volume) & (volume >= 0.0)
    usual = before(decayed_mean(np.where(known, volume, 0.0), known, half_life))
    enough = known & (np.cumsum(known, axis=0) - known >= max(min_observations, 1)) & (usual > 0.0)
    ratio = np.where(enough, volume, 1.0) / np.where(enough, usual, 1.0)
    return np.where(enough, np.log(np.maximum(ratio, LEAST_RATIO)), 0.0)


def _logs(panel: "Panel", name: str) -> Array:
    """Log of a field, NaN where it is missing or not positive."""
    column = panel.fields[name].astype(np.float64)
    return np.log(np.where(column > 0.0, column, np.nan))
