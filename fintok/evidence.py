"""Evidence of strangeness: statistics of surprise, their tail probabilities, and one combined probability."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fintok.trailing import trailing_moments, trailing_sum

_HALF_LIFE = 250  # rows: an asset's own history, about a trading year
_MIN_HISTORY = 60  # rows of it before a statistic that needs it exists
_RECENT = 60  # rows: half-life of what follows the asset's present volatility
_MIN_RECENT = 20
_DRIFT_ROWS = 10
_MIN_ASSETS = 5
_BODY_KNOTS = 400
_TAIL_SHARE = 0.02  # the largest 2 % of training values shape the tail
_SMALLEST_P = 1e-300

REASONS = {
    "jump": "jumped away from the market",
    "residual": "moved against its peers",
    "energy": "volatility burst",
    "drift": "drift",
    "surprise": "unusual pattern",
    "distance": "unlike any known pattern",
}
# The 98 % quantile of each statistic on 20 US stocks, over that of a Student-t with four degrees of freedom
_UNITS = {"jump": 1.0, "residual": 0.8, "energy": 0.6, "drift": 0.8, "surprise": 0.95, "distance": 0.6}


class Surprises(Protocol):
    """What a bundle says of each (date, asset): arrays (T, A), NaN where there is no token."""

    @property
    def surprise(self) -> NDArray[np.floating]: ...  # -log p of the newest code

    @property
    def expected(self) -> NDArray[np.floating]: ...  # mean of the surprise under p

    @property
    def deviation(self) -> NDArray[np.floating]: ...  # standard deviation of the surprise under p

    @property
    def distance(self) -> NDArray[np.floating]: ...  # patch to its code, positive

    @property
    def residual_energy(self) -> NDArray[np.floating]: ...  # squared standardised residual over five days

    @property
    def residual(self) -> NDArray[np.floating]: ...  # signed standardised residual of the newest day


def statistics_of(surprise: Surprises, returns: NDArray[np.floating]) -> dict[str, NDArray[np.float32]]:
    """The statistics that are combined, (T, A) each, higher = stranger, NaN where there is no token.

    jump: the newest return (T, A) in the asset's own volatility, less the market's, against its usual size; the
    one statistic that needs no model, since a single wild day is clipped on its way into a token;
    residual: size of the newest day's residual;
    energy: log of the five-day residual energy, standardised by the asset's own trailing mean and deviation;
    drift: size of the ten-day sum of signed residuals against its own trailing root mean square;
    surprise: (S - E[S]) / sd[S], so that days on which everything is uncertain do not alarm;
    distance: log of the patch's distance to its code, less the day's median over assets (in a crash every patch
    lies far out), standardised by its own recent mean and deviation.
    Every trailing statistic uses rows strictly before t; medians over assets need five of them.
    """
    residual = np.asarray(surprise.residual, dtype=np.float64)
    sums = trailing_sum(residual, _DRIFT_ROWS, min_count=_DRIFT_ROWS // 2)
    usual_sum = trailing_moments(sums**2, half_life=_HALF_LIFE, min_count=_MIN_HISTORY).mean
    distance = _log(surprise.distance)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = {
            "jump": np.where(np.isfinite(residual), _jump(returns), np.nan),
            "residual": np.abs(residual),
            "energy": _standardised(_log(surprise.residual_energy), _HALF_LIFE),
            "drift": np.sqrt(sums**2 / usual_sum),
            "surprise": (surprise.surprise - surprise.expected) / surprise.deviation,
            "distance": _standardised(distance - _median_of_day(distance, np.nan), _RECENT),
        }
    return {
        name: np.where(np.isfinite(values), values, np.nan).astype(np.float32)
        for name, values in found.items()
    }


def _jump(returns: NDArray[np.floating]) -> NDArray[np.float64]:
    """Distance of each asset's scaled return from the day's median, against its usual size."""
    scaled = returns / _usual_size(returns)
    away = np.abs(scaled - _median_of_day(scaled, 0.0))
    return away / (1.2533 * _usual_size(away))  # 1.2533: from a normal's mean size to its deviation


def _usual_size(values: NDArray[np.floating]) -> NDArray[np.float64]:
    size = trailing_moments(np.abs(values), half_life=_RECENT, min_count=_MIN_RECENT).mean
    return np.where(size > 0.0, size, np.nan)


def _standardised(values: NDArray[np.float64], half_life: float) -> NDArray[np.float64]:
    past = trailing_moments(values, half_life=half_life, min_count=_MIN_HISTORY)
    return (values - past.mean) / past.deviation


def _log(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Logarithm of what is positive; NaN elsewhere."""
    values = np.asarray(values, dtype=np.float64)
    return np.log(np.where(values > 0.0, values, np.nan))


def _median_of_day(values: NDArray[np.float64], without: float) -> NDArray[np.float64]:
    """Median over the assets of each date, (T, 1); `without` on dates with fewer than five."""
    enough = np.isfinite(values).sum(axis=1) >= _MIN_ASSETS
    median = np.full((len(values), 1), without)
    if enough.any():
        median[enough, 0] = np.nanmedian(values[enough], axis=1)
    return median


@dataclass(frozen=True)
class TailMap:
    """Upper-tail probability of one statistic: empirical in the body, generalised Pareto in the far tail.

    Ranks alone cannot tell a six from a sixty; beyond the 98 % quantile of the training values the tail is
    a generalised Pareto fitted by probability-weighted moments (Hosking and Wallis, 1987), with the shape
    held within [0, 0.9] so that no value is impossible and the mean exists.
    """

    values: NDArray[np.float64]  # (Q,) increasing
    probabilities: NDArray[np.float64]  # (Q,) share of training values at least as large, decreasing
    threshold: float  # where the Pareto tail takes over
    scale: float
    shape: float

    @classmethod
    def fit(cls, sample: NDArray[np.floating]) -> "TailMap":
        """From the finite values of a sample, at least 1,000 of them (`MIN_SAMPLE`)."""
        ordered = np.sort(np.asarray(sample, dtype=np.float64)[np.isfinite(sample)])
        shares = np.linspace(0.0, 1.0 - _TAIL_SHARE, _BODY_KNOTS)
        values, first = np.unique(np.quantile(ordered, shares), return_index=True)
        excess = ordered[ordered > values[-1]] - values[-1]
        shape, scale = 0.0, 1.0
        if len(excess) >= 10:
            mean = excess.mean()
            # a1 = E[Y (1 - F(Y))]; the plotting position is the one of Hosking and Wallis
            a1 = (excess * (1.0 - (np.arange(1, len(excess) + 1) - 0.35) / len(excess))).mean()
            shape = float(np.clip(2.0 - mean / (mean - 2.0 * a1), 0.0, 0.9)) if mean > 2.0 * a1 else 0.9
            scale = float(mean * (1.0 - shape))  # the mean of a generalised Pareto is scale / (1 - shape)
        return cls(values, 1.0 - shares[first], float(values[-1]), max(scale, 1e-12), shape)

    @classmethod
    def standard(cls, unit: float = 1.0) -> "TailMap":
        """For a statistic without a training sample: Student-t with four degrees of freedom, times `unit`."""
        values = np.linspace(-4.0, 3.0, _BODY_KNOTS)
        root = values / np.sqrt(1.0 + values**2 / 4.0)
        below = 0.5 + 0.375 * root * (1.0 - root**2 / 12.0)  # closed form of the t(4) distribution function
        # the tail is within a tenth of the t's up to ten deviations
        return cls(unit * values, 1.0 - below, 3.0 * unit, 0.95 * unit, 0.25)

    def __call__(self, statistic: NDArray[np.floating]) -> NDArray[np.float64]:
        """p of each value, in [1e-300, 1]; NaN stays NaN. Falls with the value, without ties in the tail."""
        x = np.asarray(statistic, dtype=np.float64)
        body = np.interp(x, self.values, self.probabilities)
        excess = np.maximum(x - self.threshold, 0.0) / self.scale
        if self.shape > 1e-6:
            log_tail = -np.log1p(self.shape * excess) / self.shape
        else:
            log_tail = -excess
        p = np.where(x > self.threshold, self.probabilities[-1] * np.exp(log_tail), body)
        return np.where(np.isnan(x), np.nan, np.maximum(p, _SMALLEST_P))


MIN_SAMPLE = 1000  # training values below which `TailMap.standard` is the safer map


def standard_tails() -> dict[str, TailMap]:
    """A map for each statistic when there is no training sample."""
    return {name: TailMap.standard(unit) for name, unit in _UNITS.items()}


def cauchy_combination(p_values: NDArray[np.floating]) -> NDArray[np.float64]:
    """One p-value of several (S, ...), over those that are not NaN; NaN where all are.

    Liu and Xie (2020): the mean of tan((1/2 - p) pi) is Cauchy in the tail however the statistics depend on
    each other, so nothing need be known of their correlation, and one very small p is not drowned by the
    others.
    """
    finite = np.isfinite(p_values)
    count = finite.sum(axis=0)
    inside = np.clip(np.where(finite, p_values, 0.5), _SMALLEST_P, 1.0 - 1e-9)
    cauchy = np.where(finite, 1.0 / np.tan(np.pi * inside), 0.0).sum(axis=0) / np.maximum(count, 1)
    combined = np.arctan2(1.0, cauchy) / np.pi
    return np.where(count > 0, combined, np.nan)
