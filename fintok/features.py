"""Features in scikit-learn's form at the door of an estimator: a table of numbers, a row a day, in their order."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.errors import InputError

_ROWS_PER_YEAR = 252  # of a table without dates


class Features(NamedTuple):
    values: NDArray[np.float64]  # (N, F), finite
    dates: NDArray[np.datetime64]  # (N,)


def read_features(estimator: object, table: Any, *, is_fit: bool) -> Features:
    """Check a table (N, F) as scikit-learn's estimators do; rows without an index of dates are exchange days.

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
    values: Any = validate_data(estimator, table, reset=is_fit, dtype=np.float64)
    index: Any = getattr(table, "index", None)
    if getattr(getattr(index, "dtype", None), "kind", "") == "M":
        if getattr(index, "tz", None) is not None:
            index = index.tz_convert(None)  # UTC, without saying so
        dates = np.asarray(index, dtype="datetime64[ns]")
        if (np.diff(dates) <= np.timedelta64(0)).any():
            raise InputError("the dates of the features must strictly increase: sort the table by its index")
        return Features(values, dates)
    step = np.timedelta64(365 * 24 * 60 + 6 * 60, "m") / _ROWS_PER_YEAR
    return Features(values, np.datetime64("2000-01-03", "ns") + np.arange(len(values)) * step)
