"""How much the regime of a day tells of the next day's returns: nats per asset-day, higher is better.

A Student t per regime is fitted to next-day returns, pooled over assets, on rows before the cut, and judged on the
rows after it. A proper score: whoever states a better distribution of tomorrow gets more, in any regime.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.evaluate.drawn import drawn
from fintok.standard_error import BLOCK_DATES, mean_of_blocks

Array = NDArray[np.float64]

DEGREES = (2.5, 3.0, 4.0, 6.0, 10.0)  # of freedom, tried in turn
MAX_FITTED = 20_000  # returns a regime's distribution is fitted to, drawn at random
FEWEST = 200  # training returns a regime needs for a distribution of its own; else it has that of all days


class Densities(NamedTuple):
    """Log density of the judged returns under each regime's distribution: R judged days, K regimes."""

    sums: Array  # (R, K) summed over the assets observed that day
    counts: NDArray[np.int64]  # (R,) assets observed

    def score(self, labels: NDArray[np.integer]) -> float:
        """Nats per asset-day of labels (R,), each the regime of the day before a judged one."""
        return float(self.of_days(labels).sum() / max(self.counts.sum(), 1))

    def of_days(self, labels: NDArray[np.integer]) -> Array:
        """(R,) summed log density of each judged day."""
        return self.sums[np.arange(len(labels)), labels]


class Student(NamedTuple):
    """A Student t distribution."""

    degrees: float  # of freedom
    centre: float
    square: float  # squared scale


def log_density(y: Array, degrees: float, centre: float, square: float) -> Array:
    """Log density at ``y`` of a Student t with squared scale ``square``."""
    from scipy.special import gammaln

    constant = gammaln((degrees + 1) / 2) - gammaln(degrees / 2) - 0.5 * np.log(degrees * np.pi * square)
    return constant - (degrees + 1) / 2 * np.log1p((y - centre) ** 2 / square / degrees)


def fit_student(y: Array) -> Student:
    """The Student t that fits y best, by EM (Liu and Rubin, 1995), over a few degrees of freedom."""
    y = drawn(y, MAX_FITTED)
    best = (-np.inf, Student(3.0, 0.0, 1.0))
    for degrees in DEGREES:
        centre, square = float(np.median(y)), max(float(y.var()) / 2, 1e-16)
        for _ in range(20):
            weight = (degrees + 1) / (degrees + (y - centre) ** 2 / square)
            centre = float((weight * y).sum() / weight.sum())
            square = max(float((weight * (y - centre) ** 2).mean()), 1e-16)  # prices that never move
        best = max(best, (float(log_density(y, degrees, centre, square).mean()), Student(degrees, centre, square)))
    return best[1]


def densities(labels: NDArray[np.integer], returns: Array, first: int, cut: int) -> Densities:
    """Distributions learned from the rows up to ``cut``, asked about the returns of the rows from ``cut`` on.

    labels (T,) from 0; those before row ``first`` are not looked at. returns (T, A), NaN = not observed. A regime of
    fewer than `FEWEST` training returns has the distribution of all days.
    """
    label, after = labels[first:-1], returns[first + 1 :]
    is_training = np.arange(first + 1, len(returns)) < cut
    judged = returns[cut:]
    observed = np.isfinite(judged)
    sums = np.zeros((len(judged), int(labels[first:].max()) + 1))
    for regime in range(sums.shape[1]):
        known = after[is_training & (label == regime)]
        known = known[np.isfinite(known)]
        if len(known) < FEWEST:
            known = after[is_training][np.isfinite(after[is_training])]
        density = log_density(np.where(observed, judged, 0.0), *fit_student(known))
        sums[:, regime] = np.where(observed, density, 0.0).sum(axis=1)
    return Densities(sums, observed.sum(axis=1))


def ahead_by(one: Array, other: Array, counts: NDArray[np.int64], dates: NDArray[np.datetime64]) -> tuple[float, float]:
    """Difference of two log scores in nats per asset-day, and its standard error over blocks of 60 dates;
    infinite where all dates are of one block.

    one, other: (R,) summed log densities of the judged rows, as `Densities.of_days` gives them; dates: (R,) of these
    rows, of which several may be of one day.
    """
    blocks = np.unique(dates.astype("datetime64[D]"), return_inverse=True)[1] // BLOCK_DATES
    return mean_of_blocks(one - other, counts, blocks)
