"""``fintok audit``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from fintok.commands.options import (
    ModelPath,
    NumRegimes,
    PanelPath,
    PanelReader,
    ReaderOptions,
    Seed,
    require_window,
    say_next,
    say_table,
)


def audit(
    *,
    model: ModelPath,
    panel: PanelPath,
    cuts: Annotated[int, Parameter(help="Dates after which the panel is changed.")] = 5,
    regimes: NumRegimes = 4,
    seed: Annotated[Seed, Parameter(help="Draws the dates and the noise.")] = 0,
    reader: ReaderOptions = PanelReader(),
) -> None:
    """Does any token, label or score change when the future does? None may.

    Replaces what follows a date by noise, reads everything anew and compares it, up to that date, with what is
    read of the whole panel. Exit code 1 if a single bit changed.
    """
    prices = reader.read(panel)
    from fintok.audit import audit as look_for_changes
    from fintok.bundle import load
    from fintok.regimes import RegimeLabeler

    bundle = load(model)
    require_window(bundle, prices)
    found = look_for_changes(bundle, prices, cuts=cuts, seed=seed, labeler=RegimeLabeler(bundle, n_regimes=regimes))
    print(found)
    say_table(found.summary())
    found.check()
    say_next("report", "--model", model, "--panel", panel, *reader.words(), "--out", "report.html")
