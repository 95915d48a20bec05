"""Which column of a table is the date, the symbol, the price; and how dates are written."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fintok.errors import InputError
from fintok.panel import FIELDS
from fintok.tables import FILE, Table

_DATES = ("date", "datetime", "timestamp", "time", "day", "dt", "trade_date", "trading_date", "price_date")
_INDEXES = ("", "index", "unnamed_0", "level_0", "index_level_0")  # what an index without a name is called
_SYMBOLS = ("symbol", "ticker", "asset", "instrument", "security", "stock", "coin", "pair", "permno", "isin",
            "ric", "cusip", "sedol", "figi", "sid", "code", "asset_id", "secid", "name", "id")  # fmt: skip
_PRICES = ("adj_close", "adjusted_close", "adjclose", "close_adj", "close_adjusted", "adjusted", "close",
           "price", "px_last", "last", "settle", "settlement", "nav")  # fmt: skip
_RETURNS = ("return", "returns", "ret", "log_return", "log_returns", "logret", "difference", "diff")
_FIELD_NAMES = {**{name: name for name in FIELDS}, "vol": "volume"}
_OF_ONE_ASSET = {*_FIELD_NAMES, *_PRICES, *_RETURNS}


class Columns(NamedTuple):
    """Names of the columns to read. A long table has a symbol and a price; a wide one has assets."""

    date: str
    symbol: str | None
    price: str | None
    fields: dict[str, str]  # open, high, low, close, volume -> the column's own name (long only)
    assets: tuple[str, ...]  # (wide only)


def plain(name: str) -> str:
    """A column's name in lower case with underscores: "Adj Close" -> "adj_close"."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def listed(names: Sequence[str]) -> str:
    """Names for a message: the first eight, and how many there are."""
    shown = ", ".join(repr(name) for name in names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"


def find_columns(table: Table, values: str, date: str | None, symbol: str | None, price: str | None) -> Columns:
    """Recognise the columns of a table; those that are named are taken. Raises InputError for one missing."""
    source, schema = table.name, table.frame.collect_schema()
    names = [name for name in schema.names() if name != FILE]
    for given, option in ((date, "date"), (symbol, "symbol"), (price, "price")):
        if given is not None and given not in names:
            near = get_close_matches(given, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {listed(names)}"
            raise InputError(f"{source}: there is no column {given!r} to take as the {option}; {hint}")
    date = date or _find_date(schema, names, source)
    rest = [name for name in names if name != date]
    prices = _RETURNS if values == "returns" else _PRICES
    found_price = price or _first_of(prices, rest)
    symbol = symbol or _find_symbol(table.frame, rest, has_price=found_price is not None)
    inside = [name for name in rest if name not in table.partitions]
    if symbol is None and inside and all(plain(name) in _OF_ONE_ASSET for name in inside):
        if FILE not in schema:
            raise InputError(
                f"{source}: one asset (columns {listed(names)}); fintok learns from how assets move together "
                "and needs at least two: add a symbol column, or give a folder with one file per symbol"
            )
        symbol = FILE
    if symbol is None:
        if price is not None:
            raise InputError(
                f"{source}: --price {price!r} is a column of a long table, and no symbol column was found among "
                f"{listed(names)}; name it with --symbol"
            )
        return Columns(date, None, None, {}, tuple(inside))
    if found_price is None:
        kind = "return" if values == "returns" else "price"
        raise InputError(f"{source}: no {kind} column among {listed(names)}; name it with --price")
    found = {_FIELD_NAMES[plain(name)]: name for name in reversed(rest) if plain(name) in _FIELD_NAMES}
    fields = {name: found[name] for name in FIELDS if name in found}
    return Columns(date, symbol, found_price, fields, ())


def parse_dates(column: pl.Series, source: str) -> NDArray[np.datetime64]:
    """Dates of a column as datetime64[ns]. Reads dates, timestamps, text, 20200131 and epochs.

    Times with a zone become UTC, unless all are local midnights: those are days. Raises InputError for a row
    without a date, or with something else.
    """
    name = column.name
    if column.null_count():
        row = int(column.is_null().arg_true()[0]) + 1
        count = column.null_count()
        raise InputError(f"{source}: column {name!r} has no date in row {row} ({count} such); fill it in")
    if column.dtype.is_integer():
        column = _from_integers(column, source)
    elif column.dtype in (pl.String, pl.Categorical, pl.Enum):
        column = _from_text(column.cast(pl.String).str.strip_chars(), source)
    elif not isinstance(column.dtype, pl.Datetime) and column.dtype != pl.Date:
        raise InputError(f"{source}: column {name!r} holds {column.dtype}, not dates; name one with --date")
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone:
        local = column.dt.replace_time_zone(None)
        days = bool((local.dt.truncate("1d") == local).all())
        column = local if days else column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return column.cast(pl.Datetime("ns")).to_numpy()


def _first_of(wanted: Sequence[str], names: Sequence[str]) -> str | None:
    """The column whose plain name comes first in `wanted`."""
    by_plain = {plain(name): name for name in reversed(names)}
    return next((by_plain[name] for name in wanted if name in by_plain), None)


def _find_date(schema: pl.Schema, names: Sequence[str], source: str) -> str:
    temporal = [name for name in names if isinstance(schema[name], pl.Datetime | pl.Date)]
    found = _first_of(_DATES, names) or (temporal[0] if temporal else None) or _first_of(_INDEXES, names[:1])
    if found is None:
        raise InputError(f"{source}: no date column among {listed(names)}; name it with --date")
    return found


def _find_symbol(frame: pl.LazyFrame, names: Sequence[str], *, has_price: bool) -> str | None:
    """A column named as symbols are; without a price beside it, it must hold text (else it is an asset)."""
    found = _first_of(_SYMBOLS, names)
    if found is None or has_price:
        return found
    first = frame.select(pl.col(found).drop_nulls().cast(pl.String).head(100)).collect().to_series()
    return found if first.cast(pl.Float64, strict=False).null_count() else None


def _from_integers(column: pl.Series, source: str) -> pl.Series:
    least, most = int(column.min() or 0), int(column.max() or 0)  # pyright: ignore[reportArgumentType]
    if least >= 17000101 and most <= 21001231:
        return _from_text(column.cast(pl.String), source)
    for power in (0, 3, 6, 9):  # epochs in s, ms, us, ns, from 1973 on
        if least >= 10 ** (8 + power) and most < 10 ** (10 + power):
            return (column.cast(pl.Int64) * 10 ** (9 - power)).cast(pl.Datetime("ns"))
    raise InputError(
        f"{source}: column {column.name!r} holds the whole numbers {least} to {most}, which are not dates; "
        "fintok needs the date of every row, in this column or in one named with --date"
    )


_TEXT_FORMATS = ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M",
                 "%Y/%m/%d", "%Y%m%d", "%d.%m.%Y", "%d-%b-%Y", "%Y/%m/%d %H:%M:%S%.f", "%Y/%m/%d %H:%M",
                 "%Y-%m-%d %H:%M:%S%.f%z", "%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%dT%H:%M:%S%.fZ")  # fmt: skip
_AMBIGUOUS = ("%m/%d/%Y", "%d/%m/%Y")


def _from_text(column: pl.Series, source: str) -> pl.Series:
    """Every different text is parsed once. The format that reads all of them is taken."""
    texts = column.unique()
    parsed = {style: _parse(texts, style) for style in _AMBIGUOUS} if "/" in str(texts[0]) else {}
    readable = [style for style, dates in parsed.items() if not dates.null_count()]
    if len(readable) == 2:
        raise InputError(
            f"{source}: dates like {texts[0]!r} in column {column.name!r} may be month or day first; "
            "write them as 2020-12-31"
        )
    most = None
    for style in (*readable, *_TEXT_FORMATS):
        dates = _parse(texts, style)
        if most is None or dates.null_count() < most.null_count():
            most = dates
        if not dates.null_count():
            break
    if most is None or most.null_count():
        unread = texts if most is None else texts.filter(most.is_null())
        row = int(column.is_in(unread.implode()).arg_true()[0])
        raise InputError(
            f"{source}: {column[row]!r} in column {column.name!r}, row {row + 1}, is not a date; "
            "write dates as 2020-12-31"
        )
    return column.replace_strict(texts, most, return_dtype=most.dtype)


def _parse(texts: pl.Series, style: str) -> pl.Series:
    if "%H" in style:
        return texts.str.to_datetime(style, strict=False, time_unit="ns", ambiguous="null")
    return texts.str.to_date(style, strict=False).cast(pl.Datetime("ns"))
