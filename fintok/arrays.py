"""Arrays as a panel takes them: numbers and moments of its own, checked."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fintok.errors import InputError, first_line
from fintok.spans import date_text


def numbers_of(data: Any, dtype: DTypeLike, what: str, source: str) -> NDArray[Any]:
    """The panel's own: what the caller does to the data later changes nothing here. Missing ones are NaN."""
    try:
        if hasattr(data, "iloc"):  # pandas, whose <NA> numpy does not know
            data = data.to_numpy(dtype, na_value=np.nan)
        with np.errstate(over="ignore"):  # beyond float32: infinite, and refused as such
            return read_only(np.array(data, dtype=dtype, copy=True, order="C"))
    except (TypeError, ValueError) as error:
        raise InputError(f"{source}: the {what} are not an array of numbers: {first_line(error)}") from error


def moments_of(dates: Any, source: str) -> NDArray[np.datetime64]:
    """Dates as datetime64[ns], a copy. Raises InputError for those that are none, or lie outside 1677 to 2262."""
    dtype = getattr(dates, "dtype", None)
    kind = getattr(dtype, "kind", "")
    if kind == "M" and getattr(dtype, "tz", None) is None:
        given = np.asarray(dates)
        moments = given.astype("datetime64[ns]")
        lost = (moments.astype(given.dtype) != given) & ~np.isnat(given)
        if lost.any():
            date = given[lost][0]
            raise InputError(f"{source}: row {int(lost.argmax())} is of {date}; dates lie between 1677 and 2262")
        return moments
    import polars as pl

    from fintok.dates import parse_dates
    from fintok.tables import Table

    column = pl.Series("dates", list(dates) if kind == "O" else dates)
    return np.array(parse_dates(column, Table(column.to_frame().lazy(), source)))


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """An array of the panel's own, row by row in memory and never written to again."""
    array = np.ascontiguousarray(array)
    array.setflags(write=False)
    return array


def check_dates(dates: NDArray[np.datetime64], source: str) -> None:
    if np.isnat(dates).any():
        raise InputError(f"{source}: row {int(np.isnat(dates).argmax())} has no date")
    steps = np.diff(dates) <= np.timedelta64(0)
    if steps.any():
        row = int(steps.argmax()) + 1
        date = date_text(dates, row)
        fault = "appears twice" if dates[row] == dates[row - 1] else "comes after a later date"
        raise InputError(f"{source}: date {date} (row {row}) {fault}; dates must strictly increase")


def check_numbers(
    table: NDArray[np.float64], dates: NDArray[np.datetime64], names: Sequence[str], values: str, source: str
) -> None:
    bad = np.isinf(table) | (table <= 0.0) if values == "prices" else np.isinf(table)
    if not bad.any():
        return
    row, column = divmod(int(bad.argmax()), bad.shape[1])
    date = date_text(dates, row)
    number = float(table[row, column])
    count = f"{int(bad.sum())} such in {int(bad.any(axis=0).sum())} of {len(names)} assets"
    if np.isinf(number):
        what = f"the {values.removesuffix('s')} of {names[column]} on {date}"
        raise InputError(f"{source}: {what} is infinite ({count}); correct it or empty it")
    raise InputError(
        f"{source}: the price of {names[column]} on {date} is {number:.10g} ({count}), and log returns need "
        "positive prices; correct it or leave it empty, or give returns (for futures and spreads: "
        "differences) with --values returns"
    )
