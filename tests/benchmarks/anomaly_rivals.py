"""The usual detectors of strange market data, as scores (T, A), higher = stranger. All are causal.

What is fitted is fitted to the rows before `cut`. Missing returns have no score.
"""

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from fintok.panel import Panel
from fintok.trailing import trailing_moments, trailing_sum

Array = NDArray[np.float64]

HALF_LIFE = 60.0  # days, of every trailing scale
FACTORS = 5
SHRINKAGE = 0.1  # of correlations towards none
WINDOW = 60  # days of the Hampel filter
MAX_FITTED = 20_000  # asset-days that forests and the like are fitted to, evenly spaced


def scaled(returns: Array) -> Array:
    """Returns over their trailing standard deviation."""
    past = trailing_moments(returns, half_life=HALF_LIFE, min_count=20)
    return returns / np.where(past.deviation > 0.0, past.deviation, np.nan)


def ewma_z(panel: Panel, cut: int) -> Array:
    return np.abs(scaled(panel.returns))


def hampel(panel: Panel, cut: int) -> Array:
    """Distance from the median of the 60 days before, in their median absolute deviations."""
    padded = np.concatenate([np.full((WINDOW, panel.num_assets), np.nan), panel.returns[:-1]])
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=0)
    answer = np.full(panel.returns.shape, np.nan)
    for asset in range(panel.num_assets):  # one asset at a time: a median copies its windows
        past = windows[:, asset]
        enough = np.isfinite(past).sum(axis=1) >= 20
        median = np.nanmedian(past[enough], axis=1)
        spread = 1.4826 * np.nanmedian(np.abs(past[enough] - median[:, None]), axis=1)
        size = np.abs(panel.returns[enough, asset] - median)
        answer[enough, asset] = size / np.where(spread > 0.0, spread, np.nan)
    return answer


def _correlation(z: Array, cut: int) -> Array:
    known = np.nan_to_num(np.clip(z[:cut], -8.0, 8.0))
    size = np.sqrt((known**2).mean(axis=0)) + 1e-9
    correlation = (known / size).T @ (known / size) / len(known)
    return (1.0 - SHRINKAGE) * correlation + SHRINKAGE * np.eye(len(size))


def pca_residual(panel: Panel, cut: int) -> Array:
    """Signed residual to five factors of the training rows, over its trailing standard deviation."""
    z = scaled(panel.returns)
    factors = np.linalg.eigh(_correlation(z, cut))[1][:, -FACTORS:]
    filled = np.nan_to_num(np.clip(z, -50.0, 50.0))
    return scaled(np.where(np.isfinite(z), filled - filled @ factors @ factors.T, np.nan))


def pca_energy(panel: Panel, cut: int) -> Array:
    """Ten days of squared PCA residuals."""
    return trailing_sum(pca_residual(panel, cut) ** 2, rows=10, min_count=5)


def conditional_mahalanobis(panel: Panel, cut: int) -> Array:
    """Distance from the mean given all other assets (Gaussian, correlations of the training rows)."""
    z = scaled(panel.returns)
    precision = np.linalg.inv(_correlation(z, cut))
    filled = np.nan_to_num(np.clip(z, -50.0, 50.0))
    return np.abs(scaled(np.where(np.isfinite(z), filled @ precision / np.diag(precision), np.nan)))


def turbulence(panel: Panel, cut: int) -> Array:
    """Mahalanobis distance of the whole day (Kritzman and Li, 2010), the same for every asset."""
    z = np.nan_to_num(np.clip(scaled(panel.returns), -50.0, 50.0))
    precision = np.linalg.inv(_correlation(z, cut))
    day = np.einsum("ta,ab,tb->t", z, precision, z)
    return np.where(np.isfinite(panel.returns), day[:, None], np.nan)


def stale_run(panel: Panel, cut: int) -> Array:
    """Days in a row without a move."""
    unchanged = np.abs(panel.returns) < 1e-12
    still = np.cumsum(unchanged, axis=0)
    run = still - np.maximum.accumulate(np.where(unchanged, 0, still), axis=0)
    return np.where(np.isfinite(panel.returns), run, np.nan)


def _features(panel: Panel, cut: int) -> Array:
    """(T, A, 8) of a day and its last weeks, for detectors that know no time."""
    z, residual = scaled(panel.returns), pca_residual(panel, cut)
    columns = [
        np.abs(z),
        np.abs(residual),
        *(np.log(trailing_sum(x**2, rows=rows, min_count=2) + 1e-3) for x in (z, residual) for rows in (5, 20)),
        np.abs(trailing_sum(residual, rows=10, min_count=5)),
        stale_run(panel, cut),
    ]
    return np.stack(columns, axis=-1)


def _fitted(panel: Panel, cut: int, fit: Callable[[Array], Callable[[Array], Array]]) -> Array:
    features = _features(panel, cut)
    known = np.isfinite(features).all(axis=-1)
    training = features[:cut][known[:cut]]
    judge = fit(training[:: max(1, len(training) // MAX_FITTED)])
    answer = np.full(known.shape, np.nan)
    answer[known] = judge(features[known])
    return answer


def isolation_forest(panel: Panel, cut: int) -> Array:
    from sklearn.ensemble import IsolationForest

    def fit(training: Array) -> Callable[[Array], Array]:
        forest = IsolationForest(n_estimators=100, random_state=0).fit(training)
        return lambda features: -forest.score_samples(features)

    return _fitted(panel, cut, fit)


def ecod(panel: Panel, cut: int) -> Array:
    """ECOD (Li et al., 2022): a sum of log tail probabilities; PyOD's, judged against the training rows."""
    from pyod.models.ecod import ECOD

    def fit(training: Array) -> Callable[[Array], Array]:
        detector = ECOD().fit(training)
        parts = 2 * len(training)  # its decision sorts training and judged rows together
        return lambda x: np.concatenate([detector.decision_function(part) for part in _cut(x, parts)])

    return _fitted(panel, cut, fit)


def _cut(values: Array, rows: int) -> list[Array]:
    return [values[first : first + rows] for first in range(0, len(values), rows)]


RIVALS: dict[str, Callable[[Panel, int], Array]] = {
    "EWMA z": ewma_z,
    "Hampel": hampel,
    "PCA residual": lambda panel, cut: np.abs(pca_residual(panel, cut)),
    "PCA residual, ten days": pca_energy,
    "conditional Mahalanobis": conditional_mahalanobis,
    "turbulence": turbulence,
    "stale run": stale_run,
    **({"isolation forest": isolation_forest} if find_spec("sklearn") else {}),
    **({"ECOD": ecod} if find_spec("pyod") else {}),
}
