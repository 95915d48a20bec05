"""Tables that `fintok score` and `fintok label` wrote, laid on the dates and assets of a panel."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from fintok import InputError
from fintok.files import read_table
from fintok.groups import read_groups as groups_of
from fintok.regime_result import Regimes
from fintok.score_result import Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fintok import Panel

_SCORES = ("date", "symbol", "score", "p_value", "alert", "reason")
_REGIMES = ("date", "regime", "name")
_TEXTS = ("symbol", "reason", "name")  # no numbers, whatever they look like: 000001


def check_columns(scores: Path | None, regimes: Path | None) -> None:
    """Raises InputError where a table that was given is not one of fintok score, or of fintok label."""
    for path, needed, writer in ((scores, _SCORES, "fintok score"), (regimes, _REGIMES, "fintok label")):
        if path is not None:
            _read(path, needed, writer)


def read_scores(path: Path, panel: Panel, train_end: np.datetime64) -> Scores:
    """The scores of a file, in sample where it says so, else up to `train_end`. They know no statistics, so that they
    can be shown but not explained. Raises InputError."""
    table = _read(path, _SCORES, "fintok score")
    place = {name: column for column, name in enumerate(panel.assets)}
    column = np.array([place.get(name, -1) for name in table["symbol"].cast(pl.String)], dtype=np.intp)
    row, is_known = _rows(table, panel, path)
    is_known &= column >= 0
    if len(table) and not is_known.any():
        raise InputError(f"{path}: none of its dates and symbols is in the panel; give the panel that was scored")
    _say_known(path, is_known)
    cell = row[is_known], column[is_known]
    score, p_value = (np.full(panel.returns.shape, np.nan) for _ in range(2))
    score[cell] = table["score"].cast(pl.Float64).fill_null(np.nan).to_numpy()[is_known]
    p_value[cell] = table["p_value"].cast(pl.Float64).fill_null(np.nan).to_numpy()[is_known]
    texts = table["reason"].cast(pl.String).fill_null("").to_list()
    reasons = ("", *sorted({text for text in texts if text}))
    number = {text: code for code, text in enumerate(reasons)}
    if len(reasons) > 255:
        raise InputError(f"{path}: {len(reasons):,} different reasons; this is not a table of fintok score")
    codes = np.zeros(panel.returns.shape, dtype=np.uint8)
    codes[cell] = np.array([number[text] for text in texts], dtype=np.uint8)[is_known]
    return Scores(
        panel=panel,
        score=score,
        p_value=p_value,
        levels=np.full(panel.returns.shape, np.nan),
        is_alarm=np.zeros(panel.returns.shape, dtype=bool),
        alarms_per_1000=np.nan,
        reason_codes=codes,
        reasons=reasons,
        statistics={},
        tails={},
        expected=np.full(panel.returns.shape, np.nan),
        residual=np.full(panel.returns.shape, np.nan),
        train_end=_seen_until(table, train_end),
    )


def read_regimes(path: Path, panel: Panel, train_end: np.datetime64) -> Regimes:
    """The regimes of a file, in sample where it says so, else up to `train_end`. Raises InputError."""
    table = _read(path, _REGIMES, "fintok label")
    columns = [name for name in table.columns if name.startswith("p_")]
    row, is_known = _rows(table, panel, path)
    _say_known(path, is_known)
    given = table["regime"].cast(pl.Int64).fill_null(-1).to_numpy()
    if len(columns) < 2 or given.max(initial=-1) >= len(columns):
        raise InputError(f"{path}: needs a column p_0, p_1 … for each regime, as fintok label writes them")
    labels = np.full(panel.num_days, -1)
    labels[row[is_known]] = given[is_known]
    probabilities = np.full((panel.num_days, len(columns)), np.nan)
    numbers = table.select(pl.col(columns).cast(pl.Float64).fill_null(np.nan)).to_numpy()
    probabilities[row[is_known]] = numbers[is_known]
    known = dict(table.drop_nulls("name").select(pl.col("regime").cast(pl.Int64), "name").unique().iter_rows())
    names = tuple(str(known.get(k, f"regime {k}")) for k in range(len(columns)))
    seen = _seen_until(table, train_end)
    return Regimes(panel=panel, labels=labels, probabilities=probabilities, names=names, train_end=seen)


def read_groups(path: Path, panel: Panel) -> dict[str, str]:
    """Group of each symbol of the panel, from a table with columns symbol and group. Raises InputError."""
    known = frozenset(panel.assets)
    groups = {symbol: group for symbol, group in groups_of(path).items() if symbol in known}
    if not groups:
        raise InputError(f"{path}: none of its symbols is in the panel")
    return groups


def _read(path: Path, needed: tuple[str, ...], writer: str) -> pl.DataFrame:
    table = read_table(path, text=_TEXTS)
    missing = [name for name in needed if name not in table.columns]
    if missing:
        expected = f"give a table with {', '.join(needed)}, from {writer}"
        raise InputError(f"{path}: there is no column {missing[0]!r}; {expected}")
    return table


def _say_known(path: Path, is_known: NDArray[np.bool_]) -> None:
    """Count on stderr the rows that the panel has a place for, where that is not all: those of a renamed symbol."""
    if not is_known.all():
        print(f"{path}: {is_known.sum():,} of {len(is_known):,} rows are in the panel", file=sys.stderr, flush=True)


def _seen_until(table: pl.DataFrame, train_end: np.datetime64) -> np.datetime64:
    """The last date that the model of a table learned from: not that of the dashboard's model, where the two differ."""
    if "in_sample" not in table.columns:
        return train_end
    dates = table["date"].cast(pl.Datetime("ns")).to_numpy().astype("datetime64[ns]")
    is_seen = table["in_sample"].cast(pl.Boolean).fill_null(False).to_numpy()
    if ((dates <= train_end) == is_seen).all():
        return train_end
    return dates[is_seen].max() if is_seen.any() else dates.min() - np.timedelta64(1, "D")


def _rows(table: pl.DataFrame, panel: Panel, path: Path) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Row of the panel for each row of the table, and whether its date is there."""
    try:
        dates = table["date"].cast(pl.Datetime("ns")).to_numpy().astype("datetime64[ns]")
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path}: column 'date' does not hold dates") from error
    row = np.searchsorted(panel.dates, dates).clip(max=max(panel.num_days - 1, 0)).astype(np.intp)
    return row, (panel.dates[row] == dates) if panel.num_days else np.zeros(len(row), dtype=bool)
