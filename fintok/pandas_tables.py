"""pandas tables as polars ones: indexes and two levels of columns, as yfinance and terminals write them."""

import itertools
import re
from collections.abc import Sequence
from typing import Any

import polars as pl

from fintok.errors import InputError, first_line
from fintok.spellings import OF_ONE_ASSET, plain


def from_pandas(frame: Any) -> pl.LazyFrame:
    """A pandas table with its index as columns; two levels of columns (field, symbol) become a long table.

    Of two levels of rows, one without a name is the date if it holds dates, else the symbol.
    """
    import pandas as pd

    if frame.columns.nlevels == 1 and len(frame.columns) and all(_is_pair(name) for name in frame.columns):
        frame = frame.set_axis(pd.MultiIndex.from_tuples(frame.columns), axis=1)
    if frame.columns.nlevels == 2 and type(frame.index).__name__ == "RangeIndex":
        rows = [name for name in frame.columns if "" in name]  # ("Date", ""), as reset_index leaves it
        if len(rows) == 1:
            frame = frame.set_index(rows[0]).rename_axis("date")
    if frame.index.nlevels == 2:
        usual = ["date" if _are_dates(level) else "symbol" for level in frame.index.levels]
        frame = frame.rename_axis([name or other for name, other in zip(frame.index.names, usual, strict=True)])
    if frame.columns.nlevels == 2:
        levels = [{plain(str(name)) for name in frame.columns.get_level_values(level)} for level in (0, 1)]
        usual = [len(names & OF_ONE_ASSET) / max(len(names), 1) for names in levels]
        level = 0 if usual[1] > usual[0] else 1  # the level that names symbols
        frame = frame.copy(deep=False)
        frame.columns = frame.columns.set_names("symbol", level=level).set_names("field", level=1 - level)
        frame.index = frame.index.set_names("date")
        frame = frame.stack("symbol", future_stack=True)
    elif frame.columns.nlevels > 2:
        raise InputError("the pandas table has columns of more than two levels; give it one or two")
    if not frame.columns.is_unique:
        name = frame.columns[frame.columns.duplicated()][0]
        raise InputError(f"the pandas table: column {name!r} appears twice; give every column its own name")
    for name in [name for name in frame.index.names if name is not None and name in frame.columns]:
        if not (frame.index.get_level_values(name) == frame[name]).all():
            raise InputError(f"the pandas table: {name!r} is an index and a column of other values; drop one of them")
        frame = frame.drop(columns=name)
    if type(frame.index).__name__ != "RangeIndex":
        is_counter = frame.index.nlevels == 1 and frame.index.name is None and frame.index.dtype.kind in "iu"
        frame = frame.reset_index(names="__index_level_0__" if is_counter else None)  # as it is called in Parquet
    frame = frame.rename(columns=str)
    periods = [name for name in frame.columns if isinstance(frame[name].dtype, pd.PeriodDtype)]
    frame = frame.assign(**{name: _period_ends(frame[name].dt) for name in periods})
    try:
        try:
            return pl.from_pandas(frame).lazy()
        except (ValueError, TypeError):  # numbers beside text: all as text, and the reader names what is no number
            mixed = frame.select_dtypes(object).columns
            return pl.from_pandas(frame.astype(dict.fromkeys(mixed, "string"))).lazy()
    except (pl.exceptions.PolarsError, ValueError, TypeError, NotImplementedError) as error:
        raise InputError(f"the pandas table: {first_line(error)}") from error


def in_two_levels(frame: pl.LazyFrame) -> pl.LazyFrame:
    """The table itself, or, where its columns but one are called by field and symbol in one name, a long table.

    Such names are "('Close', 'AAPL')", as text of pandas' two levels, and Close_AAPL or AAPL Close, where every
    column has such a name, with one separator and one order, and there are two fields or more.
    """
    names = frame.collect_schema().names()
    pairs = {name: found for name in names if (found := _pair_in_text(name)) is not None}
    rows = [name for name in names if name not in pairs]
    if not rows:  # the dates too: ('Date', '')
        rows = [name for name, pair in pairs.items() if "" in pair]
    if not pairs or len(rows) != 1:
        rows = names[:1]
        pairs = _flattened(names[1:])
    if not pairs:
        return frame
    import pandas as pd

    table = frame.collect().to_pandas().set_index(rows[0]).rename_axis("date")
    return from_pandas(table.set_axis(pd.MultiIndex.from_tuples([pairs[name] for name in table.columns]), axis=1))


def _is_pair(name: object) -> bool:
    return isinstance(name, tuple) and len(name) == 2


def _pair_in_text(name: str) -> tuple[str, str] | None:
    found = re.fullmatch(r"\('(.*)', '(.*)'\)", name)
    return None if found is None else (found[1], found[2])


def _flattened(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Names such as Close_AAPL as (field, symbol); none where not all of them are."""
    for separator, cut in itertools.product("_ .-/|", (str.partition, str.rpartition)):
        parts = [(first, last) for first, _, last in (cut(name, separator) for name in names)]
        for pairs in (parts, [(last, first) for first, last in parts]):
            fields = {plain(field) for field, _ in pairs}
            if len(fields) > 1 and fields <= OF_ONE_ASSET and all(symbol for _, symbol in pairs):
                return dict(zip(names, pairs, strict=True))
    return {}


def _are_dates(level: Any) -> bool:
    return level.dtype.kind == "M" or type(level).__name__ == "PeriodIndex"


def _period_ends(periods: Any) -> Any:
    """What a period holds is known at its end: its last day, or its last minute."""
    start = periods.start_time
    is_of_days = bool((start == start.dt.normalize()).all())
    return periods.end_time.dt.floor("D" if is_of_days else "min")
