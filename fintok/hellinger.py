"""Forecasts as points whose distances mean something: square roots, smoothed over time if need be."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Roots(NamedTuple):
    rows: NDArray[np.bool_]  # (T,) the days with a forecast
    values: NDArray[np.float32]  # (rows.sum(), C) square roots of their forecasts


def forecast_roots(forecast: NDArray[np.floating]) -> Roots:
    """Square roots of the forecasts (T, C): their distances are Hellinger's. Rows with NaN are left out."""
    rows: NDArray[np.bool_] = np.isfinite(forecast).all(axis=1)  # pyright: ignore[reportAssignmentType]
    return Roots(rows, np.sqrt(forecast[rows], dtype=np.float32))


def causal_average(values: NDArray[np.float32], half_life: float) -> NDArray[np.float32]:
    """Exponential average over rows (N, C) with weights that halve every `half_life` rows; 0 changes nothing.

    Weights are divided by their sum so far, so the first rows are not drawn to zero.
    """
    from scipy.signal import lfilter

    if half_life == 0 or len(values) == 0:
        return values
    keep = np.float32(0.5 ** (1.0 / half_life))
    step, recursion = np.array([1 - keep]), np.array([1, -keep], dtype=np.float32)
    weighted = np.asarray(lfilter(step, recursion, values, axis=0))
    weight = 1.0 - np.float64(keep) ** np.arange(1, len(values) + 1)
    return (weighted / weight[:, None]).astype(np.float32)
