"""How dates are written: timestamps with and without a zone, text of many styles, 20200131, months, epochs."""

import datetime as dt
import warnings

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fintok.errors import InputError
from fintok.numbers import whole
from fintok.tables import Table

_STYLES = ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M",
           "%Y/%m/%d", "%Y%m%d", "%d.%m.%Y", "%d-%b-%Y", "%Y/%m/%d %H:%M:%S%.f", "%Y/%m/%d %H:%M",
           "%d.%m.%Y %H:%M:%S%.f", "%d.%m.%Y %H:%M", "%Y-%m-%d %H:%M:%S%.f%z", "%Y-%m-%dT%H:%M:%S%.f%z",
           "%Y-%m-%dT%H:%M:%S%.fZ", "%Y-%m-%d %I:%M %p", "%Y-%m-%d %I:%M:%S %p", "%B %d, %Y", "%d-%b-%y", "%d.%m.%y",
           "%Y年%m月%d日")  # fmt: skip
_MONTH_OR_DAY_FIRST = tuple(
    (f"%m{mark}%d{mark}{year}{time}", f"%d{mark}%m{mark}{year}{time}")
    for mark, year in (("/", "%Y"), ("-", "%Y"), ("/", "%y"))
    for time in ("", " %H:%M", " %H:%M:%S%.f", " %I:%M %p", " %I:%M:%S %p")
)
_PERIOD = r"^(\d{4})(?:-(\d\d)|[ -]?[Qq]([1-4]))$"  # a month, or a quarter
_ISO = r"^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d(?:\.\d+)?)?)?$"
_MIDNIGHT = r"[T ]00:00(:00(\.0+)?)?(Z|[+-]\d\d:?\d\d)?$"


def parse_dates(column: pl.Series, table: Table, *, may_be_days: bool = True) -> NDArray[np.datetime64]:
    """Dates of a column of a table as datetime64[ns].

    Times with a zone become UTC, unless all are local midnights and `may_be_days`: those are days. Months and quarters
    become their last days. Raises InputError for a row without a date, or with something else, and for dates whose
    month and day may be exchanged.
    """
    name, source = column.name, table.name
    if column.dtype == pl.Float64:
        column = whole(column)
    if column.null_count():
        file, row = table.where(int(column.is_null().arg_true()[0]))
        count = column.null_count()
        raise InputError(
            f"{file}: column {name!r} has no date in row {row} ({count} such); fill it in or remove the row"
        )
    if column.dtype.is_integer():
        column = _from_integers(column, table)
    elif column.dtype in (pl.String, pl.Categorical, pl.Enum):
        column = _from_text(column.cast(pl.String).str.strip_chars(), table, may_be_days)
    elif not isinstance(column.dtype, pl.Datetime) and column.dtype != pl.Date:
        raise InputError(f"{source}: column {name!r} holds {column.dtype}, not dates; name one with --date")
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone:
        local = column.dt.replace_time_zone(None)
        are_days = may_be_days and bool((local.dt.truncate("1d") == local).all())
        column = local if are_days else column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    try:
        return column.cast(pl.Datetime("ns")).to_numpy()
    except pl.exceptions.InvalidOperationError as error:
        raise InputError(
            f"{source}: column {name!r} goes from {column.min()} to {column.max()}; dates lie between 1677 and 2262"
        ) from error


def _from_integers(column: pl.Series, table: Table) -> pl.Series:
    least, most = int(column.min() or 0), int(column.max() or 0)  # pyright: ignore[reportArgumentType]
    if least >= 17000101 and most <= 21001231:
        return _from_text(column.cast(pl.String), table)
    if least >= 170001 and most <= 210012 and (column % 100).is_between(1, 12).all():  # months
        return _from_text(column.cast(pl.String).str.replace(r"(..)$", "-$1"), table)
    for power in (0, 3, 6, 9):  # epochs in s, ms, us, ns, from 1973 on
        if least >= 10 ** (8 + power) and most < 10 ** (10 + power):
            return (column.cast(pl.Int64) * 10 ** (9 - power)).cast(pl.Datetime("ns"))
    raise InputError(
        f"{table.name}: column {column.name!r} holds the whole numbers {least} to {most}, which are not dates; "
        "fintok needs the date of every row, in this column or in one named with --date"
    )


def _from_text(column: pl.Series, table: Table, may_be_days: bool = True) -> pl.Series:
    """Every different text is parsed once, in the one style that reads all of them."""
    column = column.str.replace(r" ?(UTC|GMT)$", "+00:00")
    texts = column.unique(maintain_order=True)  # what is guessed, and told, is of the first
    if texts.str.contains(r"^\d{6,19}\.0+$").all():
        return _from_text(column.str.replace(r"\.0+$", ""), table)
    if texts.str.contains(r"^\d{1,19}$").all() and not (texts.str.len_chars() == 8).all():
        return _from_integers(column.cast(pl.Int64), table)
    are_days = may_be_days and texts.str.contains(_MIDNIGHT).all()
    bare = texts.str.replace(_MIDNIGHT, "") if are_days else _in_full(texts)
    if bare.str.contains(_PERIOD).all():
        best, styles = _month_ends(bare), []
    else:
        best, styles = None, [*_unambiguous(bare, column.name, table.name), *_STYLES, None]
    for style in styles:
        style = style or _guess(bare)
        dates = _parse(bare, style)
        if best is None or dates.null_count() < best.null_count():
            best = dates
        if not best.null_count():
            break
    assert best is not None
    if best.null_count():
        place = int(column.is_in(texts.filter(best.is_null()).implode()).arg_true()[0])
        file, row = table.where(place)
        raise InputError(
            f"{file}: {column[place]!r} in column {column.name!r}, row {row}, is not a date; write dates as 2020-12-31"
        )
    return column.replace_strict(texts, best, return_dtype=best.dtype)


def _month_ends(texts: pl.Series) -> pl.Series:
    """Last days of months and quarters: what such a period holds is known then."""
    parts = texts.str.extract_groups(_PERIOD).struct.unnest()
    month = parts["2"].fill_null((parts["3"].cast(pl.Int64) * 3).cast(pl.String))
    return _parse(parts["1"] + "-" + month + "-01", "%Y-%m-%d").dt.month_end()


def _guess(texts: pl.Series) -> str:
    """The style that pandas sees in the first text."""
    from pandas.tseries.api import guess_datetime_format

    with warnings.catch_warnings(action="ignore"):  # that the day comes first, where the month cannot
        return guess_datetime_format(str(texts[0]).title()) or _STYLES[0]


def _in_full(texts: pl.Series) -> pl.Series:
    """ISO texts of several lengths (days beside minutes and seconds) in the longest; others as they are."""
    parts = texts.str.extract_groups(_ISO).struct.unnest()
    if parts["1"].null_count() or texts.str.len_chars().n_unique() == 1:
        return texts
    return parts["1"] + " " + parts["2"].fill_null("00:00") + parts["3"].fill_null(":00")


def _unambiguous(texts: pl.Series, name: str, source: str) -> list[str]:
    """Month first or day first, whichever alone can read all texts; none where neither comes first."""
    if not texts.str.contains(r"^\d\d?[/-]\d\d?[/-]").all():
        return []
    for styles in _MONTH_OR_DAY_FIRST:
        readable = [style for style in styles if not _parse(texts, style).null_count()]
        if len(readable) == 2:
            raise InputError(
                f"{source}: dates like {texts[0]!r} in column {name!r} may be month or day first; "
                "write them as 2020-12-31"
            )
        if readable:
            return readable
    return []


def _parse(texts: pl.Series, style: str) -> pl.Series:
    if "%H" in style or "%I" in style:
        return texts.str.to_datetime(style, strict=False, time_unit="ns", ambiguous="null")
    days = texts.str.to_date(style, strict=False)
    if "%y" in style:  # 68 is read as 2068: whoever means 1968 has to say so
        days = days.set(days > dt.date.today(), None)
    return days.cast(pl.Datetime("ns"), strict=False)  # with %Y, a year of two digits lies before 1677: no date
