"""What a model remembers of the assets that it learned from, so that a file which begins later is read in their units.

Moves are read in units of each asset's past, and a file may hold little of it: without a memory calm years alone make
every later day look wild. Kept are sums, not returns: how many there were, how large, and how they went
with the market.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fintok.channels import Past, past_sums, scaled_returns
from fintok.expected_size import usual_sizes
from fintok.panel import Panel, Values
from fintok.signature import rows_per_year

_STEP = 20  # rows from one remembered date to the next
_SAME_FREQUENCY = 2.0  # rows a year may differ by such a factor: five- and seven-day weeks, but not days and hours


@dataclass(frozen=True, eq=False)
class Memory:
    """The past of a training panel's A assets, as it was on every twentieth of its dates and after the last."""

    assets: tuple[str, ...]
    values: Values
    dates: NDArray[np.datetime64]  # (G,) sums are of the rows before
    sums: NDArray[np.float32]  # (G, A, 4) those of `Past`
    usual_sizes: NDArray[np.float32]  # (A,) mean absolute moves in the first 500 rows
    rows_per_year: float

    @classmethod
    def of(cls, panel: Panel, min_observations: int) -> Memory:
        """Of a training panel; `min_observations` as the imager has it."""
        sums = past_sums(scaled_returns(panel, min_observations))  # (T + 1, A, 4)
        rows = np.append(np.arange(0, panel.num_days, _STEP), panel.num_days)
        after = panel.dates[-1:] + np.timedelta64(1, "ns")
        return cls(
            assets=panel.assets,
            values=panel.values,
            dates=np.concatenate([panel.dates, after])[rows],
            sums=sums[rows].astype(np.float32),
            usual_sizes=usual_sizes(panel).astype(np.float32),
            rows_per_year=rows_per_year(panel.dates),
        )

    @property
    def facts(self) -> dict[str, Any]:
        """What is neither an array nor told by the training panel's description."""
        return {"values": self.values, "rows_per_year": self.rows_per_year}

    def before(self, panel: Panel, min_observations: int) -> Past | None:
        """What is remembered from before a panel's first row; None where that is nothing, or of another market.

        It is the same market if the panel has prices where this one had (or returns), rows as often, and at least half
        of the assets that have a return in its first rows are remembered: only its first `min_observations` + 1 rows
        are asked, on which nothing is observed yet, so that later ones change nothing.
        """
        place = int(np.searchsorted(self.dates, panel.dates[:1], side="right").sum()) - 1
        if place <= 0 or panel.num_days <= min_observations or panel.values != self.values:
            return None
        first = slice(min_observations + 1)
        often = rows_per_year(panel.dates[first]) / self.rows_per_year
        columns = {asset: column for column, asset in enumerate(self.assets)}
        column = np.array([columns.get(asset, -1) for asset in panel.assets])
        sums = np.where((column >= 0)[:, None], self.sums[place][column], np.float32(0.0)).astype(np.float64)
        is_there = np.isfinite(panel.returns[first]).any(axis=0)
        is_known = is_there & (sums[:, 0] > 0)
        if max(often, 1.0 / often) > _SAME_FREQUENCY or 2 * is_known.sum() < max(is_there.sum(), 1):
            return None
        return Past(*sums.T, usual_size=float(self.usual_sizes[column[is_known]].mean()))


def remembered(memories: Sequence[Memory], panel: Panel, min_observations: int) -> Past | None:
    """What was before a panel's first row, by the memory of most of the assets in its first rows: a training panel of
    several is read as it was learned from, whatever the others know of its assets."""
    is_there = np.isfinite(panel.returns[: min_observations + 1]).any(axis=0)
    there = {panel.assets[column] for column in np.flatnonzero(is_there)}
    nearest = max(memories, key=lambda memory: len(there.intersection(memory.assets)), default=None)
    return None if nearest is None else nearest.before(panel, min_observations)
