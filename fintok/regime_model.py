"""What regimes are, on arrays: clusters of days, decoded so that they persist."""

from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from fintok.clustering import kmeans, squared_distances
from fintok.expected_size import ExpectedSize
from fintok.hellinger import causal_average
from fintok.persistence import (
    Decoded,
    allowed_switches,
    decode_online,
    decode_with_hindsight,
    penalty_for_switches,
    probability_temperature,
)
from fintok.signature import rows_per_year, years_spanned

_WHITENING = 0.75  # 0 leaves the components their spread, 1 makes it equal
_SIZE_WEIGHT = 3.0  # spread of the next day's size, if it were known, in spreads of all else
_MAX_STEPS = 100  # of an update


class Days(NamedTuple):
    """What regimes are read from: N days that follow each other."""

    dates: NDArray[np.datetime64]  # (N,)
    points: NDArray[np.float32]  # (N, C)
    predictors: NDArray[np.float32] | None = None  # (N, P) of the size of the next day's moves (`ExpectedSize`)

    def of(self, rows: slice) -> "Days":
        """Some of the days."""
        predictors = None if self.predictors is None else self.predictors[rows]
        return Days(self.dates[rows], self.points[rows], predictors)


class Path(NamedTuple):
    """Regimes of N days, each from that day and earlier ones."""

    labels: NDArray[np.int64]  # (N,)
    probabilities: NDArray[np.float64]  # (N, K) rows sum to 1


@dataclass(frozen=True, kw_only=True, eq=False)
class RegimeModel:
    """K regimes: days whose points (N, C) look alike, of the last days and of the last half spell, and after which
    moves of the same size are to be expected.

    Points are seen along their first M principal components, most of their spread taken off, so that the widest does
    not decide alone. M is K - 1, as many as K centres span (Ding and He, 2004), and K + 1 from four regimes on: two
    more hold the centres where they are when rows are added. The average over the last days (half-life one row) beside
    that over half a usual spell (a year over twice `switches_per_year`) is clustered (k-means): the longer a regime is
    to last, the more of the past it is a regime of. Beside it stands the expected size of the next day's moves
    (`ExpectedSize`): if it were known, it would have three times the spread of all that, and it has less as it is
    foreseen less. A jump-model decoder makes the path persistent (`fintok.persistence.decode_online`).
    """

    mean: NDArray[np.float64]  # (C,) of the points
    axes: NDArray[np.float64]  # (M, C) principal components over their spread to the power of `_WHITENING`
    size: ExpectedSize | None  # None where days have no predictors
    centres: NDArray[np.float64]  # (K, 2 M), or 2 M + 1 with an expected size
    counts: NDArray[np.int64]  # (K,) days that a centre is the mean of
    half_spell: float  # rows
    switches_per_year: float  # at most, on average
    penalty: float  # the smallest
    distance_scale: float  # mean squared distance to a centre beyond the nearest one's
    temperature: float

    @classmethod
    def learn(
        cls,
        days: Days,
        market: NDArray[np.floating] | None,
        *,
        num_regimes: int,
        switches_per_year: float,
        seed: int,
    ) -> Self:
        """Learn from N days, at least `num_regimes` of them.

        Regimes are numbered by the volatility of the market's moves (N,) in them, or where there are none by the
        mean of their centre: 0 is lowest. The penalty is the smallest whose path switches at most
        `switches_per_year` times per calendar year.
        """
        points, dates = days.points, days.dates
        num_years = years_spanned(dates)
        half_spell = rows_per_year(dates) / max(switches_per_year, 1.0 / num_years) / 2.0
        mean, axes = _principal_axes(points, num_regimes - 1 if num_regimes < 4 else num_regimes + 1)
        seen = _averages(points, mean, axes, half_spell)
        size_spread = _SIZE_WEIGHT * float(np.sqrt(seen.var(axis=0, dtype=np.float64).sum()))
        size = None if days.predictors is None else ExpectedSize.learn(days.predictors, size_spread)
        features = _with_size(seen, days, size)
        clusters = kmeans(features, num_regimes, np.random.default_rng(seed))
        decoder, path = _learn_decoder(squared_distances(features, clusters.centres), dates, switches_per_year)
        if market is None:
            levels = points.mean(axis=1)
            means = [levels[clusters.labels == cluster].mean() for cluster in range(num_regimes)]
            order = np.argsort(means, kind="stable")
        else:
            order = _calm_to_stressed(path, clusters.labels, market, num_regimes)
        return cls(
            mean=mean,
            axes=axes,
            size=size,
            centres=clusters.centres[order],
            counts=np.bincount(clusters.labels, minlength=num_regimes)[order],
            half_spell=half_spell,
            switches_per_year=switches_per_year,
            **decoder,
        )

    def update(self, days: Days, num_known: int) -> Self:
        """Learn on from N days, of which the first `num_known` are learned from already.

        A new day joins the regime with the nearest centre, whose centre becomes the mean of its days, old and new
        (MacQueen, 1967, until no new day changes its regime): the regimes and their numbers stay, and so does the
        decoder. A penalty learned anew can jump severalfold, and old days would change their regime with it.
        """
        new = self.features(days)[num_known:].astype(np.float64)
        centres, counts, labels = self.centres, self.counts, np.full(len(new), -1)
        for _ in range(_MAX_STEPS):
            nearest = squared_distances(new, centres).argmin(axis=1)
            if np.array_equal(nearest, labels):
                break
            labels = nearest
            members = labels == np.arange(self.num_regimes)[:, None]  # (K, new)
            counts = self.counts + members.sum(axis=1)
            centres = (self.counts[:, None] * self.centres + members @ new) / np.maximum(counts, 1)[:, None]
        return replace(self, centres=centres, counts=counts)

    @property
    def num_regimes(self) -> int:
        return len(self.centres)

    def path(self, days: Days) -> Path:
        """Causal regimes and probabilities of N days."""
        if len(days.points) == 0:
            return Path(np.empty(0, np.int64), np.empty((0, self.num_regimes)))
        decoded = self._decode(days)
        likelihood = np.exp(-_costs(decoded, self.distance_scale) / self.temperature)
        return Path(decoded.labels, likelihood / likelihood.sum(axis=1, keepdims=True))

    def hindsight(self, days: Days) -> NDArray[np.int64]:
        """Regimes (N,) in hindsight of all days (Viterbi). Looks ahead by nature."""
        if len(days.points) == 0:
            return np.empty(0, np.int64)
        return decode_with_hindsight(self._distances(days), float(np.median(self._decode(days).penalties)))

    def features(self, days: Days) -> NDArray[np.float32]:
        """What is clustered (N, 2 M) or (N, 2 M + 1): the last days and half a spell, as they were on each day, and
        the expected size."""
        return _with_size(_averages(days.points, self.mean, self.axes, self.half_spell), days, self.size)

    def _decode(self, days: Days) -> Decoded:
        allowance = allowed_switches(days.dates, self.switches_per_year)
        return decode_online(self._distances(days), self.penalty, allowance)

    def _distances(self, days: Days) -> NDArray[np.float64]:
        return squared_distances(self.features(days), self.centres)


def _principal_axes(points: NDArray[np.float32], num_axes: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (C,) and scaled axes (M, C) of points (N, C); M is at most C, an axis without any spread is 0."""
    mean = points.mean(axis=0, dtype=np.float64)
    centred = points - mean
    variances, axes = np.linalg.eigh(centred.T @ centred / len(points))
    variances, axes = variances[::-1][:num_axes], axes.T[::-1][:num_axes]
    spread = np.sqrt(np.maximum(variances, 0.0))
    is_flat = spread <= 1e-6 * spread[0]
    return mean, np.where(is_flat[:, None], 0.0, axes / np.where(is_flat, 1.0, spread)[:, None] ** _WHITENING)


def _averages(
    points: NDArray[np.float32], mean: NDArray[np.float64], axes: NDArray[np.float64], half_spell: float
) -> NDArray[np.float32]:
    """Points (N, C) along the axes, (N, 2 M): the average of the last days beside that of half a spell.

    Products are summed row by row: a row's bits do not depend on the rows after it, as in `squared_distances`.
    """
    centred = points - mean
    along = np.stack([(centred * axis).sum(axis=1) for axis in axes], axis=1).astype(np.float32)
    return np.concatenate([causal_average(along, 1.0), causal_average(along, half_spell)], axis=1)


def _with_size(averages: NDArray[np.float32], days: Days, size: ExpectedSize | None) -> NDArray[np.float32]:
    if size is None or days.predictors is None:
        return averages
    return np.concatenate([averages, size.of(days.predictors)[:, None]], axis=1)


def _learn_decoder(
    distances: NDArray[np.float64], dates: NDArray[np.datetime64], switches_per_year: float
) -> tuple[dict[str, float], NDArray[np.int64]]:
    """What a model's decoder learns from the distances (N, K) of its training rows, and the path (N,) on them."""
    scale = float((distances - distances.min(axis=1, keepdims=True)).mean())
    smallest = max(1e-3 * scale, 1e-12)  # from zero the penalty could not adapt
    penalty = max(penalty_for_switches(distances, switches_per_year * years_spanned(dates)), smallest)
    decoded = decode_online(distances, penalty, allowed_switches(dates, switches_per_year))
    hindsight = decode_with_hindsight(distances, float(np.median(decoded.penalties)))
    temperature = probability_temperature(_costs(decoded, scale), hindsight)
    return {"penalty": penalty, "distance_scale": scale, "temperature": temperature}, decoded.labels


def _costs(decoded: Decoded, distance_scale: float) -> NDArray[np.float64]:
    """Costs in units of the day's penalty and a usual distance; beyond one unit nothing more is lost."""
    unit = np.maximum(decoded.penalties + distance_scale, 1e-12)
    return np.minimum(decoded.values / unit[:, None], 1.0)


def _calm_to_stressed(
    path: NDArray[np.integer], nearest: NDArray[np.integer], market: NDArray[np.floating], num_regimes: int
) -> NDArray[np.intp]:
    """Clusters by volatility on the path; by nearest centre for one that it visits under 20 days."""
    volatilities = []
    for cluster in range(num_regimes):
        days = path == cluster if (path == cluster).sum() >= 20 else nearest == cluster
        moves = market[days & np.isfinite(market)]
        volatilities.append(moves.std() if len(moves) > 1 else 0.0)
    return np.argsort(volatilities, kind="stable")
