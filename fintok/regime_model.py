"""What regimes are, on arrays: clusters of points in time, decoded so that they persist."""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from fintok.clustering import kmeans, squared_distances
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


class Path(NamedTuple):
    """Regimes of N days, each from that day and earlier ones."""

    labels: NDArray[np.int64]  # (N,)
    probabilities: NDArray[np.float64]  # (N, K) rows sum to 1


@dataclass(frozen=True, kw_only=True, eq=False)
class RegimeModel:
    """K regimes of points (N, C): days whose last days, and last half spell, look alike.

    A point's average over the last days (half-life one row) beside that over half a usual spell (a year over twice
    `switches_per_year`) is clustered (k-means): the longer a regime is to last, the more of the past it is a regime
    of. A jump-model decoder makes the path persistent (`fintok.persistence.decode_online`).
    """

    centres: NDArray[np.float64]  # (K, 2 C)
    half_spell: float  # rows
    switches_per_year: float  # at most, on average
    penalty: float  # the smallest
    distance_scale: float  # mean squared distance to a centre beyond the nearest one's
    temperature: float

    @classmethod
    def learn(
        cls,
        points: NDArray[np.float32],
        dates: NDArray[np.datetime64],
        market: NDArray[np.floating] | None,
        *,
        num_regimes: int,
        switches_per_year: float,
        seed: int,
    ) -> Self:
        """Learn from points (N, C) on dates (N,), at least `num_regimes` of them.

        Regimes are numbered by the volatility of the market's moves (N,) in them, or where there are none by the
        mean of their centre: 0 is lowest. The penalty is the smallest whose path switches at most
        `switches_per_year` times per calendar year.
        """
        num_years = years_spanned(dates)
        half_spell = rows_per_year(dates) / max(switches_per_year, 1.0 / num_years) / 2.0
        features = _features(points, half_spell)
        clusters = kmeans(features, num_regimes, np.random.default_rng(seed))
        distances = squared_distances(features, clusters.centres)
        scale = float((distances - distances.min(axis=1, keepdims=True)).mean())
        smallest = max(1e-3 * scale, 1e-12)  # from zero the penalty could not adapt
        penalty = max(penalty_for_switches(distances, switches_per_year * num_years), smallest)
        allowance = allowed_switches(dates, switches_per_year)
        if market is None:
            order = np.argsort(clusters.centres.mean(axis=1), kind="stable")
        else:
            path = decode_online(distances, penalty, allowance).labels
            order = _calm_to_stressed(path, clusters.labels, market, num_regimes)
        distances = distances[:, order]
        decoded = decode_online(distances, penalty, allowance)
        hindsight = decode_with_hindsight(distances, float(np.median(decoded.penalties)))
        return cls(
            centres=clusters.centres[order],
            half_spell=half_spell,
            switches_per_year=switches_per_year,
            penalty=penalty,
            distance_scale=scale,
            temperature=probability_temperature(_costs(decoded, scale), hindsight),
        )

    @property
    def num_regimes(self) -> int:
        return len(self.centres)

    def path(self, points: NDArray[np.float32], dates: NDArray[np.datetime64]) -> Path:
        """Causal regimes and probabilities of points (N, C), which follow each other on dates (N,)."""
        if len(points) == 0:
            return Path(np.empty(0, np.int64), np.empty((0, self.num_regimes)))
        decoded = self._decode(points, dates)
        likelihood = np.exp(-_costs(decoded, self.distance_scale) / self.temperature)
        return Path(decoded.labels, likelihood / likelihood.sum(axis=1, keepdims=True))

    def hindsight(self, points: NDArray[np.float32], dates: NDArray[np.datetime64]) -> NDArray[np.int64]:
        """Regimes (N,) in hindsight of all points (Viterbi). Looks ahead by nature."""
        if len(points) == 0:
            return np.empty(0, np.int64)
        penalties = self._decode(points, dates).penalties
        return decode_with_hindsight(self._distances(points), float(np.median(penalties)))

    def _decode(self, points: NDArray[np.float32], dates: NDArray[np.datetime64]) -> Decoded:
        allowance = allowed_switches(dates, self.switches_per_year)
        return decode_online(self._distances(points), self.penalty, allowance)

    def _distances(self, points: NDArray[np.float32]) -> NDArray[np.float64]:
        return squared_distances(_features(points, self.half_spell), self.centres)


def _features(points: NDArray[np.float32], half_spell: float) -> NDArray[np.float32]:
    """(N, C) -> what is clustered (N, 2 C): the last days, and half a spell, as they were on each day."""
    return np.concatenate([causal_average(points, 1.0), causal_average(points, half_spell)], axis=1)


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
