"""What a bundle says of a panel: regimes and scores, read together."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fintok.anomaly import AnomalyScorer
from fintok.calibration import require_scores
from fintok.cells import marked_cells
from fintok.groups import group_names
from fintok.progress import is_quiet
from fintok.regimes import RegimeLabeler

if TYPE_CHECKING:
    from fintok.bundle import Bundle
    from fintok.panel import Panel
    from fintok.regime_result import Regimes
    from fintok.score_result import Scores


class MarketReading(NamedTuple):
    """What a bundle says of a panel."""

    regimes: Regimes
    scores: Scores
    asked: dict[str, float]  # what was asked for, by name, as the report tells it


def read_market(
    bundle: Bundle,
    panel: Panel,
    *,
    n_regimes: int = 4,
    switches_per_year: float = 4.0,
    alarms_per_1000: float = 1.0,
    errors: object = None,
    groups: Mapping[str, object] | str | Path | None = None,
) -> MarketReading:
    """Regimes and anomaly scores of a panel; stderr says which. Raises InputError for a number out of range."""
    scorer = AnomalyScorer(bundle, alarms_per_1000=alarms_per_1000, groups=groups)
    names = group_names(groups, panel.assets)
    require_scores(names, panel.assets, scorer.days)  # before minutes of reading
    _say(f"reading regimes of {panel.num_days:,} dates")
    labeler = RegimeLabeler(bundle, n_regimes=n_regimes, switches_per_year=switches_per_year)
    regimes = labeler.fit().label(panel)
    _say(f"reading scores of {panel.num_assets:,} assets")
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
    return MarketReading(regimes, scores, asked)


def _say(text: str) -> None:
    if not is_quiet():
        print(text, file=sys.stderr, flush=True)
