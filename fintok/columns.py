"""Which column of a table is the date, the symbol, the price."""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from fintok.errors import InputError, did_you_mean
from fintok.spellings import (
    COUNTERS,
    DATES,
    FIELD_NAMES,
    FIELDS,
    INDEXES,
    OF_ONE_ASSET,
    PRICES,
    RETURNS,
    SYMBOLS,
    plain,
)
from fintok.tables import FILE, MISSING, Table

_LONGEST = 200  # characters of a name in a message
_CLOCK = r"^\s*([01]?\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?\s*$|^([01]\d|2[0-3])[0-5]\d[0-5]\d$"
_LEAST_DATE = 170_001.0  # a date as a whole number is no less: a month


class Columns(NamedTuple):
    """Names of the columns to read. A long table has a symbol and a price; a wide one has assets."""

    date: str
    symbol: str | None
    price: str | None
    fields: dict[str, str]  # open, high, low, close, volume -> the column's own name (long only)
    assets: tuple[str, ...]  # (wide only)


def listed(names: Sequence[str]) -> str:
    """Names for a message: the first eight, long ones cut, and how many there are."""
    short = [name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…" for name in names[:8]]
    shown = ", ".join(map(repr, short)) or "no columns"
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"


def find_columns(table: Table, values: str, date: str | None, symbol: str | None, price: str | None) -> Columns:
    """Recognise the columns of a table; those that are named are taken. Raises InputError for one missing."""
    source, schema = table.name, table.frame.collect_schema()
    names = [name for name in schema.names() if name != FILE]
    for given, option in ((date, "date"), (symbol, "symbol"), (price, "price")):
        if given is not None and given not in names:
            hint = did_you_mean(given, names) or f"; there are {listed(names)}"
            raise InputError(f"{source}: there is no column {given!r} to take as the {option}{hint}")
    date = date or _find_date(table.frame, schema, names, source)
    rest = [name for name in names if name != date]
    prices = RETURNS if values == "returns" else PRICES
    found_price = price or first_of(prices, rest)
    symbol = symbol or _find_symbol(table.frame, rest, date, has_price=found_price is not None)
    counters = {name for name in rest if plain(name) in INDEXES and _is_counter(table.frame, name, names[0])}
    inside = [name for name in rest if name not in table.partitions and name not in counters]
    if symbol is None and _is_of_one_asset({plain(name) for name in inside}):
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
        if "" in inside:
            raise InputError(
                f"{source}: a column has no name; name it or leave it out (a comma at the end of each line makes one)"
            )
        return Columns(date, None, None, {}, tuple(inside))
    if found_price is None:
        kind = "return" if values == "returns" else "price"
        raise InputError(f"{source}: no {kind} column among {listed(names)}; name it with --price")
    found = {FIELD_NAMES[plain(name)]: name for name in reversed(rest) if plain(name) in FIELD_NAMES}
    fields = {name: found[name] for name in FIELDS if name in found}
    return Columns(date, symbol, found_price, fields, ())


def with_time_of_day(table: Table, columns: Columns) -> tuple[Table, Columns]:
    """A time of day in a column beside the date, as MetaTrader and stooq write hours, becomes part of the date where
    dates repeat; where they do not (when an asset last traded), it is passed over.
    """
    names = [name for name in table.frame.collect_schema().names() if name != columns.date]
    clock = first_of(("time",), names)
    sample = pl.Series() if clock is None else _sample(table.frame, clock)
    if clock is None or not len(sample) or not sample.str.contains(_CLOCK).all():
        return table, columns
    columns = columns._replace(assets=tuple(name for name in columns.assets if name != clock))
    keys = [name for name in (columns.date, columns.symbol) if name is not None]
    if not table.frame.select(pl.struct(keys).is_duplicated().any()).collect().item():
        return table, columns
    time = pl.col(clock).cast(pl.String).str.replace(r"^(\d\d)(\d\d)(\d\d)$", "$1:$2:$3")
    day = pl.col(columns.date).cast(pl.String).str.replace(r"[T ]00:00:00(\.0+)?$", "")
    return table._replace(
        frame=table.frame.with_columns(pl.concat_str(day, time, separator=" ").alias(columns.date))
    ), columns


def _is_counter(frame: pl.LazyFrame, name: str, first: str) -> bool:
    """Whether a column beside the date, called as an index without a name is, numbers the rows.

    "index" may be an asset: what it holds must rise or fall with every row, as no price in whole points does.
    """
    if name == first and plain(name) in COUNTERS:
        return True
    sample = _sample(frame, name).cast(pl.Int64, strict=False)
    if not len(sample) or sample.null_count():
        return False
    steps = sample.diff().drop_nulls()
    return plain(name) != "index" or bool((steps > 0).all() or (steps < 0).all())


def _is_of_one_asset(names: set[str]) -> bool:
    """Whether a wide table's columns are one asset's bar: nothing else, or three of its parts beside whatever."""
    parts = {FIELD_NAMES[name] for name in names & FIELD_NAMES.keys()}
    return bool(names) and (names <= OF_ONE_ASSET or len(parts) >= 3)


def first_of(wanted: Sequence[str], names: Sequence[str]) -> str | None:
    """The column whose plain name comes first in `wanted`."""
    by_plain = {plain(name): name for name in reversed(names)}
    return next((by_plain[name] for name in wanted if name in by_plain), None)


def require_column(wanted: Sequence[str], names: Sequence[str], source: str, hint: str) -> str:
    """The column whose plain name comes first in `wanted`. Raises InputError where there is none."""
    found = first_of(wanted, names)
    if found is None:
        raise InputError(f"{source}: there is no column {wanted[0]!r} among {listed(names)}; {hint}")
    return found


def _find_date(frame: pl.LazyFrame, schema: pl.Schema, names: Sequence[str], source: str) -> str:
    """A column named as dates are, and not an asset of that name (DAY is Dayforce): it holds no decimals."""
    temporal = [name for name in names if isinstance(schema[name], pl.Datetime | pl.Date)]
    named = [name for name in names if plain(name) in DATES and _may_be_dates(_sample(frame, name))]
    found = first_of(DATES, named) or (temporal[0] if temporal else None) or first_of(INDEXES, names[:1])
    if found is None:
        raise InputError(f"{source}: no date column among {listed(names)}; name it with --date")
    return found


def _find_symbol(frame: pl.LazyFrame, names: Sequence[str], date: str, *, has_price: bool) -> str | None:
    """A column named as symbols are, and not an asset of that name (COIN is Coinbase): it holds text or whole numbers.

    Without a price beside it, whole numbers must be written without a decimal point, and dates must repeat.
    """
    found = first_of(SYMBOLS, names)
    if found is None:
        return None
    first = _sample(frame, found)
    numbers = first.cast(pl.Float64, strict=False)
    if numbers.null_count() > 0:
        return found
    if has_price:
        return found if (numbers == numbers.floor()).all() else None
    if _has_decimals(first):
        return None
    repeats = frame.select((pl.len() < 2) | pl.col(date).is_duplicated().any()).collect().item()
    return found if repeats else None


def _sample(frame: pl.LazyFrame, name: str) -> pl.Series:
    """The first hundred values of a column that are there, as text."""
    text = pl.col(name).cast(pl.String)
    return frame.select(text.filter(~text.is_in(MISSING)).head(100)).collect().to_series()


def _may_be_dates(sample: pl.Series) -> bool:
    """No decimals, or such as whole floats have: 20170113.0, an epoch."""
    if not _has_decimals(sample):
        return True
    numbers = sample.cast(pl.Float64)
    return bool((numbers == numbers.floor()).all() and (numbers >= _LEAST_DATE).all())


def _has_decimals(sample: pl.Series) -> bool:
    """Whether these are numbers of which some are not written as whole ones."""
    is_number = len(sample) > 0 and sample.cast(pl.Float64, strict=False).null_count() == 0
    return is_number and sample.cast(pl.Int64, strict=False).null_count() > 0
