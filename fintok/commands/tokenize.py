"""``fintok tokenize``."""

from __future__ import annotations

from fintok.commands.options import (
    AnyModel,
    Overwrite,
    PanelPath,
    PanelReader,
    ReaderOptions,
    TablePath,
    model_words,
    open_model,
    say_next,
    say_wrote,
)
from fintok.files import check_table_output, write_table


def tokenize(
    *,
    panel: PanelPath,
    model: AnyModel = None,
    out: TablePath,
    overwrite: Overwrite = False,
    reader: ReaderOptions = PanelReader(),
) -> None:
    """Tokens of every asset and date, from that date and earlier ones only.

    Writes date, symbol, code, word (a coarser code) and surprise (-log p of the code, in nats, given the
    other assets and the past).
    """
    check_table_output(out, overwrite=overwrite)
    prices = reader.read(panel)
    bundle = open_model(model, prices)
    tokens = bundle.tokenize(prices)
    print(tokens)
    say_wrote(write_table(tokens.to_polars(), out, overwrite=overwrite))
    say_next("label", *model_words(model), "--panel", panel, *reader.words(), "--out", out.with_stem("regimes"))
