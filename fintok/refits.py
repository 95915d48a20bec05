"""Regimes that learn on as time goes on: one call, one path, and how steady it is."""

import copy
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.errors import InputError
from fintok.panel import Panel, require_panel
from fintok.progress import track
from fintok.regime_match import drift
from fintok.regime_result import Regimes
from fintok.regime_training import ROWS_TO_FIT
from fintok.regimes import RegimeLabeler, require_labeler
from fintok.signature import rows_per_year
from fintok.spans import DateLike, rows_until
from fintok.split import walk_forward as walk_forward_splits

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    import polars as pl

_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class WalkForward:
    """The regimes of a panel, each stretch labelled by the newest fit before it. Built by `fintok.walk_forward`."""

    regimes: Regimes
    refits: "pd.DataFrame"
    """One row per fit: until (last date learned from), rows (learned from), agreement (share of the rows that the
    fit before learned from which keep their regime) and distance (of the regime that moved most, in spreads of the
    signatures before; above 1 the name has outlived its regime; NaN where one of them cannot be compared); NaN in the
    first row."""

    @property
    def agreement_mean(self) -> float:
        """Of one fit with the one before; NaN with a single fit."""
        return float(np.mean(self._agreements)) if len(self._agreements) else float("nan")

    @property
    def agreement_min(self) -> float:
        """Of the worst pair; NaN with a single fit."""
        return float(np.min(self._agreements)) if len(self._agreements) else float("nan")

    @property
    def _agreements(self) -> NDArray[np.float64]:
        return self.refits["agreement"].to_numpy(np.float64)[1:]

    def __repr__(self) -> str:
        return (
            f"WalkForward({len(self.refits)} fits, agreement {self.agreement_mean:.3f}, at worst "
            f"{self.agreement_min:.3f}; {self.regimes.switches_per_year:.1f} switches a year)"
        )

    def summary(self) -> "pd.DataFrame":
        """The table of fits."""
        return self.refits.copy()

    def plot(self) -> "go.Figure":
        """The ribbon of regimes."""
        return self.regimes.plot()

    def to_pandas(self) -> "pd.DataFrame":
        """The path: see `Regimes.to_pandas`."""
        return self.regimes.to_pandas()

    def to_polars(self) -> "pl.DataFrame":
        """The same for polars."""
        return self.regimes.to_polars()


def walk_forward(
    labeler: RegimeLabeler, panel: Panel, *, refit: str = "1Y", start: DateLike | None = None
) -> WalkForward:
    """Let the regimes, not the network, learn on, and label each stretch by what was learned before it.

    The first fit learns from the rows up to `start` (the bundle's `train_end`, or the 500th row with a label where
    that is later) and also labels them; from there on each stretch of `refit` (as "3M", "1Y", "90D", in rows of the
    panel) is labelled by regimes that have learned on from all rows before it (`RegimeLabeler.update`: they keep their
    numbers and names). No label depends on later rows: where a stretch starts is counted from `start`. The labeler is
    copied.

    Raises InputError for a `refit` of another form, without rows after `start`, or with fewer than 500 labelled
    rows up to it.
    """
    import pandas as pd

    require_labeler(labeler)
    require_panel(panel)
    worker = copy.copy(labeler)
    vars(worker).update(vars(labeler))  # what it read last, too
    first = rows_until(panel.dates, worker.source().train_end if start is None else start)
    if start is None:
        labelled = np.flatnonzero(np.isfinite(worker.forecast(panel)).all(axis=1))
        first = max([first, *(labelled[ROWS_TO_FIT - 1 : ROWS_TO_FIT] + 1)])
    if not 0 < first < panel.num_days:
        raise InputError(
            f"{panel.source} has {first} of its {panel.num_days} rows up to the first fit; a walk needs rows before "
            "and after it: give another start, as start='2015-12-31'"
        )
    step = max(round(_years(refit) * rows_per_year(panel.dates[:first])), 1)
    splits = walk_forward_splits(panel.num_days, train_rows=first, test_rows=step, expanding=True)
    stretches, rows = [], []
    for split in track(list(splits), "refits"):
        end = int(split.train.stop)
        until, before = panel.dates[end - 1], stretches[-1] if stretches else None
        if before is None:
            worker.fit(panel, until=until)
        else:
            worker.update(panel, until=until)
        found = _Fit(worker.label(panel), worker.signature_, slice(end if stretches else 0, split.test.stop), end)
        stretches.append(found)
        agreement = found.agreement(before) if before else float("nan")
        distance = float(drift(before.signature, found.signature).max()) if before else float("nan")
        rows.append({"until": until, "rows": end, "agreement": agreement, "distance": distance})
    path = replace(
        stretches[0].regimes,
        labels=np.concatenate([fit.regimes.labels[fit.stretch] for fit in stretches]),
        probabilities=np.concatenate([fit.regimes.probabilities[fit.stretch] for fit in stretches]),
    )
    return WalkForward(regimes=path, refits=pd.DataFrame(rows))


class _Fit(NamedTuple):
    regimes: Regimes  # of the whole panel
    signature: "pd.DataFrame"
    stretch: slice  # the rows that it labels
    rows: int  # learned from

    def agreement(self, before: "_Fit") -> float:
        """Share of the labelled rows that both learned from with the same regime."""
        one, other = self.regimes.labels[: before.rows], before.regimes.labels[: before.rows]
        return float((one == other)[one >= 0].mean())


def _years(refit: str) -> float:
    found = re.fullmatch(r"\s*(\d+)\s*([DWMY])\s*", str(refit).upper())
    if found is None or int(found[1]) == 0:
        raise InputError(f"refit is {refit!r}, expected a number of days, weeks, months or years, as 90D, 6W, 3M or 1Y")
    return int(found[1]) * _YEARS[found[2]]
