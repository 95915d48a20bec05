"""``fintok score``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fintok.commands.options import (
    Alarms,
    AnyModel,
    Overwrite,
    PanelPath,
    PanelReader,
    ReaderOptions,
    TablePath,
    model_words,
    open_model,
    say_next,
    say_table,
    say_wrote,
)
from fintok.errors import InputError
from fintok.files import check_table_output, read_table, write_table

if TYPE_CHECKING:
    import polars as pl


def score(
    *,
    panel: PanelPath,
    model: AnyModel = None,
    out: TablePath,
    alarms: Alarms = 1.0,
    append: Annotated[bool, Parameter(help="Keep the file's rows; add the dates after its last.")] = False,
    errors: Annotated[
        Path | None, Parameter(help="Known data errors (date, symbol), which calibration then leaves out.")
    ] = None,
    groups: Annotated[
        Path | None, Parameter(help="Class of each symbol (symbol, group), calibrated apart; the rest are one more.")
    ] = None,
    overwrite: Overwrite = False,
    reader: ReaderOptions = PanelReader(),
) -> None:
    """Anomaly score of every asset and date, from that date and earlier ones only.

    Writes date, symbol, score (higher = stranger), p_value, alert, reason and in_sample (the model has seen
    the date). With --append, a file that is there keeps its rows and gains the dates after its last one; what the
    model read is kept beside it (NAME.readings.parquet), so that history is not read again: the same command, run
    daily, costs what a day costs and gives the same rows.

    --errors is a table of cells that somebody has found to be wrong; where it has a column verdict, as the
    dashboard's export has, rows that say "data error" count. They are scored as ever, but later days are not
    ranked among them.
    """
    if append and overwrite:
        raise InputError("--append keeps the file and --overwrite replaces it: choose one")
    check_table_output(out, overwrite=overwrite or append)
    earlier = _earlier(out) if append and out.exists() else None
    prices = reader.read(panel)
    from fintok.anomaly import AnomalyScorer
    from fintok.groups import read_groups
    from fintok.readings import open_readings

    classes = None if groups is None else read_groups(groups)
    scorer = AnomalyScorer(open_model(model), alarms_per_1000=alarms, groups=classes)
    kept = out.with_name(f"{out.stem}.readings.parquet")
    if append and kept.exists():
        scorer.go_on_from(open_readings(kept, prices))
    scores = scorer.fit(prices, errors=errors).score(prices, errors=errors)
    print(scores)
    table = scores.to_polars()
    if earlier is None:
        say_table(scores.summary())
    else:
        table = _after(table, earlier)
        since = f"after {earlier['date'].max()} " if len(earlier) else ""
        print(f"{len(table) - len(earlier):,} rows {since}added to {len(earlier):,}")
    say_wrote(write_table(table, out, overwrite=overwrite or append))
    if append and scorer.readings is not None:
        say_wrote(write_table(scorer.readings.to_polars(), kept, overwrite=True))
    say_next("report", *model_words(model), "--panel", panel, *reader.words(), "--out", out.with_name("report.html"))


def _earlier(out: Path) -> pl.DataFrame:
    """The scores in a file. Raises InputError for a table of something else."""
    from fintok.score_result import COLUMNS

    table = read_table(out, text=("symbol", "reason"))
    if table.columns != list(COLUMNS):
        raise InputError(f"{out} cannot be appended to: it holds {table.columns}, scores are {list(COLUMNS)}")
    return table


def _after(table: pl.DataFrame, earlier: pl.DataFrame) -> pl.DataFrame:
    """``earlier`` followed by the rows of ``table`` whose date lies after its last."""
    import polars as pl

    if not len(earlier):
        return table
    earlier = earlier.cast(table.schema)
    return pl.concat([earlier, table.filter(pl.col("date") > earlier["date"].max())])
