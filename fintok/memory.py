"""What a model remembers of the assets that it learned from, so that a file which begins later is read in their units.

Moves are read in units of each asset's past, and a file may hold little of it: without a memory calm years alone make
every later day look wild. Kept are sums, not returns: how many there were, how large, and how they went with the
market.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.channels import Past, past_sums, scaled_returns
from fintok.expected_size import usual_sizes
from fintok.panel import Panel, Values

_STEP = 20  # rows from one remembered date to the next
_SAME_FREQUENCY = 1.5  # a usual step may be that many times another's
_SAME_UNIT = 10.0  # ... and an asset's moves, which in a crash are six times the usual ones
_WITHOUT = "its memory is not used, and labels are relative to the history that this file has"


class Recall(NamedTuple):
    """What a model remembers of a panel's assets, and what is to be said of it."""

    past: Past | None = None  # None = nothing, or not of this panel
    remark: str = ""  # a sentence; "" where the panel begins no later, or is of other assets


@dataclass(frozen=True, eq=False)
class Memory:
    """The past of a training panel's A assets, as it was on every twentieth of its dates and after the last."""

    assets: tuple[str, ...]
    values: Values
    dates: NDArray[np.datetime64]  # (G,) sums are of the rows before
    sums: NDArray[np.float32]  # (G, A, 4) those of `Past`
    usual_sizes: NDArray[np.float32]  # (A,) that of `Past`
    days_per_row: float  # the usual step

    @classmethod
    def of(cls, panel: Panel, min_observations: int) -> Memory:
        """Of a training panel; `min_observations` as the imager has it."""
        rows = np.append(np.arange(0, panel.num_days, _STEP), panel.num_days)
        after = panel.dates[-1:] + np.timedelta64(1, "ns")
        return cls(
            assets=panel.assets,
            values=panel.values,
            dates=np.concatenate([panel.dates, after])[rows],
            sums=past_sums(scaled_returns(panel, min_observations), rows).astype(np.float32),
            usual_sizes=usual_sizes(panel).astype(np.float32),
            days_per_row=_usual_step(panel.dates),
        )

    @property
    def facts(self) -> dict[str, Any]:
        """What is neither an array nor told by the training panel's description."""
        return {"values": self.values, "days_per_row": self.days_per_row}

    def arrays(self, number: int) -> dict[str, NDArray[Any]]:
        """The others, by name in the file of a bundle of several."""
        dates = self.dates.astype("datetime64[ns]").astype(np.int64)
        arrays = {"dates": dates, "sums": self.sums, "usual_sizes": self.usual_sizes}
        return {f"memory_{name}_{number}": array for name, array in arrays.items()}

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, NDArray[Any]], number: int, assets: Sequence[str], facts: Mapping[str, Any]
    ) -> Memory:
        """The reverse. Raises KeyError for an array that is not there."""
        dates, sums, usual = (arrays[f"memory_{name}_{number}"] for name in ("dates", "sums", "usual_sizes"))
        return cls(tuple(assets), dates=dates.astype("datetime64[ns]"), sums=sums, usual_sizes=usual, **facts)

    def recall(self, panel: Panel, first: slice) -> Recall:
        """What is remembered from before a panel's `first` rows; they alone are asked.

        Nothing where the panel begins no later than this one did, where fewer than half of the assets in its first rows
        are known, and where it has returns and not prices (or the reverse), rows more often or rarer, or moves of
        another unit. Names decide what is the same asset.
        """
        place = int(np.searchsorted(self.dates, panel.dates[first.start], side="right")) - 1
        columns = {asset: column for column, asset in enumerate(self.assets)}
        column = np.array([columns.get(asset, -1) for asset in panel.assets])
        known = (column >= 0) & (self.sums[place, column, 0] > 0)
        is_there = np.asarray(np.isfinite(panel.returns[first]).any(axis=0))
        if place <= 0:
            return Recall()
        if not is_there[known].any():
            return Recall(None, self._why_nobody(panel, int(known.sum())))
        sums = np.where(known[:, None], self.sums[place, column], 0.0).astype(np.float64)
        past = Past(*sums.T, usual_sizes=np.where(known, self.usual_sizes[column], 0.0).astype(np.float64))
        doubt = self._doubt(panel, first, past, is_there)
        if doubt:
            return Recall(None, f"{doubt}: {_WITHOUT}")
        others = "" if known.all() else "; the others are read in units of this file's, and depend on where it begins"
        return Recall(
            past,
            f"the model remembers {past.num_known} of {panel.num_assets} assets from before the first row, and reads "
            f"them in units of that longer past{others}",
        )

    def _doubt(self, panel: Panel, first: slice, past: Past, is_there: NDArray[np.bool_]) -> str:
        """Why the panel is not of the market that is remembered; "" if it is."""
        known = is_there & (past.num_returns > 0)
        if 2 * known.sum() < is_there.sum():
            return (
                f"the model remembers {known.sum()} of the {is_there.sum()} assets in the first rows, fewer than half"
            )
        if panel.values != self.values:
            return f"the model remembers {self.values}, and the panel has {panel.values}"
        longer = _usual_step(panel.dates[first]) / self.days_per_row
        if max(longer, 1.0 / longer) > _SAME_FREQUENCY:
            return f"rows are {longer:.2g} times as far apart as those that the model remembers"
        moves = np.nanmean(np.abs(panel.returns[first][:, known]), axis=0)
        larger = float(np.median(moves * past.num_returns[known] / np.maximum(past.total[known], 1e-300)))
        if larger > _SAME_UNIT or 0.0 < larger < 1.0 / _SAME_UNIT:
            return f"moves are {larger:.3g} times those that the model remembers, as of another unit or market"
        return ""

    def _why_nobody(self, panel: Panel, num_known: int) -> str:
        """What to say where no asset of the first rows is known: where most are there later, and where most would be
        by a ticker in other letters or with a suffix."""
        if 2 * num_known >= panel.num_assets:
            return f"the {num_known} assets that the model remembers have no return in the first rows: {_WITHOUT}"
        mine = {_ticker(asset): asset for asset in self.assets}
        alike = [asset for asset in panel.assets if asset not in self.assets and _ticker(asset) in mine]
        if 2 * len(alike) < panel.num_assets:
            return ""
        return f"the model knows {mine[_ticker(alike[0])]!r}, and the panel has {alike[0]!r}: {_WITHOUT}"


def recall(memories: Sequence[Memory], panel: Panel, min_observations: int) -> Recall:
    """What is remembered of a panel, by the memory of most of the assets in its first rows: a training panel of several
    is read as it was learned from, whatever the others know of its assets.

    First rows are those until an asset can be observed, from the first with a return on: later ones change nothing.
    """
    has_return = np.isfinite(panel.returns).any(axis=1)
    start = int(has_return.argmax()) if has_return.any() else panel.num_days
    first = slice(start, start + min_observations + 1)
    if first.stop > panel.num_days:
        return Recall()
    is_there = np.isfinite(panel.returns[first]).any(axis=0)
    there = {panel.assets[column] for column in np.flatnonzero(is_there)}
    nearest = max(memories, key=lambda memory: len(there.intersection(memory.assets)), default=None)
    return Recall() if nearest is None else nearest.recall(panel, first)


def _usual_step(dates: NDArray[np.datetime64]) -> float:
    """Median days from one row to the next."""
    return float(np.median(np.diff(dates)) / np.timedelta64(1, "D"))


def _ticker(asset: str) -> str:
    """AAPL of "aapl", "AAPL US Equity" and "AAPL.US"."""
    return asset.casefold().split()[0].split(".")[0] if asset.strip() else asset
