"""Tail probabilities of statistics, and one number for the evidence that several of them give."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BODY_KNOTS = 400
_TAIL_SHARE = 0.02  # the largest 2 % of training values shape the tail
_SMALLEST_P = 1e-300
_SHARPNESS = 4.0

MIN_SAMPLE = 1000  # training values below which `TailMap.standard` is the safer map


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
    tail_share: float  # of the training values that are larger
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
            shape = float(np.clip(2.0 - mean / (mean - 2.0 * a1), 0.0, 0.9))  # weights fall: 2 a1 < mean
            scale = float(mean * (1.0 - shape))  # the mean of a generalised Pareto is scale / (1 - shape)
        is_shared = first[-1] < _BODY_KNOTS - 1  # so many values are the threshold that several quantiles are
        tail_share = max(len(excess), 1) / len(ordered) if is_shared else _TAIL_SHARE
        return cls(values, 1.0 - shares[first], float(values[-1]), tail_share, max(scale, 1e-12), shape)

    @classmethod
    def standard(cls, centre: float = 0.0, unit: float = 1.0) -> "TailMap":
        """For a statistic without a training sample: `centre` plus `unit` times a Student-t with four degrees."""
        values = np.linspace(-4.0, 3.0, _BODY_KNOTS)
        root = values / np.sqrt(1.0 + values**2 / 4.0)
        below = 0.5 + 0.375 * root * (1.0 - root**2 / 12.0)  # closed form of the t(4) distribution function
        # the tail is within a tenth of the t's up to ten deviations
        return cls(centre + unit * values, 1.0 - below, centre + 3.0 * unit, 1.0 - float(below[-1]), 0.95 * unit, 0.25)

    def __call__(self, statistic: NDArray[np.floating]) -> NDArray[np.float64]:
        """p of each value, in [1e-300, 1]; NaN stays NaN. Falls with the value, without ties in the tail."""
        x = np.asarray(statistic, dtype=np.float64)
        body = np.interp(x, self.values, self.probabilities)
        excess = np.maximum(x - self.threshold, 0.0) / self.scale
        if self.shape > 1e-6:
            log_tail = -np.log1p(self.shape * excess) / self.shape
        else:
            log_tail = -excess
        p = np.where(x > self.threshold, self.tail_share * np.exp(log_tail), body)
        return np.where(np.isnan(x), np.nan, np.maximum(p, _SMALLEST_P))


def evidence(p_values: NDArray[np.floating]) -> NDArray[np.float64]:
    """-log10 of each tail probability (S, ...); 0 where there is none."""
    return -np.log10(np.where(np.isnan(p_values), 1.0, np.maximum(p_values, _SMALLEST_P)))


def combine(p_values: NDArray[np.floating]) -> NDArray[np.float64]:
    """One number for the evidence of several p-values (S, ...), over those that are not NaN; NaN where all are.

    (sum of e^4)^(1/4) of their evidence e: the strongest statistic speaks, and those that agree with it raise it a
    little. A plain sum (Fisher's method) drowns a fault that only one statistic sees; a Cauchy combination falls
    when another statistic is unusually small. It is no probability: the rolling p-values are made from its ranks.
    """
    total = (evidence(p_values) ** _SHARPNESS).sum(axis=0) ** (1.0 / _SHARPNESS)
    return np.where(np.isnan(p_values).all(axis=0), np.nan, total)


def shares(p_values: NDArray[np.floating]) -> NDArray[np.float64]:
    """What each p-value (S, ...) adds to the combined evidence; they sum to 1, or are NaN where nothing speaks."""
    parts = evidence(p_values) ** _SHARPNESS
    total = parts.sum(axis=0)
    return np.where(total > 0.0, parts / np.where(total > 0.0, total, 1.0), np.nan)
