"""The usual detectors of strange market data, as scores (T, A): higher = stranger, NaN where a return is missing.

Each learns what it needs from a panel of training rows, and then scores any panel of the same assets. All are
causal: a score at t uses rows up to t.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.evaluate.drawn import drawn
from fintok.evaluate.market import correlation
from fintok.panel import Panel
from fintok.trailing import STILL, trailing_moments, trailing_sum

Array = NDArray[np.float64]
Detector = Callable[[Panel], Array]

WARM_UP = 600  # rows that a detector needs to see before those it is asked about: ten of its longest half-lives
HALF_LIFE = 60.0  # rows, of every trailing scale
FACTORS = 5  # at most; half as many as there are assets
WINDOW = 60  # rows of the Hampel filter
MAX_FITTED = 20_000  # asset-days that forests and the like learn from, drawn at random
_SORTED_AT_ONCE = 4_000_000  # numbers in the windows of the Hampel filter


class Rival(NamedTuple):
    """A detector that learns from training rows."""

    fit: Callable[[Panel], Detector]
    package: str | None = None  # what it needs, as it is imported
    field: str | None = None  # the column that a panel must have


def scaled(values: Array) -> Array:
    """Values (T, A) over their trailing standard deviation."""
    past = trailing_moments(values, half_life=HALF_LIFE, min_count=20)
    return values / np.where(past.deviation > 0.0, past.deviation, np.nan)


def _ready(detector: Detector) -> Rival:
    """A detector that has nothing to learn."""
    return Rival(lambda training: detector)


def ewma_z(panel: Panel) -> Array:
    """Size of the return in trailing standard deviations."""
    return np.abs(scaled(panel.returns))


def hampel(panel: Panel) -> Array:
    """Distance from the median of the 60 rows before, in their median absolute deviations (Hampel, 1974)."""
    padded = np.concatenate([np.full((WINDOW, panel.num_assets), np.nan), panel.returns[:-1]])
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=0)  # (T, A, 60)
    answer = np.full(panel.returns.shape, np.nan)
    step = max(1, _SORTED_AT_ONCE // (WINDOW * max(panel.num_assets, 1)))
    for first in range(0, panel.num_days, step):
        past, now = windows[first : first + step], panel.returns[first : first + step]
        median = _median(past)
        spread = 1.4826 * _median(np.abs(past - median[..., None]))
        answer[first : first + step] = np.abs(now - median) / np.where(spread > 0.0, spread, np.nan)
    return answer


def _median(values: Array) -> Array:
    """Median over the last axis, leaving NaN out; NaN for fewer than 20 values."""
    ordered = np.sort(values, axis=-1)  # NaN last
    count = np.isfinite(ordered).sum(axis=-1, keepdims=True)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, values.shape[-1] - 1)
    middle = np.take_along_axis(ordered, low, axis=-1) + np.take_along_axis(ordered, high, axis=-1)
    return np.where(count >= 20, 0.5 * middle, np.nan)[..., 0]


def _correlation(training: Panel) -> Array:
    """Of the training rows, (A, A)."""
    z = scaled(training.returns)
    return correlation(np.nan_to_num(np.clip(z, -8.0, 8.0)), np.isfinite(z))


def pca_residual(training: Panel) -> Detector:
    """Signed residual to five factors of the training rows, over its trailing standard deviation."""
    count = min(FACTORS, training.num_assets // 2)
    factors = np.linalg.eigh(_correlation(training))[1][:, training.num_assets - count :]

    def detect(panel: Panel) -> Array:
        z = scaled(panel.returns)
        filled = np.nan_to_num(np.clip(z, -50.0, 50.0))
        return scaled(np.where(np.isfinite(z), filled - filled @ factors @ factors.T, np.nan))

    return detect


def pca_size(training: Panel) -> Detector:
    """Size of the PCA residual of the day."""
    residual = pca_residual(training)
    return lambda panel: np.abs(residual(panel))


def pca_energy(training: Panel) -> Detector:
    """Ten days of squared PCA residuals."""
    residual = pca_residual(training)
    return lambda panel: trailing_sum(residual(panel) ** 2, rows=10, min_count=5)


def conditional_mahalanobis(training: Panel) -> Detector:
    """Distance from the mean given all other assets (Gaussian, correlations of the training rows)."""
    precision = np.linalg.inv(_correlation(training))

    def detect(panel: Panel) -> Array:
        z = scaled(panel.returns)
        filled = np.nan_to_num(np.clip(z, -50.0, 50.0))
        return np.abs(scaled(np.where(np.isfinite(z), filled @ precision / np.diag(precision), np.nan)))

    return detect


def turbulence(training: Panel) -> Detector:
    """Mahalanobis distance of the whole day an asset observed (Kritzman and Li, 2010), the same for every asset."""
    precision = np.linalg.inv(_correlation(training))

    def detect(panel: Panel) -> Array:
        z = np.nan_to_num(np.clip(scaled(panel.returns), -50.0, 50.0))
        day = ((z @ precision) * z).sum(axis=1) / np.maximum(np.isfinite(panel.returns).sum(axis=1), 1)
        return np.where(np.isfinite(panel.returns), day[:, None], np.nan)

    return detect


def stale_run(panel: Panel) -> Array:
    """Days in a row without a move; those without a return neither break nor lengthen a run."""
    observed, unchanged = np.isfinite(panel.returns), np.abs(panel.returns) < STILL
    still = np.cumsum(unchanged, axis=0)
    run = still - np.maximum.accumulate(np.where(observed & ~unchanged, still, 0), axis=0)
    return np.where(observed, run, np.nan)


def volume_z(panel: Panel) -> Array:
    """Size of the change of log volume against its trailing mean, in trailing standard deviations."""
    volume = np.log(panel.fields["volume"].astype(np.float64) + 1.0)
    past = trailing_moments(volume, half_life=HALF_LIFE, min_count=20)
    z = np.abs(volume - past.mean) / np.where(past.deviation > 0.0, past.deviation, np.nan)
    return np.where(np.isfinite(panel.returns), np.nan_to_num(z), np.nan)


def _features(training: Panel) -> Detector:
    """(T, A, 8) of a day and its last weeks, for detectors that know no time."""
    residual_of = pca_residual(training)

    def describe(panel: Panel) -> Array:
        z, residual = scaled(panel.returns), residual_of(panel)
        columns = [
            np.abs(z),
            np.abs(residual),
            *(np.log(trailing_sum(x**2, rows=rows, min_count=2) + 1e-3) for x in (z, residual) for rows in (5, 20)),
            np.abs(trailing_sum(residual, rows=10, min_count=5)),
            stale_run(panel),
        ]
        return np.stack(columns, axis=-1)

    return describe


def _fitted(training: Panel, fit: Callable[[Array], Callable[[Array], Array]]) -> Detector:
    """A judge of features (N, 8) -> (N,), as a detector."""
    describe = _features(training)
    features = describe(training)
    known = features[np.isfinite(features).all(axis=-1)]
    judge = fit(drawn(known, MAX_FITTED))

    def detect(panel: Panel) -> Array:
        features = describe(panel)
        is_known = np.isfinite(features).all(axis=-1)
        answer = np.full(is_known.shape, np.nan)
        answer[is_known] = judge(features[is_known])
        return answer

    return detect


def isolation_forest(training: Panel) -> Detector:
    """scikit-learn's, a hundred trees (Liu et al., 2008)."""
    from sklearn.ensemble import IsolationForest

    def fit(features: Array) -> Callable[[Array], Array]:
        forest = IsolationForest(n_estimators=100, random_state=0).fit(features)
        return lambda features: -forest.score_samples(features)

    return _fitted(training, fit)


def ecod(training: Panel) -> Detector:
    """ECOD (Li et al., 2022): the sum over features of -log of the smaller empirical tail probability.

    Judged against the training rows. PyOD's own sorts them anew with whatever it judges, so that a score would
    depend on its neighbours.
    """

    def fit(features: Array) -> Callable[[Array], Array]:
        columns, count = np.sort(features, axis=0).T, len(features)

        def judge(asked: Array) -> Array:
            total = np.zeros(len(asked))
            for column, values in zip(columns, asked.T, strict=True):
                below = np.searchsorted(column, values, side="right")
                above = count - np.searchsorted(column, values, side="left")
                total -= np.log((np.minimum(below, above) + 1.0) / (count + 1.0))
            return total

        return judge

    return _fitted(training, fit)


RIVALS: Mapping[str, Rival] = {
    "EWMA z": _ready(ewma_z),
    "Hampel": _ready(hampel),
    "PCA residual": Rival(pca_size),
    "PCA residual, ten days": Rival(pca_energy),
    "conditional Mahalanobis": Rival(conditional_mahalanobis),
    "turbulence": Rival(turbulence),
    "stale run": _ready(stale_run),
    "volume z": Rival(lambda training: volume_z, field="volume"),
    "isolation forest": Rival(isolation_forest, package="sklearn"),
    "ECOD": Rival(ecod),
}
