"""``fintok label``."""

from __future__ import annotations

from fintok.commands.options import (
    ModelPath,
    NumRegimes,
    Overwrite,
    PanelPath,
    PanelReader,
    ReaderOptions,
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
    regimes: NumRegimes = 4,
    overwrite: Overwrite = False,
    reader: ReaderOptions = PanelReader(),
) -> None:
    """Market regime of every date, from that date and earlier ones only.

    Writes date, regime (0 = calmest), name, p_0 ... p_{K-1} and in_sample (the model has seen the date).
    """
    check_table_output(out, overwrite=overwrite)
    prices = reader.read(panel)
    from fintok.bundle import load
    from fintok.moves import moves_of
    from fintok.regimes import RegimeLabeler

    labels = RegimeLabeler(load(model), n_regimes=regimes).fit().label(prices)
    print(labels)
    say_table(labels.summary())
    print(f"volatility, mean and dispersion are annual, in {moves_of(prices).unit}")
    say_wrote(write_table(labels.to_polars(), out, overwrite=overwrite))
    say_next("score", "--model", model, "--panel", panel, *reader.words(), "--out", out.with_stem("scores"))
