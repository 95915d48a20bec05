"""What an asset should have done given all others: a conditional Gaussian whose correlations follow the market.

The linear yardstick of relations. The masked model asks the same of tokens, for any set of assets and from one
window; this one knows which asset is which, and for the mean of a day's return that is worth more.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.channels import NORMAL_SCALE
from fintok.progress import track
from fintok.trailing import TrailingMean, median_of_day

Array = NDArray[np.float64]

_SIZE_HALF_LIFE = 60  # rows, of an asset's usual size
_MIN_ROWS = 20
_LOG_NORMAL = 1.887  # from a normal's geometric mean size to its standard deviation
_OUTLIER = 5.0  # usual sizes beyond which a value counts as this many: one wrong print must not set the scale
_MOST = 4.0  # usual sizes, from the middle of the day, that one asset's move may tell the others
_BLOCK = 21  # rows between two estimates of the correlations
_HALF_LIFE = 500  # rows, of the correlations
_PRIOR_ROWS, _PRIOR_CORRELATION = 60.0, 0.3  # what a pair is taken for before it is known
_SHRINKAGE = 0.1  # of the correlations towards none
_LEAST_LEVEL = 0.1  # of the day's level, so that a day on which nobody moves is not infinitely strict
_SWAP_ROWS = 15
_SWAP_LEAST = -15.0  # nats, where nobody else is there
_SWAP_DOUBT = -1.0  # nats that one asset of a pair may tell against its swap
_PAIRS = 8_192  # of assets judged at a time: memory stays small in large universes
_FAR = 1e12  # usual sizes: the square of nothing farther is taken
_SWAP_DEGREES = 2.0  # of freedom of the Student-t: one day tells only so much for or against a swap


class PeerView(NamedTuple):
    """Each asset beside the others on each date; (T, A), NaN where the return is missing or its size not yet known."""

    scaled: Array  # return over the asset's usual size
    expected: Array  # its mean given the other assets' returns of the same day, in the same unit
    size: Array  # the usual size, in units of return
    deviation: Array  # of scaled - expected, usual for the asset and the day, in units of `scaled`
    level: Array  # size of the other assets' moves that day, against their usual one; about 1
    swapped: Array  # log odds over 15 days that it and some other asset are in each other's place; nats

    @property
    def residual(self) -> Array:
        """What the others do not explain, in deviations."""
        return (self.scaled - self.expected) / self.deviation


class PeerRows(NamedTuple):
    """What a view costs most to find, of its first rows: a panel that goes on need not find it again."""

    expected: NDArray[np.floating]  # (N, A) `PeerView.expected`, in double precision
    swapped: NDArray[np.floating]  # (N, A) `PeerView.swapped`


def peer_view(returns: NDArray[np.floating], earlier: PeerRows | None = None) -> PeerView:
    """Compare returns (T, A) with what the other assets' returns of the same day lead to expect.

    z = return / usual size is taken for jointly normal on each day, with exponentially weighted correlations of the
    rows before a block of 21; with P their inverse, E[z_a | others] = z_a - (P z)_a / P_aa. A missing return tells
    nothing: it counts as 0. An asset that did not trade in the block before has no weight with the others.
    Rows of `earlier` are taken as they are.
    """
    returns = np.asarray(returns, dtype=np.float64)
    size = _UsualSize(returns.shape[1]).add(returns)
    scaled = returns / size
    known = np.isfinite(scaled)
    num_rows = -(-len(returns) // _BLOCK) * _BLOCK  # whole blocks: a panel cut short gives the same bits up to the cut
    filled = _padded(np.where(known, scaled, 0.0), num_rows, 0.0)
    middle = _padded(np.nan_to_num(median_of_day(scaled)), num_rows, 0.0)
    sizes, there = _padded(np.where(known, size, np.nan), num_rows, np.nan), _padded(known, num_rows, False)
    expected, deviation, swapped = (np.full(filled.shape, np.nan) for _ in range(3))
    earlier = earlier or PeerRows(expected[:0], expected[:0])
    num_earlier = len(earlier.expected)
    first = max(num_earlier // _BLOCK - 1, 0)  # a block more: sums go back over 15 days
    usual, tally = _UsualSize(returns.shape[1]), _SwapTally(returns.shape[1])
    expected[:num_earlier] = earlier.expected

    def deviations(rows: slice) -> Array:
        left = filled[rows] - expected[rows]
        size_left = usual.add(left)
        return size_left * _others_level(left / size_left)

    deviation[: first * _BLOCK] = deviations(slice(first * _BLOCK))
    blocks = track(range(first, num_rows // _BLOCK), "peers")  # the square of the assets is looked at
    for _, (rows, precision) in zip(blocks, _precisions(filled, there, first), strict=True):
        seen = np.clip(filled[rows], middle[rows] - _MOST, middle[rows] + _MOST)
        num_known = max(num_earlier - rows.start, 0)
        told = np.where(there[rows], seen - seen @ precision / np.diag(precision), np.nan)
        expected[rows][num_known:] = told[num_known:]
        deviation[rows] = deviations(rows)
        swapped[rows] = tally.add(filled[rows], sizes[rows], np.where(there[rows], deviation[rows], np.nan), precision)
    expected, deviation, swapped = expected[: len(returns)], deviation[: len(returns)], swapped[: len(returns)]
    num_others = np.maximum.accumulate(known, axis=0).sum(axis=1, keepdims=True) - 1  # listed so far
    swapped = np.where(known, swapped - np.log(np.maximum(num_others, 1)), np.nan)  # of many, one fits by chance
    swapped[:num_earlier] = earlier.swapped
    return PeerView(scaled, expected, size, deviation, _others_level(scaled), swapped)


class _UsualSize:
    """Trailing mean size as a standard deviation, outliers held back; NaN before 20 values or without any move."""

    def __init__(self, num_assets: int) -> None:
        self.typical, self.held = (
            TrailingMean(num_assets, half_life=_SIZE_HALF_LIFE, min_count=_MIN_ROWS) for _ in range(2)
        )

    def add(self, values: Array) -> Array:
        """The size usual before each of the next rows, (rows, A)."""
        sizes = np.abs(values)
        typical = self.typical.add(np.log(np.where(sizes > 0.0, sizes, np.nan)))  # outliers hardly move it
        limit = np.where(np.isfinite(typical), _OUTLIER * _LOG_NORMAL * np.exp(typical), np.inf)
        size = NORMAL_SCALE * self.held.add(np.where(np.isnan(sizes), np.nan, np.minimum(sizes, limit)))
        return np.where(size > 0.0, size, np.nan)


def _others_level(scaled: Array) -> Array:
    """Mean size of the other assets' values (T, A) of the day as a standard deviation, mixed with a tenth of 1."""
    known = np.isfinite(scaled)
    sizes = np.where(known, np.minimum(np.abs(scaled), _MOST), 0.0)
    num_others = known.sum(axis=1, keepdims=True) - known
    mean = (sizes.sum(axis=1, keepdims=True) - sizes) / np.maximum(num_others, 1)
    return np.where(num_others > 0, _LEAST_LEVEL + (1.0 - _LEAST_LEVEL) * NORMAL_SCALE * mean, 1.0)


def _padded(values: NDArray, num_rows: int, value: float) -> NDArray:
    return np.pad(values, ((0, num_rows - len(values)), (0, 0)), constant_values=value)


def _precisions(scaled: Array, known: NDArray[np.bool_], first_block: int) -> Iterator[tuple[slice, Array]]:
    """Rows of each block from `first_block` on, and the inverse (A, A) of the correlations known before it."""
    num_assets = scaled.shape[1]
    held = np.clip(scaled, -_MOST, _MOST)
    products, weights = np.zeros((num_assets, num_assets)), np.zeros((num_assets, num_assets))
    age = 0.5 ** (np.arange(_BLOCK - 1, -1, -1)[:, None] / _HALF_LIFE)
    is_active = np.ones(num_assets, dtype=bool)
    for first in range(0, len(scaled), _BLOCK):
        rows = slice(first, first + _BLOCK)
        if first >= first_block * _BLOCK:
            yield rows, _inverse(products, weights, is_active)
        block, there = held[rows], known[rows].astype(np.float64)
        products = products * age[0] * 0.5 ** (1.0 / _HALF_LIFE) + (block * age).T @ block
        weights = weights * age[0] * 0.5 ** (1.0 / _HALF_LIFE) + (there * age).T @ there
        is_active = np.asarray(known[rows].any(axis=0))


def _inverse(products: Array, weights: Array, is_active: NDArray[np.bool_]) -> Array:
    """Inverse correlations from weighted sums of products, over the days that each pair has in common."""
    variance = np.diag(products) / np.maximum(np.diag(weights), 1e-12)
    deviation = np.sqrt(np.where(variance > 0.0, variance, 1.0))
    pairs = products / np.outer(deviation, deviation)
    correlation = (pairs + _PRIOR_ROWS * _PRIOR_CORRELATION) / (weights + _PRIOR_ROWS)
    correlation *= (1.0 - _SHRINKAGE) * np.outer(is_active, is_active)
    np.fill_diagonal(correlation, 1.0)
    least = _SHRINKAGE / 2.0
    try:  # pairs have days of their own: as a whole the correlations need not be positive
        np.linalg.cholesky(correlation - least * np.eye(len(correlation)))
        return np.asarray(np.linalg.inv(correlation), dtype=np.float64)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(correlation)
        return np.asarray((vectors / np.maximum(values, least)) @ vectors.T, dtype=np.float64)


class _SwapTally:
    """Log-likelihood ratios of "a and b are in each other's place", summed over the last 15 days.

    With z the day and P the inverse correlations, the pair (a, b) given all others is normal with precision
    Q = P[ab, ab] around a mean that leaves Q^-1 (P z)[ab]. Each of the two is judged by itself, as a Student-t: does
    the other's return fit its place better than its own? Its scale follows from the deviation d_a from all others
    that is usual for the asset and the day: the variance grows by the same factor as from 1 / P_aa to d_a^2. The
    mean of the two sums counts, or the lesser, where one of the two speaks against it: an asset that is strange
    alone does not accuse the others.
    """

    def __init__(self, num_assets: int) -> None:
        firsts = range(0, num_assets, max(_PAIRS // num_assets, 1))
        self.parts = [(slice(first, first + firsts.step), slice(first, None)) for first in firsts]  # pairs (a, b > a)
        shapes = [(min(firsts.step, num_assets - first), num_assets - first) for first in firsts]
        self.before = [np.zeros((2, _SWAP_ROWS - 1, *shape), dtype=np.float32) for shape in shapes]

    def add(self, scaled: Array, size: Array, deviation: Array, precision: Array) -> Array:
        """The largest sum over all others that are there, (days, A), for the next block of days."""
        z = np.clip(scaled, -_MOST, _MOST)
        spread = deviation**2 * np.diag(precision)
        known = tuple(x.astype(np.float32) for x in (z, z @ precision, size, spread, precision))
        gone = np.where(np.isfinite(size), np.float32(0.0), np.float32(-np.inf))
        largest = np.full(z.shape, _SWAP_LEAST, dtype=np.float32)
        for number, (one, other) in enumerate(self.parts):
            total = np.concatenate([self.before[number], _told_by_pairs(one, other, *known)], axis=1)
            self.before[number] = total[:, -(_SWAP_ROWS - 1) :].copy()
            for day in range(1, total.shape[1]):
                total[:, day] += total[:, day - 1]
            sums = total[:, _SWAP_ROWS - 1 :]
            sums[:, 1:] -= total[:, :-_SWAP_ROWS]
            lesser = np.minimum(*sums)
            counts = np.where(lesser > _SWAP_DOUBT, (sums[0] + sums[1]) / 2, lesser)  # (days, a, b)
            counts[:, *np.tril_indices(*counts.shape[1:2], m=counts.shape[2])] = -np.inf
            counts += gone[:, one, None]
            counts += gone[:, None, other]
            largest[:, one] = np.maximum(largest[:, one], counts.max(axis=2))
            largest[:, other] = np.maximum(largest[:, other], counts.max(axis=1))
        return largest.astype(np.float64)


@np.errstate(divide="ignore", invalid="ignore")  # an asset beside itself, not counted
def _told_by_pairs(
    one: slice,
    other: slice,
    z: NDArray[np.floating],
    pull: NDArray[np.floating],
    size: NDArray[np.floating],
    spread: NDArray[np.floating],
    precision: NDArray[np.floating],
) -> NDArray[np.floating]:
    """What each day tells for "a in b's place" and for "b in a's place": (2, days, a, b)."""
    own = np.diag(precision)
    own_a, own_b, shared = own[one, None], own[other], precision[one, other]
    determinant = own_a * own_b - shared**2
    z_a, pull_a, size_a, spread_a = (x[:, one, None] for x in (z, pull, size, spread))  # (days, a, 1)
    z_b, pull_b, size_b, spread_b = (x[:, None, other] for x in (z, pull, size, spread))  # (days, 1, b)
    ratio = size_b / size_a
    return np.stack(
        [
            _told(own_b * pull_a - shared * pull_b, z_b * ratio - z_a, own_b, determinant, spread_a),
            _told(own_a * pull_b - shared * pull_a, z_a / ratio - z_b, own_a, determinant, spread_b),
        ]
    )


def _told(
    left: NDArray[np.floating],
    move: NDArray[np.floating],
    weight: NDArray[np.floating],
    determinant: NDArray[np.floating],
    spread: NDArray[np.floating],
) -> NDArray[np.floating]:
    """Log-likelihood ratio (days, pairs) of an asset's return after its `move` to the other's against before.

    left / determinant is its distance from its mean given all others but the two, weight / determinant the variance.
    """
    left = np.clip(left / determinant, -_FAR, _FAR)
    after = np.clip(left + move, -_FAR, _FAR)
    scale = _SWAP_DEGREES * spread * (weight / determinant)
    told = 0.5 * (_SWAP_DEGREES + 1.0) * np.log((scale + left**2) / (scale + after**2))
    return np.where(np.isfinite(told), told, np.float32(0.0))  # NaN: one of the two is not there
