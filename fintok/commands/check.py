"""``fintok check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fintok.commands.options import Overwrite, PanelPath, PanelReader, ReaderOptions, say_next, say_table, say_wrote
from fintok.files import check_table_output, write_table


def check(
    panel: PanelPath,
    /,
    *,
    out: Annotated[
        Path | None,
        Parameter(help="Where to write all suspected faults: a name in .parquet or .csv.", show_default=False),
    ] = None,
    overwrite: Overwrite = False,
    reader: ReaderOptions = PanelReader(),
) -> None:
    """What the reader sees in a panel: symbols, calendar, gaps, stale runs, suspected faults.

    Months (1990-01, 199001) and quarters (1990Q1) are read as their last days. Of each kind of fault the first one is
    shown; --out writes all of them: kind, date, symbol (empty: all assets), days (rows that it lasts) and other (the
    column that a duplicate is like).
    """
    if out is not None:
        check_table_output(out, overwrite=overwrite)
    from fintok.health import check_panel

    prices = reader.read(panel)
    health = check_panel(prices)
    print(prices)
    say_table(health.summary())
    if out is not None:
        say_wrote(write_table(health.to_polars(), out, overwrite=overwrite))
    say_next("label", "--panel", panel, *reader.words(), "--out", "regimes.parquet")
