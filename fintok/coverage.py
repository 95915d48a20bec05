"""Where the values of a panel are: by asset, and in runs."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

    from fintok.panel import Panel


def asset_table(panel: "Panel") -> "pd.DataFrame":
    """One row per asset: first, last, returns, missing, longest_gap, volatility, worst, best.

    `missing` is the share of listed rows without a value, `longest_gap` in rows, `volatility` annualised by the
    asset's own returns a year, worst and best single returns. NaT and NaN for an asset without values.
    """
    import pandas as pd

    known, listed, observed = np.isfinite(panel.data), panel.is_listed, panel.is_observed
    table = pd.DataFrame(index=pd.Index(panel.assets, name="symbol"))
    for name, order in (("first", slice(None)), ("last", slice(None, None, -1))):
        dates = np.full(panel.num_assets, np.datetime64("NaT"), dtype="datetime64[ns]")
        if panel.num_days:
            found = panel.dates[order][known[order].argmax(axis=0)]
            dates = np.where(known.any(axis=0), found, dates)
        table[name] = dates
    count = observed.sum(axis=0)
    table["returns"] = count
    gaps = listed & ~known
    with np.errstate(invalid="ignore", divide="ignore"):  # an asset without values: NaN, as documented
        table["missing"] = gaps.sum(axis=0) / listed.sum(axis=0)
    longest = np.zeros(panel.num_assets, dtype=np.int64)
    runs = runs_of(gaps)
    np.maximum.at(longest, runs.column, runs.length)
    table["longest_gap"] = longest
    filled = np.where(observed, panel.returns, 0.0)
    mean = filled.sum(axis=0) / np.maximum(count, 1)
    squares = np.where(observed, (filled - mean) ** 2, 0.0).sum(axis=0)
    deviation = np.sqrt(squares / np.maximum(count - 1, 1))
    own_rate = panel.periods_per_year * np.minimum(count / np.maximum(listed.sum(axis=0) - 1, 1), 1.0)
    table["volatility"] = np.where(count > 1, deviation * np.sqrt(own_rate), np.nan)
    for name, extreme, empty in (("worst", np.min, np.inf), ("best", np.max, -np.inf)):
        found = extreme(np.where(observed, panel.returns, empty), axis=0, initial=empty)
        table[name] = np.where(count > 0, found, np.nan)
    return table


class Runs(NamedTuple):
    """Runs of rows down columns, by first row and column."""

    start: NDArray[np.int64]  # (N,) first row
    column: NDArray[np.int64]  # (N,)
    length: NDArray[np.int64]  # (N,) rows


def runs_of(flags: NDArray[np.bool_]) -> Runs:
    """Runs of True down each column of (T, A)."""
    edge = np.zeros((1, flags.shape[1]), dtype=np.int8)
    steps = np.diff(np.concatenate([edge, flags.astype(np.int8), edge]), axis=0).T  # (A, T + 1)
    asset, start = np.nonzero(steps == 1)
    _, stop = np.nonzero(steps == -1)
    order = np.lexsort((asset, start))
    return Runs(start[order], asset[order], (stop - start)[order])
