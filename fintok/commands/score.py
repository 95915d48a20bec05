"""``fintok score``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from cyclopts import Parameter

from fintok.commands.options import (
    Alarms,
    AnyModel,
    ErrorsPath,
    GroupsPath,
    Overwrite,
    PanelPath,
    PanelReader,
    ReaderOptions,
    TablePath,
    check_errors,
    given_words,
    model_words,
    open_model,
    read_classes,
    say_next,
    say_table,
    say_wrote,
)
from fintok.errors import InputError
from fintok.files import check_table_output, read_table, write_table
from fintok.spans import date_text

if TYPE_CHECKING:
    import polars as pl

    from fintok.bundle import Bundle
    from fintok.panel import Panel
    from fintok.readings import Readings

_SHOWN = 20  # alerts of the rows that are added
_RESTATED = 1e-3  # by which a score must move to be another: adjusted prices are restated but for rounding
_ANEW = "--overwrite in place of --append scores all anew (told once)"
_WAY_OUT = "name another --out, or score all dates anew with --overwrite in place of --append"


def score(
    *,
    panel: PanelPath,
    model: AnyModel = None,
    out: TablePath,
    alarms: Alarms = 1.0,
    append: Annotated[bool, Parameter(help="Keep the file's rows; add the dates after its last.")] = False,
    errors: ErrorsPath = None,
    groups: GroupsPath = None,
    overwrite: Overwrite = False,
    reader: ReaderOptions = PanelReader(),
) -> None:
    """Anomaly score of every asset and date, from that date and earlier ones only.

    Writes date, symbol, score (higher = stranger), p_value, alert, reason and in_sample (a date up to the model's
    train_end, whichever assets it learned from). With --append, a file that is there keeps its rows and gains the
    dates after its last one; what the model read is kept beside it (NAME.readings.parquet), so that history is not
    read again: the same command, run daily, costs what a day costs and gives the same rows. What comes later for dates
    that the file has is told on stderr, once, and not added.

    --errors is a table of cells that somebody has found to be wrong; where it has a column verdict, as the
    dashboard's export has, rows that say "data error" count. They are scored as ever, but later days are not
    ranked among them.
    """
    if append and overwrite:
        raise InputError("--append keeps the file and --overwrite replaces it: choose one")
    check_table_output(out, overwrite=overwrite or append)
    earlier = _earlier(out) if append and out.exists() else None
    prices = reader.read(panel)
    if earlier is not None and not _goes_on(prices, earlier, out):
        return
    from fintok.anomaly import AnomalyScorer
    from fintok.calibration import require_scores
    from fintok.groups import group_names
    from fintok.readings import open_readings

    classes = read_classes(groups, prices)
    check_errors(errors, prices)
    bundle = open_model(model, prices)
    scorer = AnomalyScorer(bundle, alarms_per_1000=alarms, groups=classes)
    names = group_names(classes, prices.assets)
    require_scores(names, prices.assets, scorer.days)  # before minutes of reading
    kept = out.with_name(f"{out.stem}.readings.parquet")
    if append and kept.exists():
        scorer.go_on_from(open_readings(kept, prices))
    if earlier is not None:
        _require_same_model(earlier, scorer.readings, bundle, out)
    scores = scorer.fit(prices, errors=errors).score(prices, errors=errors)
    table = whole = scores.to_polars()
    if earlier is None:
        print(scores)
        say_table(scores.summary())
    else:
        earlier = earlier.cast(table.schema)
        said = _last_said(kept)
        _say_restated(table, earlier, said, out)
        _say_late(table, earlier, said, out)
        table = _after(table, earlier)
        _say_added(table[len(earlier) :], earlier)
    for sentence in scores.remarks():
        print(sentence)
    say_wrote(write_table(table, out, overwrite=overwrite or append))
    if append and scorer.readings is not None:
        say_wrote(write_table(_with_what_was_said(scorer.readings.to_polars(), whole), kept, overwrite=True))
    asked = given_words(alarms=None if alarms == 1.0 else f"{alarms:g}", errors=errors, groups=groups)
    page = out.with_name("report.html")
    say_next("report", *model_words(model), "--panel", panel, *reader.words(), *asked, "--out", page)


def _earlier(out: Path) -> pl.DataFrame:
    """The scores in a file. Raises InputError for a table of something else."""
    import polars as pl

    from fintok.score_result import COLUMNS

    table = read_table(out, text=("symbol", "reason"))
    if table.columns != list(COLUMNS):
        raise InputError(f"{out} cannot be appended to: it holds {table.columns}, scores are {list(COLUMNS)}")
    return table.with_columns(pl.col("date").cast(pl.Datetime("us")))


def _goes_on(prices: Panel, earlier: pl.DataFrame, out: Path) -> bool:
    """Whether the panel ends no earlier than the scores in a file; else stdout says so. Raises InputError for a panel
    of other symbols, or of other moments of the same days."""
    from fintok.columns import listed

    symbols = earlier["symbol"].unique(maintain_order=True).to_list()
    if symbols and not set(symbols) & set(prices.assets):
        raise InputError(f"{out} holds scores of {listed(symbols)}, none of which is in {prices.source}: {_WAY_OUT}")
    if not symbols:
        return True
    known = earlier["date"].unique().sort().to_numpy()
    if prices.dates[-1] < known[-1]:
        ends, last = date_text(prices.dates, -1), date_text(known, -1)
        print(
            f"{prices.source} ends {ends}, before the last date of {out}, {last}: nothing to add; if {last} is wrong, "
            f"{_WAY_OUT}"
        )
        return False
    both = prices.dates[(prices.dates >= known[0]) & (prices.dates <= known[-1])]
    if len(both) and not np.isin(both, known).any():
        raise InputError(
            f"{out} holds scores of dates such as {known[-1].astype('datetime64[m]')}, {prices.source} has others such "
            f"as {both[-1].astype('datetime64[m]')}, and none in common: write dates as before, or {_WAY_OUT}"
        )
    return True


def _require_same_model(earlier: pl.DataFrame, readings: Readings | None, bundle: Bundle, out: Path) -> None:
    """Raise InputError where the scores in a file are another model's: so its readings say, or its training rows."""
    is_other = readings is not None and readings.model not in ("", bundle.fingerprint)
    seen = earlier["date"].to_numpy() <= bundle.train_end
    if is_other or (seen != earlier["in_sample"].to_numpy()).any():
        raise InputError(f"{out} holds scores of another model: {_WAY_OUT}")


def _last_date(earlier: pl.DataFrame) -> str:
    dates = earlier["date"].to_numpy()
    return date_text(dates, int(dates.argmax()))


def _last_said(kept: Path) -> pl.DataFrame | None:
    """date, symbol, score and alert as the last --append found them, in the file or not; None where it kept none."""
    import polars as pl

    table = read_table(kept, text=("symbol",)) if kept.exists() else pl.DataFrame()
    if not {"score", "alert"} <= set(table.columns):
        return None
    return table.select("date", "symbol", "score", "alert").filter(pl.col("alert").is_not_null())


def _with_what_was_said(readings: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """Readings with the score and the alert of each row, for `_last_said`."""
    import polars as pl

    date, score = pl.col("date").cast(readings.schema["date"]), pl.col("score").cast(pl.Float32)
    said = table.select(date, "symbol", score, "alert")
    return readings.join(said, on=["date", "symbol"], how="left", maintain_order="left")


def _moved(before: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """Rows with a score for which a table has another score or alert, or no row."""
    import polars as pl

    now = table.select(pl.col("date").cast(before.schema["date"]), "symbol", "score", "alert")
    both = before.filter(pl.col("score").is_not_null()).join(
        now, on=["date", "symbol"], how="left", suffix=" now", maintain_order="left"
    )
    is_close = ((pl.col("score") - pl.col("score now")).abs() <= _RESTATED) & (pl.col("alert") == pl.col("alert now"))
    return both.filter(~is_close.fill_null(False))


def _say_restated(table: pl.DataFrame, earlier: pl.DataFrame, said: pl.DataFrame | None, out: Path) -> None:
    """Tell on stderr where rows of the file would be others now, and were not so the last time: they stay."""
    others = _moved(earlier, table)
    if said is not None:
        as_before = said.join(_moved(said, table), on=["date", "symbol"], how="anti").cast(
            {"date": others.schema["date"]}
        )
        others = others.join(as_before, on=["date", "symbol"], how="anti", maintain_order="left")
    if len(others):
        first, starts = others.row(0, named=True), [one["date"].sort().to_numpy() for one in (table, earlier)]
        cause = "prices or symbols before its last date, --alarms, --errors or --groups have changed"
        if starts[0][0] > starts[1][0]:
            now, then = (date_text(dates, 0) for dates in starts)
            cause = f"the panel now begins on {now}, the scores began on {then}"
        print(
            f"{out}: {len(others):,} of its {len(earlier):,} rows would be others now, the first "
            f"{first['symbol']!r} on {date_text(others['date'].to_numpy(), 0)}: {cause}; they stay as they "
            f"are, {_ANEW}",
            file=sys.stderr,
        )


def _say_late(table: pl.DataFrame, earlier: pl.DataFrame, said: pl.DataFrame | None, out: Path) -> None:
    """Tell on stderr of rows between the first and the last date of the file that neither it nor the last
    --append had: they are not added."""
    import polars as pl

    if not len(earlier):
        return
    within = pl.col("date").is_between(earlier["date"].min(), earlier["date"].max())
    late = table.filter(within).join(earlier, on=["date", "symbol"], how="anti", maintain_order="left")
    if said is not None:
        said = said.cast({"date": late.schema["date"]})
        late = late.join(said, on=["date", "symbol"], how="anti", maintain_order="left")
    if len(late):
        alerts = int(late["alert"].sum())
        print(
            f"{out}: {_rows(len(late))} (alerts: {alerts:,}) came since for dates up to its last, the first "
            f"{late['symbol'][0]!r} on {date_text(late['date'].to_numpy(), 0)}: not added, {_ANEW}",
            file=sys.stderr,
        )


def _say_added(added: pl.DataFrame, earlier: pl.DataFrame) -> None:
    """Rows that the file gains, and those of them that are alerts, strangest first."""
    since = f"after {_last_date(earlier)} " if len(earlier) else ""
    alerts = added.filter(added["alert"]).sort("score", descending=True, nulls_last=True, maintain_order=True)
    shown = f", the strangest {_SHOWN} of them" if len(alerts) > _SHOWN else ""
    print(f"{_rows(len(added))} {since}added to {len(earlier):,}; alerts: {len(alerts):,}{shown}")
    if len(alerts):
        columns = ["date", "symbol", "score", "p_value", "reason"]
        say_table(alerts.head(_SHOWN).select(columns).to_pandas().set_index("date"))


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _after(table: pl.DataFrame, earlier: pl.DataFrame) -> pl.DataFrame:
    """``earlier`` followed by the rows of ``table`` whose date lies after its last."""
    import polars as pl

    if not len(earlier):
        return table
    return pl.concat([earlier, table.filter(pl.col("date") > earlier["date"].max())])
