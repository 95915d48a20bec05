"""``fintok tokenize``."""

from __future__ import annotations

from fintok.commands.options import (
    ModelPath,
    Overwrite,
    PanelPath,
    PanelReader,
    ReaderOptions,
    TablePath,
    say_next,
    say_wrote,
)
from fintok.files import check_table_output, write_table


def tokenize(
    *,
    model: ModelPath,
    panel: PanelPath,
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
    from fintok.bundle import load

    tokens = load(model).tokenize(prices)
    print(tokens)
    say_wrote(write_table(tokens.to_polars(), out, overwrite=overwrite))
    say_next("label", "--model", model, "--panel", panel, *reader.words(), "--out", out.with_stem("regimes"))
