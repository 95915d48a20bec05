"""Features in scikit-learn's form at the door of an estimator: a table of numbers, a row a day, in their order."""

import re
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.arrays import moments_of
from fintok.errors import InputError
from fintok.spans import date_text

_ROWS_PER_YEAR = 252  # of a table without dates


class Features(NamedTuple):
    values: NDArray[np.float64]  # (N, F), finite
    dates: NDArray[np.datetime64]  # (N,)


def read_features(estimator: object, table: Any, *, is_fit: bool) -> Features:
    """Check a table (N, F) as scikit-learn's estimators do; rows without dates are exchange days.

    `is_fit` remembers the number and names of the columns on the estimator, later tables are held against them.
    Raises InputError where scikit-learn is not installed, ValueError in its own words for what is not such a table,
    and for dates that do not increase.
    """
    try:
        from sklearn.utils.validation import check_is_fitted, validate_data  # pyright: ignore[reportMissingImports]
    except ImportError:
        kind = type(table).__name__
        raise InputError(
            f"expected a Panel (fintok.read_panel), got {kind}; features need scikit-learn: "
            'pip install "fintok[sklearn]"'
        ) from None
    if not is_fit:
        check_is_fitted(estimator)
    dates, table = _split_dates(table)
    values: Any = validate_data(estimator, table, reset=is_fit, dtype=np.float64)
    if dates is None:
        step = np.timedelta64(365 * 24 * 60 + 6 * 60, "m") / _ROWS_PER_YEAR
        dates = np.datetime64("2000-01-03", "ns") + np.arange(len(values)) * step
    elif len(back := np.flatnonzero(np.diff(dates) <= np.timedelta64(0))):
        before, after = (date_text(dates, int(row)) for row in (back[0], back[0] + 1))
        raise InputError(
            f"the dates of the features must strictly increase, and {after} follows {before}: sort the table by its "
            "dates, and keep one row of each"
        )
    return Features(values, dates)


def _split_dates(table: Any) -> tuple[NDArray[np.datetime64] | None, Any]:
    """The dates of a table, if it has some, and the table without them: its index or its one column of dates. Moments
    with a zone become UTC, unless all are local midnights.
    """
    index: Any = getattr(table, "index", None)
    if type(index).__name__ == "PeriodIndex":
        index = index.end_time
    is_polars = not hasattr(index, "dtype")
    if is_polars or not len(index) or index.nlevels > 1 or re.match(r"(NaT|\d+[-/.]\d)", str(index[0])) is None:
        temporal = _date_columns(table)  # the index has but numbers and names of rows
        if len(temporal) > 1:
            raise InputError(f"the features have several columns of dates, {', '.join(temporal)}: keep one")
        if not temporal:
            return None, table
        if is_polars:
            index, table = table[temporal[0]], table.drop(temporal[0])
        else:
            import pandas as pd

            index, table = pd.DatetimeIndex(table[temporal[0]]), table.drop(columns=temporal[0])
    if index.has_nulls() if hasattr(index, "has_nulls") else index.hasnans:
        raise InputError("a row of the features has no date: fill it in or remove the row")
    return moments_of(index, "the features"), table


def _date_columns(table: Any) -> list[Any]:
    """Names of the columns of a polars or pandas table that hold dates."""
    if hasattr(table, "schema"):
        return [name for name, dtype in table.schema.items() if getattr(dtype, "is_temporal", bool)()]
    dtypes: Any = getattr(table, "dtypes", None)
    return [name for name, dtype in dtypes.items() if "datetime64" in str(dtype)] if hasattr(dtypes, "items") else []
