"""Alarms on data without planted faults: how often a detector speaks in each year, and in the wildest months."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fintok.moves import moves_of

if TYPE_CHECKING:
    import pandas as pd

    from fintok.panel import Panel

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

WILD_SHARE = 0.05  # of the months, those in which the market moved most
WILD = "wildest months"
TRAINING_ROWS = 2500  # newest training rows that set a fixed threshold: those that fintok's tails are learned from


def wild_months(panel: Panel, cut: int) -> list[np.datetime64]:
    """The twentieth part of the months from row `cut` on, one at least, with the largest mean |market move|."""
    size = np.abs(moves_of(panel).market[cut:])
    months, place = np.unique(panel.dates[cut:].astype("datetime64[M]"), return_inverse=True)
    known = np.isfinite(size)
    total = np.bincount(place, weights=np.where(known, size, 0.0), minlength=len(months))
    mean = total / np.maximum(np.bincount(place, weights=known, minlength=len(months)), 1.0)
    count = max(1, round(WILD_SHARE * len(months)))
    return sorted(months[np.argsort(-mean, kind="stable")[:count]])


def fixed_threshold_alarms(scores: Array, cut: int, per_1000: float) -> Flags:
    """(T, A) alarms of a detector whose threshold is set once, on rows before `cut`, to alarm `per_1000` times."""
    known = scores[max(cut - TRAINING_ROWS, 0) : cut]
    known = known[np.isfinite(known)]
    limit = np.quantile(known, 1.0 - per_1000 / 1000.0) if len(known) else np.inf
    return scores > limit  # NaN compares as False


def alarm_table(panel: Panel, cut: int, alarms: Mapping[str, tuple[Flags, Flags]]) -> pd.DataFrame:
    """Alarms per 1,000 asset-days from row `cut` on: all, the wildest months, each year; a column a detector.

    alarms : detector -> (its alarms, where it has a score), (T, A) each. Asset-days are those with a return.
    """
    import pandas as pd

    dates = panel.dates[cut:]
    years = dates.astype("datetime64[Y]")
    wild = np.isin(dates.astype("datetime64[M]"), wild_months(panel, cut))
    periods = {"all": np.ones(len(dates), dtype=bool), WILD: wild}
    periods |= {str(year): years == year for year in np.unique(years)}
    observed = panel.is_observed[cut:]
    rows = []
    for period, days in periods.items():
        row: dict[str, object] = {"period": period, "asset_days": int(observed[days].sum())}
        for name, (raised, judged) in alarms.items():
            count = int(judged[cut:][days].sum())
            row[name] = 1000.0 * int((raised & judged)[cut:][days].sum()) / count if count else np.nan
        rows.append(row)
    return pd.DataFrame(rows)


def alarm_verdicts(table: pd.DataFrame, alike: pd.DataFrame, per_1000: float, wild: list[np.datetime64]) -> list[str]:
    """What the tables of alarms say, in a sentence: rivals with a fixed threshold, and calibrated as fintok is."""
    overall, loud = _periods(table)
    detectors = list(table.columns[2:])
    ours, rivals = detectors[0], detectors[1:]
    if not np.isfinite([overall[ours], loud[ours]]).all():
        return [f"{ours} had no p-values in all or in the wildest months after train_end: its alarms were not counted."]
    text = (
        f"On the panel as it is, {ours} raised {overall[ours]:.2f} alarms per 1,000 asset-days at a budget of "
        f"{per_1000:g}, and {loud[ours]:.2f} in the wildest months ({', '.join(str(month) for month in wild)})"
    )
    if rivals:
        text += f"; the rivals, with the threshold of the training rows, {_span(table, rivals)}"
        text += f"; calibrated as {ours} is, {_span(alike, rivals)}"
    return [text + "."]


def _periods(table: pd.DataFrame) -> list[pd.Series]:
    """The rows of all judged days and of the wildest months."""
    return [table.loc[table["period"] == period].iloc[0] for period in ("all", WILD)]


def _span(table: pd.DataFrame, names: list[str]) -> str:
    """Fewest and most alarms of some detectors, in both periods."""
    few_and_most = [f"{row[names].min():.2f} to {row[names].max():.2f}" for row in _periods(table)]
    return f"{few_and_most[0]}, and {few_and_most[1]} in those months"
