"""Hints: what a linear model expects at hidden patches, given the assets that are visible on the same days.

Which assets move together is a matter of arithmetic, and of each panel: the masked model is told it, and learns what
the arithmetic leaves. Returns over their slow scale are taken for jointly normal, with exponentially weighted
correlations of rows before the window, so that nothing hidden has a part in them. A hint has three channels: asinh of
the mean of the hidden return, in units of the channel "return"; asinh of the market's, which takes these means for the
assets hidden together; and the log of the size of what they leave open: its recent one, more on days when the visible
assets do not move as they expect of each other either. Where the visible assets tell nothing, all are 0.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.imaging import ReturnImages
from fintok.progress import track

HINTS = ("expected", "expected_market", "left_open")  # the channels
HIDDEN_COLUMNS = 2  # patches of an asset hidden when the others are asked about it: design figures use two weeks
PARTITIONS = 4  # ways of hiding the assets in groups that a predictor learns from
TAIL = 5.0  # degrees of freedom of what the means leave open
_HALF_LIFE = 250.0  # rows, of the correlations
_BLOCK = 21  # rows between two estimates of the correlations, when a whole panel is read
_MOST = 8.0  # slow scales that one return may tell of the correlations
_PRIOR_DAYS = 100.0  # in common at which half a correlation is believed; sums that hold exactly need nearly all of it
_RIDGE = 0.003  # of the correlations' diagonal
_RECENT_HALF_LIFE, _RECENT_ROWS = 20.0, 60  # of the size of what is left open
_PRIOR_ASSETS = 15.0  # visible assets whose unrest is half believed to be that of the hidden ones
_LEAST_SIZE = 1e-3  # in slow scales

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
        return positive_definite(found, _RIDGE), deviation


def positive_definite(correlations: Array, least: float) -> Array:
    """Correlations (A, A) with eigenvalues of at least ``least`` where any is below half of it; else as they are.

    Where pairs of assets have days of their own, correlations need not be positive as a whole.
    """
    try:
        np.linalg.cholesky(correlations - 0.5 * least * np.eye(len(correlations)))
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(correlations)
        return (vectors * np.maximum(values, least)) @ vectors.T
    return correlations


class _Regression(NamedTuple):
    """Linear regression of G hidden assets on V visible ones."""

    hidden: NDArray[np.intp]  # (G,) places
    visible: NDArray[np.intp]  # (V,) places
    slopes: Array  # (G, V)
    unrest: Array  # (V, V) of each visible asset, what its mean given the other visible ones leaves, standardised


def _regression(
    places: NDArray[np.intp], correlations: Array, deviation: Array, is_hidden: NDArray[np.bool_]
) -> _Regression:
    """Regression of the hidden assets among `places` on the others; all but `places` is given for these alone."""
    hidden, visible = np.flatnonzero(is_hidden), np.flatnonzero(~is_hidden)
    precision = np.linalg.inv(correlations[np.ix_(visible, visible)])
    slopes = correlations[np.ix_(hidden, visible)] @ precision * np.outer(deviation[hidden], 1.0 / deviation[visible])
    unrest = precision / np.outer(np.sqrt(np.diag(precision)), deviation[visible])
    return _Regression(places[hidden], places[visible], slopes, unrest)


def group_hints(
    images: ReturnImages, groups: Sequence[NDArray[np.integer]], window_days: int, patch_days: int, since: int = 0
) -> NDArray[np.float32]:
    """Hints (3, A, T) of a whole panel, each group of assets being hidden in its turn; rows before ``since``: 0.

    The correlations that a day's hint rests on end at least a window before it. Assets that were not observed in the
    month before, as after a delisting, tell nothing and are told nothing of.
    """
    lag = HIDDEN_COLUMNS * patch_days  # what is hidden has no part in the size of what is left open
    start = max(since - lag - _RECENT_ROWS + 1, 0)  # rows before tell nothing of those from `since` on
    observed = images.observed
    scaled = np.where(observed, np.sinh(images.channel("return").astype(np.float64)), 0.0)
    means = _means(scaled, observed, groups, window_days, start)
    hints = np.zeros((len(HINTS), *scaled.shape), np.float32)
    told, scaled, observed = hints[:, :, start:], scaled[:, start:], observed[:, start:]
    size = np.sqrt(_recent(np.square(scaled - means.expected), observed, lag))
    told[0] = np.arcsinh(means.expected)
    for group, unrest in zip(groups, means.unrest, strict=True):
        known, is_visible = scaled.copy(), observed.copy()
        known[group] = np.where(observed[group], means.expected[group], 0.0)
        is_visible[group] = False
        count = is_visible.sum(axis=0)
        told[1, group] = np.arcsinh(known.sum(axis=0) / np.maximum(observed.sum(axis=0), 1))
        more = np.where(unrest > 0.0, unrest / _recent(unrest[None], unrest[None] > 0.0, lag)[0], 1.0)
        size[group] *= np.maximum(more, _LEAST_SIZE) ** (count / (count + _PRIOR_ASSETS))
    told[2] = np.log(np.maximum(size, _LEAST_SIZE))
    told *= means.is_told & observed
    hints[:, :, :since] = 0.0
    return hints


def draw_hints(
    images: ReturnImages, num_groups: int, window_days: int, patch_days: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """An image with hints to learn from, (C + 4 R, A, T): its channels, and for each of R random partitions of the
    assets into groups of equal size, one asset more or less, its hints and the number of each asset's group."""
    own = len(images.values)
    values = np.empty((own + PARTITIONS * (len(HINTS) + 1), images.num_assets, images.num_days), np.float32)
    values[:own] = images.values
    told = values[own:].reshape(PARTITIONS, -1, images.num_assets, images.num_days)
    group_of = [rng.permutation(images.num_assets) % num_groups for _ in range(PARTITIONS)]
    for channels, partition in zip(told, group_of, strict=True):
        groups = [np.flatnonzero(partition == group) for group in range(num_groups)]
        channels[:-1] = group_hints(images, groups, window_days, patch_days)
        channels[-1] = partition[:, None]
    return values


class _Means(NamedTuple):
    """What regressions say of scaled returns, T rows from `since` on; 0 and False where there is none."""

    expected: Array  # (A, T)
    is_told: NDArray[np.bool_]  # (A, T)
    unrest: Array  # (groups, T) mean size of what the means of the visible assets given each other leave


def _means(
    scaled: Array, observed: NDArray[np.bool_], groups: Sequence[NDArray[np.integer]], window_days: int, since: int
) -> _Means:
    """Of scaled returns (A, T), 0 where not observed, from row ``since`` on."""
    num_assets, num_days = scaled.shape
    spare = ((0, 0), (0, _BLOCK))  # whole blocks: a panel cut short gives the same bits up to the cut
    observed, scaled = np.pad(observed, spare), np.pad(scaled, spare)
    expected, is_told = np.zeros_like(scaled), np.zeros_like(observed)
    unrest = np.zeros((len(groups), scaled.shape[1]))
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
            for number in np.flatnonzero(hidden.any(axis=1) & ~hidden.all(axis=1)):
                found = _regression(places, correlations, deviation, hidden[number])
                shown, there = scaled[found.visible, days], observed[found.visible, days]
                expected[found.hidden, days] = found.slopes @ shown
                is_told[found.hidden, days] = True
                size = np.where(there, np.abs(found.unrest @ shown), 0.0)
                unrest[number, days] = size.sum(axis=0) / np.maximum(there.sum(axis=0), 1)
        block = slice(first, first + _BLOCK)
        relations = relations.then(scaled[:, block], observed[:, block])
    rows = slice(since, num_days)
    return _Means(expected[:, rows], is_told[:, rows], unrest[:, rows])


def _recent(values: Array, counts: NDArray[np.bool_], lag: int) -> Array:
    """Mean of values (..., T) over some rows up to ``lag`` before each, weights decaying; 1 where none counts."""
    num_days = values.shape[-1]
    total, weight = np.zeros_like(values), np.zeros_like(values)
    for age in range(min(_RECENT_ROWS, num_days - lag)):  # one order of additions, wherever a panel is cut
        share, days, then = 0.5 ** (age / _RECENT_HALF_LIFE), slice(age + lag, None), slice(num_days - age - lag)
        total[..., days] += share * np.where(counts, values, 0.0)[..., then]
        weight[..., days] += share * counts[..., then]
    return np.where(weight > 0.0, total / np.where(weight > 0.0, weight, 1.0), 1.0)
