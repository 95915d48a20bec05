"""What a regime looks like in numbers, and the name that these numbers give it."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

_YEAR = np.timedelta64(365, "D") + np.timedelta64(6, "h")
_LADDERS = {
    1: ("all weather",),
    2: ("calm", "stressed"),
    3: ("calm", "normal", "stressed"),
    4: ("calm", "normal", "elevated", "stressed"),
    5: ("calm", "quiet", "normal", "elevated", "stressed"),
    6: ("calm", "quiet", "normal", "elevated", "high", "stressed"),
}
_ROUNDING = 1e-9  # of the largest return: a deviation below it is none
_CLEAR_TREND = 2.5  # |mean| in standard errors from which the mean return belongs in the name


def years_spanned(dates: NDArray[np.datetime64]) -> float:
    """Calendar years from the first date to the last; at least one day, so that rates stay finite."""
    if len(dates) < 2:
        return 1.0 / 365.25
    return max(float((dates[-1] - dates[0]) / _YEAR), 1.0 / 365.25)


def rows_per_year(dates: NDArray[np.datetime64]) -> float:
    """Rows per calendar year: some 252 for trading days, 365 for seven-day weeks."""
    return max((len(dates) - 1) / years_spanned(dates), 1.0)


def row_noun(dates: NDArray[np.datetime64]) -> str:
    """What a row of these dates is, by their usual step: "minute", "hour", "day", "week", "month", "quarter", "year",
    or else "row"."""
    if len(dates) < 2:
        return "row"
    days = float(np.median(np.diff(dates)) / np.timedelta64(1, "D"))
    usual = {"minute": 1 / 1440, "hour": 1 / 24, "day": 1, "week": 7, "month": 30.44, "quarter": 91.3, "year": 365.25}
    return next((noun for noun, length in usual.items() if abs(days / length - 1.0) < 0.1), "row")


def market_return(returns: NDArray[np.floating]) -> NDArray[np.float64]:
    """Equal-weight mean return of the assets observed at each date: (T, A) -> (T,); NaN where none is."""
    observed = np.isfinite(returns)
    count = observed.sum(axis=1)
    total = np.where(observed, returns, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def transition_matrix(labels: NDArray[np.integer], num_regimes: int) -> NDArray[np.float64]:
    """Share of days on which regime i is followed by j: (K, K), rows sum to 1; rows without a label (-1) are left out.

    The row of a regime that was never left nor kept (no day before another labelled day) is NaN.
    """
    labels = labels[labels >= 0]
    counts = np.zeros((num_regimes, num_regimes))
    np.add.at(counts, (labels[:-1], labels[1:]), 1.0)
    total = counts.sum(axis=1, keepdims=True)
    return counts / np.where(total > 0.0, total, np.nan)


def spell_lengths(labels: NDArray[np.integer]) -> tuple[NDArray[np.integer], NDArray[np.intp]]:
    """Run-length code of a label path: (regime of each spell, its number of rows).

    Rows without a label (-1), as before the first forecast and on days when nothing is observed, are left out and do
    not end a spell.
    """
    labels = labels[labels >= 0]
    starts = np.flatnonzero(np.diff(labels, prepend=labels[:1] - 1))
    return labels[starts], np.diff(starts, append=len(labels))


def mean_durations(labels: NDArray[np.integer], num_regimes: int) -> NDArray[np.float64]:
    """Mean spell length in rows (days for daily data) of each regime: (K,); NaN for one never visited."""
    regimes, lengths = spell_lengths(labels)
    spells = np.bincount(regimes, minlength=num_regimes)
    rows = np.bincount(regimes, weights=lengths, minlength=num_regimes)
    return np.where(spells > 0, rows / np.maximum(spells, 1), np.nan)


def average_correlation(returns: NDArray[np.floating]) -> float:
    """Average pairwise correlation of the assets over these rows (T, A); NaN with too little to go by.

    Each asset is standardised over its own observed rows; on a day with n of them the mean product over the
    n(n-1) ordered pairs is ((sum z)^2 - sum z^2) / (n(n-1)). Days are weighted by their pairs. An asset with the same
    return on all rows has none. No A x A matrix.
    """
    observed = np.isfinite(returns)
    count = observed.sum(axis=0)
    usable = count >= 10
    if usable.sum() < 2:
        return float("nan")
    observed, count = observed[:, usable], count[usable]
    values = np.where(observed, returns[:, usable], 0.0)
    centred = np.where(observed, values - values.sum(axis=0) / count, 0.0)
    scale = np.sqrt((centred**2).sum(axis=0) / count)
    has_moved = scale > _ROUNDING * np.abs(values).max(axis=0)
    standard = centred / np.where(has_moved, scale, np.inf)
    listed = (observed & has_moved).sum(axis=1)
    products = standard.sum(axis=1) ** 2 - (standard**2).sum(axis=1)
    pairs = listed * (listed - 1.0)
    return float(products.sum() / pairs.sum()) if pairs.sum() > 0 else float("nan")


def cross_variance(returns: NDArray[np.floating]) -> NDArray[np.float64]:
    """Variance over the assets observed at each date: (T, A) -> (T,); NaN for fewer than two."""
    observed = np.isfinite(returns)
    count = observed.sum(axis=1)
    values = np.where(observed, returns, 0.0)
    mean = values.sum(axis=1) / np.maximum(count, 1)
    square = np.where(observed, (values - mean[:, None]) ** 2, 0.0).sum(axis=1)
    return np.where(count >= 2, square / np.maximum(count - 1.0, 1.0), np.nan)


def _dispersion(returns: NDArray[np.floating]) -> float:
    """Cross-sectional standard deviation of the returns of a day, averaged over the days with two assets."""
    variance = cross_variance(returns)
    known = variance[np.isfinite(variance)]
    return float(np.sqrt(known).mean()) if len(known) else float("nan")


def signature_table(
    labels: NDArray[np.integer],
    names: tuple[str, ...],
    dates: NDArray[np.datetime64],
    market: NDArray[np.floating],
    returns: NDArray[np.floating] | None,
) -> "pd.DataFrame":
    """One row per regime, calmest first; the index is the regime number.

    Columns: name; days; share (of labelled days); volatility and mean (annualised, of the market return (T,), by the
    number of rows with one); correlation (average pairwise) and dispersion (cross-sectional standard deviation,
    annualised), NaN when `returns` (T, A) is None; mean_duration in labelled rows; switches_per_year (entries per
    calendar year of the labelled rows).
    """
    import pandas as pd

    num_regimes = len(names)
    per_year = rows_per_year(dates[np.isfinite(market)])
    regimes, _ = spell_lengths(labels)
    entries = np.bincount(regimes[1:], minlength=num_regimes) / years_spanned(dates[labels >= 0])
    durations = mean_durations(labels, num_regimes)
    labelled = max(int((labels >= 0).sum()), 1)
    rows = []
    for regime, name in enumerate(names):
        days = labels == regime
        moves = market[days & np.isfinite(market)]
        volatility = float(moves.std(ddof=1)) if len(moves) > 1 else float("nan")
        mean = float(moves.mean()) if len(moves) else float("nan")
        rows.append(
            {
                "name": name,
                "days": int(days.sum()),
                "share": days.sum() / labelled,
                "volatility": volatility * np.sqrt(per_year),
                "mean": mean * per_year,
                "correlation": average_correlation(returns[days]) if returns is not None else np.nan,
                "dispersion": _dispersion(returns[days]) * np.sqrt(per_year) if returns is not None else np.nan,
                "mean_duration": durations[regime],
                "switches_per_year": entries[regime],
            }
        )
    return pd.DataFrame(rows).rename_axis("regime")


def regime_names(labels: NDArray[np.integer], market: NDArray[np.floating] | None, num_regimes: int) -> tuple[str, ...]:
    """Unique names for regimes that are ordered by volatility.

    A word for the place in that order, and "rising" or "falling" where the mean market return (T,) is more than
    2.5 standard errors from zero; no such word where `market` is None.
    """
    words = _LADDERS.get(num_regimes) or tuple(f"level {k + 1} of {num_regimes}" for k in range(num_regimes))
    if market is None:
        return words
    names = []
    for regime, word in enumerate(words):
        moves = market[(labels == regime) & np.isfinite(market)]
        deviation = moves.std(ddof=1) if len(moves) > 20 else 0.0
        trend = moves.mean() / (deviation / np.sqrt(len(moves))) if deviation > 0.0 else 0.0
        suffix = "" if abs(trend) < _CLEAR_TREND else ", rising" if trend > 0 else ", falling"
        names.append(word + suffix)
    return tuple(names)
