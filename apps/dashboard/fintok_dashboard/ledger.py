"""The table of alerts with what people made of them, on the page and in files."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from fintok_dashboard.selection import day_of, select

if TYPE_CHECKING:
    from fintok_dashboard.reading import Reading
    from fintok_dashboard.store import Store
    from fintok_dashboard.view import View

MAX_ROWS = 10_000  # that a browser sorts and filters at once: the strangest of more
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def alert_table(reading: Reading, view: View, store: Store) -> pl.DataFrame:
    """Alerts of the range and group, newest first.

    Columns date (text, as addresses have it), symbol, score, p_value (null where there is none), alarm (False: a
    named check), reason, regime, in_sample, verdict, note.
    """
    selection, regimes = select(reading, view), reading.regimes_for(view.regimes)
    alerts = reading.alarms.at(view.alarms).within(selection.rows, selection.assets)
    row, asset = alerts.row[::-1], alerts.asset[::-1]
    days = {int(r): day_of(reading.panel, int(r)) for r in np.unique(row)}
    names = np.array([*regimes.names, None], dtype=object)[regimes.labels[row]]
    table = pl.DataFrame(
        {
            "date": [days[int(r)] for r in row],
            "symbol": [reading.panel.assets[a] for a in asset],
            "score": pl.Series(reading.scores.score[row, asset].astype(np.float64), nan_to_null=True),
            "p_value": pl.Series(reading.scores.p_value[row, asset].astype(np.float64), nan_to_null=True),
            "alarm": alerts.is_alarm[::-1],
            "reason": alerts.reason[::-1].tolist(),
            "regime": names.tolist(),
            "in_sample": np.asarray(reading.scores.is_in_sample)[row],
        },
        schema_overrides={"date": pl.String, "symbol": pl.String, "reason": pl.String, "regime": pl.String},
    )
    marks = pl.DataFrame(
        store.marks(), schema=dict.fromkeys(("date", "symbol", "verdict", "note"), pl.String), orient="row"
    )
    joined = table.join(marks, on=["date", "symbol"], how="left", maintain_order="left")
    return joined.with_columns(pl.col("verdict").fill_null("open"), pl.col("note").fill_null(""))


def strangest(table: pl.DataFrame) -> pl.DataFrame:
    """The table, or of a longer one the 10,000 rows with the highest scores, in its order."""
    if len(table) <= MAX_ROWS:
        return table
    best = table.with_row_index().sort("score", descending=True, nulls_last=True).head(MAX_ROWS)
    return best.sort("index").drop("index")


def as_parquet(table: pl.DataFrame) -> bytes:
    """The table as a Parquet file, its dates those of `fintok score`, so that the two can be joined."""
    buffer = io.BytesIO()
    dates = pl.Series("date", table["date"].to_numpy().astype("datetime64[us]"))
    table.with_columns(dates).write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def as_csv(table: pl.DataFrame) -> bytes:
    """The table as CSV; a text that a spreadsheet would run as a formula gets an apostrophe in front."""
    texts = [name for name, kind in table.schema.items() if kind == pl.String]
    guarded = table.with_columns(
        pl.when(pl.any_horizontal(pl.col(name).str.starts_with(sign) for sign in _FORMULA))
        .then(pl.lit("'") + pl.col(name))
        .otherwise(pl.col(name))
        .alias(name)
        for name in texts
    )
    return guarded.write_csv().encode()
