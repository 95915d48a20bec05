"""Hints: what a linear model expects at hidden patches, given the assets that are visible on the same days.

Which assets move together is a matter of arithmetic, and of each panel: the masked model is told it, and learns what
the arithmetic leaves. Returns over their slow scale are taken for jointly normal, with exponentially weighted
correlations of rows before the window, so that nothing hidden has a part in them. A hint has two channels: asinh of
the mean of the hidden return, in units of the channel "return", and the log of the share of the asset's usual
deviation that the mean leaves open. Where the visible assets tell nothing, both are 0.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.imaging import ReturnImages
from fintok.progress import track

HINTS = ("expected", "left_open")  # the channels
PARTITIONS = 4  # ways of hiding the assets in groups that a predictor learns from
_HALF_LIFE = 250.0  # rows, of the correlations
_BLOCK = 21  # rows between two estimates of the correlations, when a whole panel is read
_MOST = 8.0  # slow scales that one return may tell of the correlations
_PRIOR_DAYS = 100.0  # in common at which half a correlation is believed; sums that hold exactly need nearly all of it
_RIDGE = 0.003  # of the correlations' diagonal
_LEAST_LEFT = 1e-4  # of the variance

Array = NDArray[np.float64]


class _Relations(NamedTuple):
    """Sums over the days that each pair of assets has in common, (A, A)."""

    products: Array  # of scaled returns, weighted
    weights: Array
    days: Array  # not weighted

    def then(self, returns: Array, observed: NDArray[np.bool_]) -> "_Relations":
        """With the next scaled returns (A, B), 0 where not observed; the newest has weight 1."""
        num_rows = returns.shape[1]
        weights = 0.5 ** (np.arange(num_rows - 1, -1, -1) / _HALF_LIFE)
        held, there = np.clip(returns, -_MOST, _MOST), observed.astype(np.float64)
        old = 0.5 ** (num_rows / _HALF_LIFE)
        return _Relations(
            old * self.products + (held * weights) @ held.T,
            old * self.weights + (there * weights) @ there.T,
            self.days + there @ there.T,
        )

    def among(self, places: NDArray[np.intp]) -> "_Relations":
        """Of some of the assets alone."""
        pairs = np.ix_(places, places)
        return _Relations(self.products[pairs], self.weights[pairs], self.days[pairs])

    def correlations(self) -> tuple[Array, Array]:
        """Correlations (A, A), positive definite, and deviations (A,)."""
        variance = np.diag(self.products) / np.maximum(np.diag(self.weights), 1e-12)
        deviation = np.sqrt(np.where(variance > 0.0, variance, 1.0))
        found = self.products / np.maximum(self.weights, 1e-12) / np.outer(deviation, deviation)
        found *= self.days**2 / (self.days**2 + _PRIOR_DAYS**2)
        np.fill_diagonal(found, 1.0 + _RIDGE)
        try:  # pairs have days of their own: as a whole the correlations need not be positive
            np.linalg.cholesky(found - 0.5 * _RIDGE * np.eye(len(found)))
        except np.linalg.LinAlgError:
            values, vectors = np.linalg.eigh(found)
            found = (vectors * np.maximum(values, _RIDGE)) @ vectors.T
        return found, deviation


class _Regression(NamedTuple):
    """Of G hidden assets on V visible ones."""

    hidden: NDArray[np.intp]  # (G,) places
    visible: NDArray[np.intp]  # (V,) places
    slopes: Array  # (G, V)
    left: Array  # (G,) log of the share of the deviation that they leave open


def _regression(
    places: NDArray[np.intp], correlations: Array, deviation: Array, is_hidden: NDArray[np.bool_]
) -> _Regression:
    """Of the hidden assets among `places` on the others of them; all but `places` is given for these alone."""
    hidden, visible = np.flatnonzero(is_hidden), np.flatnonzero(~is_hidden)
    across = correlations[np.ix_(hidden, visible)]
    slopes = np.linalg.solve(correlations[np.ix_(visible, visible)], across.T).T
    left = np.diag(correlations)[hidden] - (slopes * across).sum(axis=1)
    slopes = slopes * np.outer(deviation[hidden], 1.0 / deviation[visible])
    return _Regression(places[hidden], places[visible], slopes, 0.5 * np.log(np.clip(left, _LEAST_LEFT, 1.0)))


def group_hints(
    images: ReturnImages, groups: Sequence[NDArray[np.integer]], window_days: int, since: int = 0
) -> NDArray[np.float32]:
    """Hints (2, A, T) of a whole panel, each group of assets being hidden in its turn; rows before ``since``: 0.

    The correlations that a day's hint rests on end at least a window before it. Assets that were not observed in the
    month before, as after a delisting, tell nothing and are told nothing of.
    """
    num_assets, num_days = images.num_assets, images.num_days
    spare = ((0, 0), (0, _BLOCK))  # whole blocks: a panel cut short gives the same bits up to the cut
    observed = np.pad(images.observed, spare)
    scaled = np.where(observed, np.sinh(np.pad(images.channel("return").astype(np.float64), spare)), 0.0)
    hints = np.zeros((len(HINTS), num_assets, num_days + _BLOCK), np.float32)
    relations = _Relations(*np.zeros((3, num_assets, num_assets)))
    is_hidden = np.zeros((len(groups), num_assets), dtype=bool)
    for number, group in enumerate(groups):
        is_hidden[number, group] = True
    for first in track(range(0, num_days - window_days + 1, _BLOCK), "hints"):
        days = slice(first + window_days - 1, first + window_days - 1 + _BLOCK)
        if first > 0 and days.stop > since:
            places = np.flatnonzero(observed[:, max(days.start - _BLOCK, 0) : days.start].any(axis=1))
            correlations, deviation = relations.among(places).correlations()
            hidden = is_hidden[:, places]
            for row in hidden[hidden.any(axis=1) & ~hidden.all(axis=1)]:
                _tell(hints, scaled, days, _regression(places, correlations, deviation, row))
        block = slice(first, first + _BLOCK)
        relations = relations.then(scaled[:, block], observed[:, block])
    hints[:, :, :since] = 0.0
    return hints[:, :, :num_days]


def draw_hints(
    images: ReturnImages, num_groups: int, window_days: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Hints to learn from, (R, 3, A, T): for each of R random partitions of the assets into groups of equal size, one
    asset more or less, its hints, and as a third channel the number of each asset's group."""
    told = np.empty((PARTITIONS, len(HINTS) + 1, images.num_assets, images.num_days), np.float32)
    group_of = [rng.permutation(images.num_assets) % num_groups for _ in range(PARTITIONS)]
    for channels, partition in zip(told, group_of, strict=True):
        groups = [np.flatnonzero(partition == group) for group in range(num_groups)]
        channels[:-1] = group_hints(images, groups, window_days)
        channels[-1] = partition[:, None]
    return told


def _tell(hints: NDArray[np.float32], returns: Array, days: slice, regression: _Regression) -> None:
    """Write a regression's hints (2, A, T) for some days of returns (A, T)."""
    mean = regression.slopes @ returns[regression.visible, days]
    hints[0, regression.hidden, days] = np.arcsinh(mean)
    hints[1, regression.hidden, days] = regression.left[:, None]
