"""``fintok label``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from fintok.commands.options import (
    ColumnOptions,
    Columns,
    ModelPath,
    Overwrite,
    PanelPath,
    TablePath,
    say_next,
    say_table,
    say_wrote,
)
from fintok.files import check_table_output, write_table


def label(
    *,
    model: ModelPath,
    panel: PanelPath,
    out: TablePath,
    regimes: Annotated[int, Parameter(help="How many regimes; 0 is the calmest.")] = 4,
    overwrite: Overwrite = False,
    columns: ColumnOptions = Columns(),
) -> None:
    """Market regime of every date, from that date and earlier ones only.

    Writes date, regime (0 = calmest), name, p_0 ... p_{K-1} and in_sample (the model has seen the date).
    """
    check_table_output(out, overwrite=overwrite)
    prices = columns.read(panel)
    from fintok.bundle import load
    from fintok.regimes import RegimeLabeler

    labels = RegimeLabeler(load(model), n_regimes=regimes).fit().label(prices)
    print(labels)
    say_table(labels.summary())
    say_wrote(write_table(labels.to_polars(), out, overwrite=overwrite))
    say_next("score", "--model", model, "--panel", panel, "--out", out.with_stem("scores"))
