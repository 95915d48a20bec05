"""``fintok report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fintok.commands.options import (
    Alarms,
    AnyModel,
    ErrorsPath,
    GroupsPath,
    NumRegimes,
    Overwrite,
    PanelPath,
    PanelReader,
    ReaderOptions,
    Switches,
    check_errors,
    model_words,
    open_model,
    read_classes,
    say_next,
    say_wrote,
)
from fintok.errors import InputError
from vision.files import check_output


def report(
    *,
    panel: PanelPath,
    model: AnyModel = None,
    out: Annotated[Path, Parameter(help="Where to write the page, as report.html.")],
    regimes: NumRegimes = 4,
    switches: Switches = 4.0,
    alarms: Alarms = 1.0,
    errors: ErrorsPath = None,
    groups: GroupsPath = None,
    overwrite: Overwrite = False,
    reader: ReaderOptions = PanelReader(),
) -> None:
    """One self-contained HTML page: regimes, anomalies, tokens. It opens in any browser, offline.

    Its scores are those of fintok score with the same --alarms, --errors and --groups.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(
            f"{out}: the report is a page of HTML; give a name that ends in .html, and print it from there"
        )
    check_output(out, overwrite=overwrite)
    prices = reader.read(panel)
    from fintok.market import read_market
    from fintok.report import write_report

    classes = read_classes(groups, prices)
    check_errors(errors, prices)
    bundle = open_model(model, prices)
    reading = read_market(
        bundle,
        prices,
        n_regimes=regimes,
        switches_per_year=switches,
        alarms_per_1000=alarms,
        errors=errors,
        groups=classes,
    )
    print(reading.regimes)
    print(reading.scores)
    say_wrote(write_report(out, bundle, prices, *reading, model, overwrite=overwrite))
    say_next("inspect", *model_words(model)[1:])
