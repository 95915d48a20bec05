"""What a view selects of a reading: dates, assets in order, and the date that counts as today."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok_dashboard.formats import moment

if TYPE_CHECKING:
    from fintok import Panel
    from fintok_dashboard.reading import Reading
    from fintok_dashboard.view import View


class Selection(NamedTuple):
    """Part of a panel with at least one date and one asset."""

    rows: slice  # dates in the range; all of them where the range holds none
    assets: NDArray[np.intp]  # columns of the group, in the view's order; all where there is no such group

    @property
    def today(self) -> int:
        """The last row of the range."""
        return self.rows.stop - 1


def select(reading: Reading, view: View) -> Selection:
    """The part of a reading that a view names."""
    rows = _rows(reading.panel.dates, view)
    order, groups = reading.arrangement
    assets = groups.get(view.group, order)
    if view.order == "group":
        place = {int(a): number for number, name in enumerate(groups) for a in groups[name]}
        assets = np.array(sorted(assets.tolist(), key=lambda a: place.get(a, len(groups))), dtype=np.intp)
    elif view.order == "score":
        part = reading.scores.score[rows][:, assets]
        height = np.where(np.isfinite(part), part, -1.0).max(axis=0, initial=-1.0)
        assets = assets[np.argsort(-height, kind="stable")]
    elif view.order == "name":
        assets = np.array(sorted(assets.tolist(), key=lambda a: reading.panel.assets[a]), dtype=np.intp)
    return Selection(rows, assets)


def row_of(panel: Panel, day: str) -> int | None:
    """The row of a date as an address says it; None for one that the panel lacks."""
    try:
        wanted = np.datetime64(day, "ns")
    except ValueError:
        return None
    row = int(np.searchsorted(panel.dates, wanted))
    found = row < panel.num_days and panel.dates[row] == wanted
    return row if found else None


def day_of(panel: Panel, row: int) -> str:
    """The date of a row as addresses and marks say it: `row_of` finds the row again."""
    return moment(panel.dates[row]).replace(" ", "T")


def _rows(dates: NDArray[np.datetime64], view: View) -> slice:
    first = 0 if view.start is None else int(np.searchsorted(dates, np.datetime64(view.start, "ns")))
    last = len(dates)
    if view.end is not None:
        last = int(np.searchsorted(dates, np.datetime64(view.end, "ns") + np.timedelta64(1, "D")))
    return slice(first, last) if first < last else slice(0, len(dates))
