"""Ticks of an axis that counts rows: dates that fit beside one another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fintok_dashboard.formats import moment

_YEARS = (1, 2, 5, 10, 20)
_PIXELS_EACH = 12.0  # of a name
_DAY_TO_HOUR = 10 / 16  # letters of 2020-03-16 beside those of 2020-03-16 15:00


def date_ticks(dates: NDArray[np.datetime64], rows: slice, most: int) -> tuple[list[int], list[str]]:
    """Rows to mark and what to write there, at most about `most`: years, else months, else days, or fewer hours."""
    part = dates[rows]
    years = part.astype("datetime64[Y]").astype(int) + 1970
    first_of_year = np.flatnonzero(np.diff(years, prepend=years[:1] - 1)) if len(part) else np.arange(0)
    if len(first_of_year) > 4:
        step = next((step for step in _YEARS if len(first_of_year) <= step * most), _YEARS[-1])
        chosen = [int(k) for k in first_of_year if years[k] % step == 0 and (k > 0 or _starts_year(part))]
        return [rows.start + k for k in chosen], [str(years[k]) for k in chosen]
    months = part.astype("datetime64[M]")
    first_of_month = np.flatnonzero(np.diff(months.astype(int), prepend=months[:1].astype(int) - 1))
    if len(first_of_month) > 4:
        chosen = [int(k) for k in first_of_month[:: max(-(-len(first_of_month) // most), 1)]]
        return [rows.start + k for k in chosen], [str(months[k]) for k in chosen]
    if not np.array_equal(part, part.astype("datetime64[D]")):
        most = max(int(most * _DAY_TO_HOUR), 1)
    chosen = list(range(0, len(part), max(-(-len(part) // most), 1)))
    return [rows.start + k for k in chosen], [moment(part[k]) for k in chosen]


def name_ticks(count: int, pixels: float) -> list[int]:
    """Places of names that fit one below the other."""
    step = max(int(np.ceil(count * _PIXELS_EACH / max(pixels, 1.0))), 1)
    return list(range(0, count, step))


def _starts_year(part: NDArray[np.datetime64]) -> bool:
    return bool((part[0] - part[0].astype("datetime64[Y]")) < np.timedelta64(10, "D"))
