"""From a panel to a page: what ``fintok demo`` and ``fintok report`` share."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fintok.anomaly import AnomalyScorer
from fintok.bundle import Bundle
from fintok.calibration import require_scores
from fintok.cells import marked_cells
from fintok.config import PretrainConfig
from fintok.errors import InputError
from fintok.files import check_output, write_table
from fintok.groups import group_names
from fintok.panel import Panel, require_panel
from fintok.pretrain import pretrain
from fintok.regimes import RegimeLabeler
from fintok.report import write_report
from fintok.sample import load_us20

if TYPE_CHECKING:
    from fintok.regime_result import Regimes
    from fintok.score_result import Scores

TRAIN_END = "2007-12-31"  # the demo's model sees neither the crisis of 2008 nor March 2020 before it reads them


class Reading(NamedTuple):
    """What a bundle says of a panel."""

    regimes: Regimes
    scores: Scores
    asked: dict[str, float]  # what was asked for, by name, as the report tells it


class DemoFiles(NamedTuple):
    """What a demo leaves, in its folder."""

    prices: Path
    model: Path
    regimes: Path
    scores: Path
    report: Path


def run_demo(
    out: Path, config: PretrainConfig, *, resume: bool = False, overwrite: bool = False
) -> tuple[DemoFiles, Reading]:
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


def report(
    bundle: Bundle,
    panel: Panel,
    out: str | Path,
    *,
    n_regimes: int = 4,
    switches_per_year: float = 4.0,
    alarms_per_1000: float = 1.0,
    errors: object = None,
    groups: Mapping[str, object] | str | Path | None = None,
    overwrite: bool = False,
) -> Path:
    """Read a panel with a bundle and write what it says as one self-contained page of HTML; return its path.

    `errors` are those of `AnomalyScorer.score`, `groups` those of `AnomalyScorer`. Raises InputError for what is no
    bundle or panel, a number out of range, and where `out` exists and `overwrite` is False.
    """
    require_panel(panel)
    path = check_output(out, overwrite=overwrite)
    reading = read_market(
        bundle,
        panel,
        n_regimes=n_regimes,
        switches_per_year=switches_per_year,
        alarms_per_1000=alarms_per_1000,
        errors=errors,
        groups=groups,
    )
    return write_report(path, bundle, panel, *reading, overwrite=overwrite)


def read_market(
    bundle: Bundle,
    panel: Panel,
    *,
    n_regimes: int = 4,
    switches_per_year: float = 4.0,
    alarms_per_1000: float = 1.0,
    errors: object = None,
    groups: Mapping[str, object] | str | Path | None = None,
) -> Reading:
    """Regimes and anomaly scores of a panel; stderr says which. Raises InputError for a number out of range."""
    scorer = AnomalyScorer(bundle, alarms_per_1000=alarms_per_1000, groups=groups)
    names = group_names(groups, panel.assets)
    require_scores(names, panel.assets, scorer.days)  # before minutes of reading
    print(f"reading regimes of {panel.num_days:,} dates", file=sys.stderr, flush=True)
    labeler = RegimeLabeler(bundle, n_regimes=n_regimes, switches_per_year=switches_per_year)
    regimes = labeler.fit().label(panel)
    print(f"reading scores of {panel.num_assets:,} assets", file=sys.stderr, flush=True)
    scores = scorer.fit(panel, errors=errors).score(panel, errors=errors)
    asked: dict[str, float] = {
        "regimes": n_regimes,
        "switches a year": switches_per_year,
        "alarms per 1,000": alarms_per_1000,
    }
    if errors is not None:
        asked["data errors left out"] = int(marked_cells(errors, panel).sum())
    if groups is not None:
        asked["groups calibrated apart"] = len(np.unique(names))
    return Reading(regimes, scores, asked)
