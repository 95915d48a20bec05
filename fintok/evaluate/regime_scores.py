"""Every labelling of every method, scored on the judged days."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.evaluate.label_paths import Persistence, persistence, shift_p_value
from fintok.evaluate.log_score import densities
from fintok.evaluate.market import Market
from fintok.evaluate.regime_rivals import Method, calm_to_stressed
from fintok.progress import track

if TYPE_CHECKING:
    import pandas as pd

NUMBERS = (2, 3, 4, 5, 6)  # of regimes


class Scored(NamedTuple):
    """A labelling and what it reached on the R judged days."""

    method: str
    setting: str
    num_regimes: int
    labels: NDArray[np.int64]  # (T,) 0 = calmest; before the market's first row they mean nothing
    score: float  # nats per asset-day
    daily: NDArray[np.float64]  # (R,) summed log density of each day
    path: Persistence
    p_value: float  # of the path's timing

    @property
    def name(self) -> dict[str, Any]:
        """The first columns of a table."""
        return {"method": self.method, "setting": self.setting, "regimes": self.num_regimes}

    @property
    def description(self) -> str:
        return f"{self.method} ({self.num_regimes} regimes, {self.setting})"


def score_methods(methods: Sequence[Method], market: Market, seed: int) -> tuple[list[Scored], list[str]]:
    """Labellings with 2 to 6 regimes, learned up to the cut; and a sentence for each fit that failed."""
    one = np.zeros(market.panel.num_days, dtype=np.int64)
    scored, failures = [_score("one regime", "all days", 1, one, market, seed)], []
    for method, num_regimes in track([(method, k) for method in methods for k in NUMBERS], "regimes"):
        try:
            labellings = method.label(market, num_regimes, market.cut, seed)
        except (ValueError, np.linalg.LinAlgError) as error:  # a library's fit on odd data
            failures.append(f"{method.name} with {num_regimes} regimes could not be fitted: {error}.")
            continue
        for setting, labels in labellings.items():
            labels = calm_to_stressed(labels, market, market.cut)
            scored.append(_score(method.name, setting, num_regimes, labels, market, seed))
    return scored, failures


def score_table(scored: Sequence[Scored]) -> pd.DataFrame:
    """A row a labelling."""
    import pandas as pd

    rows = [{**one.name, "log_score": one.score, **one.path._asdict(), "shift_p_value": one.p_value} for one in scored]
    return pd.DataFrame(rows)


def _score(method: str, setting: str, num_regimes: int, labels: NDArray[np.int64], market: Market, seed: int) -> Scored:
    known, before = densities(labels, market.returns, market.first, market.cut), labels[market.cut - 1 : -1]
    path, p_value = persistence(labels, num_regimes, market), shift_p_value(known, before, seed)
    return Scored(method, setting, num_regimes, labels, known.score(before), known.of_days(before), path, p_value)
