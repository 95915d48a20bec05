"""Dates as they are asked for: a year, a month, a day or a moment, and the rows of a panel that they span."""

import datetime as dt
import re
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fintok.errors import InputError

if TYPE_CHECKING:
    from pandas.api.typing import NaTType

    DateLike: TypeAlias = str | dt.date | np.datetime64 | NaTType  # what pandas types its Timestamps as; NaT is refused
else:
    DateLike = str | dt.date | np.datetime64
"""A span of time, or a moment. "2015", "2015-12", "2015-12-31", "20151231", a `datetime.date` and numpy dates as coarse
are all of that year, month or day; so is midnight as a `datetime.datetime` or pandas Timestamp without a zone: pandas
has no other way to say a day. Text with a time, and what numpy holds in seconds or finer (as `panel.dates` does), is
that moment. A time with a zone is converted to UTC, as the reader does; where the dates are days, it is its own day."""

_FIRST_YEAR, _LAST_YEAR = 1678, 2261  # that nanoseconds can count
_ZONE = re.compile(r"[T ]\d\d.*([Zz]|[+-]\d\d(:?\d\d)?)$")


def span_of(dates: NDArray[np.datetime64], date: DateLike) -> tuple[np.datetime64, np.datetime64]:
    """First moment of a date as it is asked of these dates, and the first moment after it, in nanoseconds.

    Raises InputError for what is not a date.
    """
    try:
        moment = _moment(dates, date)
    except (ValueError, TypeError, OverflowError):
        raise InputError(f"{date!r} is not a date; write it as 2015-12-31") from None
    if np.isnat(moment):
        raise InputError(f"{date!r} is not a date; write it as 2015-12-31")
    if not _FIRST_YEAR <= int(moment.astype("datetime64[Y]").astype(np.int64)) + 1970 <= _LAST_YEAR:
        raise InputError(f"{date!r} is not a date between {_FIRST_YEAR} and {_LAST_YEAR}; write it as 2015-12-31")
    if np.datetime_data(moment.dtype)[0] not in ("Y", "M", "W", "D", "h", "m"):  # a moment
        moment = moment.astype("datetime64[ns]")
    return moment.astype("datetime64[ns]"), (moment + 1).astype("datetime64[ns]")


def rows_until(dates: NDArray[np.datetime64], date: DateLike) -> int:
    """How many of the sorted dates lie at or before a date: all of a span's. Raises InputError for what is not one."""
    return int(np.searchsorted(dates, span_of(dates, date)[1], side="left"))


def rows_within(dates: NDArray[np.datetime64], part: slice) -> slice:
    """The slice of rows that a slice of rows or of dates means; of dates both ends are included."""
    start, stop = part.start, part.stop
    if not isinstance(start, int | np.integer | None):
        start = int(np.searchsorted(dates, span_of(dates, start)[0]))
    if not isinstance(stop, int | np.integer | None):
        stop = rows_until(dates, stop)
    return slice(start, stop)


def date_unit(dates: NDArray[np.datetime64]) -> Literal["D", "m", "s"]:
    """The coarsest unit that still tells these dates apart from their neighbours in print."""
    for unit in ("D", "m"):
        if (dates == dates.astype(f"datetime64[{unit}]")).all():
            return unit
    return "s"


def date_text(dates: NDArray[np.datetime64], row: int) -> str:
    """One of the dates for a message, to the unit that tells them apart."""
    return str(np.datetime_as_string(dates[row], unit=date_unit(dates)))


def _moment(dates: NDArray[np.datetime64], date: object) -> np.datetime64:
    """In the unit that says how much of the time is meant."""
    if isinstance(date, str) and not date[:1].isdigit():  # numpy knows "today" and "now": other rows every day
        raise ValueError(date)
    if isinstance(date, str) and re.fullmatch(r"\d{8}", date):  # to numpy a year
        date = f"{date[:4]}-{date[4:6]}-{date[6:]}"
    if isinstance(date, str) and _ZONE.search(date):
        date = dt.datetime.fromisoformat(date.upper())  # it knows Z, not z
    if isinstance(date, str | np.datetime64) or (isinstance(date, dt.date) and not isinstance(date, dt.datetime)):
        return np.datetime64(date)
    if not isinstance(date, dt.datetime) or date != date:  # NaT of pandas is a datetime as well
        raise TypeError(date)
    if date.tzinfo is None:
        return np.datetime64(date.date() if date.time() == dt.time() else date)
    if date_unit(dates) == "D":
        return np.datetime64(date.date())
    return np.datetime64(date.astimezone(dt.UTC).replace(tzinfo=None))
