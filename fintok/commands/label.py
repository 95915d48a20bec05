"""``fintok label``."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from fintok.commands.options import (
    AnyModel,
    Overwrite,
    PanelPath,
    PanelReader,
    ReaderOptions,
    Switches,
    TablePath,
    model_words,
    open_model,
    say_next,
    say_table,
    say_wrote,
)
from fintok.files import check_table_output, write_table

NumRegimesOrAuto = Annotated[
    int | Literal["auto"],
    Parameter(help="How many regimes, 0 being the calmest; auto: as many as tell most of the next day."),
]

Until = Annotated[
    str | None,
    Parameter(
        help="Learn the regimes from this panel's rows up to a date, as 2015-12-31, in place of the model's training "
        "rows.",
        show_default=False,
    ),
]


def label(
    *,
    panel: PanelPath,
    model: AnyModel = None,
    out: TablePath,
    regimes: NumRegimesOrAuto = 4,
    switches: Switches = 4.0,
    until: Until = None,
    overwrite: Overwrite = False,
    reader: ReaderOptions = PanelReader(),
) -> None:
    """Market regime of every date, from that date and earlier ones only.

    Writes date, regime (0 = calmest), name, p_0 ... p_{K-1} and in_sample (the model or its regimes have seen the
    date). The model's regimes mean the same on every panel; those learned with --until are this panel's own. With
    --regimes auto, 2 to 6 regimes are compared on the rows that they are learned from, and the table is printed.
    """
    check_table_output(out, overwrite=overwrite)
    prices = reader.read(panel)
    from fintok.regimes import RegimeLabeler

    bundle = open_model(model, prices)
    labeler = RegimeLabeler(bundle, switches_per_year=switches)
    own = None if until is None else prices
    if regimes == "auto":
        from fintok.regime_choice import choose_regimes

        choice = choose_regimes(labeler, own, until=until)
        say_table(choice.summary())
        print(choice.reason)
        regimes = choice.n_regimes
    labels = labeler.set_params(n_regimes=regimes).fit(own, until=until).label(prices)
    print(labels)
    say_table(labels.summary())
    counted = "mean_duration is" if prices.row_noun == "day" else "days and mean_duration are"
    print(f"volatility, mean and dispersion are annual, in {labels.moves.unit}; {counted} in {prices.row_noun}s")
    for sentence in labels.remarks():
        print(sentence)
    say_wrote(write_table(labels.to_polars(), out, overwrite=overwrite))
    say_next("score", *model_words(model), "--panel", panel, *reader.words(), "--out", out.with_stem("scores"))
