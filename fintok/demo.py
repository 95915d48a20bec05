"""``fintok demo``: from the bundled panel to a model and a page."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from fintok.config import PretrainConfig
from fintok.errors import InputError
from fintok.files import check_output, write_table
from fintok.market import MarketReading, read_market
from fintok.pretrain import pretrain
from fintok.report import write_report
from fintok.sample import load_us20

TRAIN_END = "2007-12-31"  # the demo's model sees neither the crisis of 2008 nor March 2020 before it reads them


class DemoFiles(NamedTuple):
    """What a demo leaves, in its folder."""

    prices: Path
    model: Path
    regimes: Path
    scores: Path
    report: Path


def run_demo(
    out: Path, config: PretrainConfig, *, resume: bool = False, overwrite: bool = False
) -> tuple[DemoFiles, MarketReading]:
    """Train on the bundled panel up to 2007, then label, score and report all of it.

    With ``resume`` an interrupted training goes on, a finished one is taken as it is, and the tables and the page
    are written again. Raises InputError where ``out`` holds something and neither is allowed.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; name a folder for the demo")
    if out.is_dir() and any(out.iterdir()) and not (resume or overwrite):
        raise InputError(f"{out} exists; give --resume to go on with it, --overwrite, or another --out")
    files = DemoFiles(
        prices=out / "prices.parquet",
        model=out / "model",
        regimes=out / "regimes.parquet",
        scores=out / "scores.parquet",
        report=out / "report.html",
    )
    check_output(files.prices, overwrite=True)
    panel = load_us20()
    write_table(panel.to_polars(), files.prices, overwrite=True)
    bundle = pretrain(panel, train_end=TRAIN_END, out=files.model, config=config, resume=resume, overwrite=overwrite)
    reading = read_market(bundle, panel)
    write_table(reading.regimes.to_polars(), files.regimes, overwrite=True)
    write_table(reading.scores.to_polars(), files.scores, overwrite=True)
    write_report(files.report, bundle, panel, *reading, files.model, title="fintok demo", overwrite=True)
    return files, reading
