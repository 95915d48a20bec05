"""``fintok report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fintok.commands.options import (
    Alarms,
    AnyModel,
    NumRegimes,
    Overwrite,
    PanelPath,
    PanelReader,
    ReaderOptions,
    model_words,
    open_model,
    say_next,
    say_wrote,
)
from vision.files import check_output


def report(
    *,
    panel: PanelPath,
    model: AnyModel = None,
    out: Annotated[Path, Parameter(help="Where to write the page, as report.html.")],
    regimes: NumRegimes = 4,
    alarms: Alarms = 1.0,
    overwrite: Overwrite = False,
    reader: ReaderOptions = PanelReader(),
) -> None:
    """One self-contained HTML page: regimes, anomalies, tokens. It opens in any browser, offline."""
    check_output(out, overwrite=overwrite)
    prices = reader.read(panel)
    from fintok.bundle import SHIPPED
    from fintok.demo import read_market, write_page

    bundle = open_model(model)
    reading = read_market(bundle, prices, n_regimes=regimes, alarms_per_1000=alarms)
    print(reading.regimes)
    print(reading.scores)
    say_wrote(write_page(out, bundle, prices, reading, model or SHIPPED, overwrite=overwrite))
    say_next("inspect", *model_words(model)[1:])
