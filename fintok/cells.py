"""Single (date, symbol) cells of a panel: found by name, or listed in a table of data errors."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.errors import InputError, did_you_mean
from fintok.spans import date_text, date_unit, span_of

if TYPE_CHECKING:
    from fintok.panel import Panel
    from fintok.spans import DateLike

_ERROR = r"(?i)^data[ _-]?errors?$"  # the verdict that counts, where a table of marks has verdicts


def locate(dates: NDArray[np.datetime64], assets: tuple[str, ...], date: "DateLike", symbol: str) -> tuple[int, int]:
    """Row and column of a cell: the row at that moment, or the only one in that span of time (`DateLike`).

    Raises InputError for a date or a symbol that is not there, and for a span of several rows.
    """
    if symbol not in assets:
        hint = did_you_mean(symbol, assets) or f"; the first ones are {assets[:5]}"
        raise InputError(f"there is no asset {symbol!r} among these {len(assets)}{hint}")
    first, end = span_of(dates, date)
    row, after = np.searchsorted(dates, [first, end]).tolist()
    is_there = row < len(dates) and dates[row] == first
    if not is_there and after - row > 1:
        what = "day" if date_unit(dates) == "D" else "time"
        raise InputError(f"{date} has {after - row} rows here; give the {what} as well, as in {date_text(dates, row)}")
    if not is_there and after == row:
        ends = [date_text(dates, place) for place in (0, -1)] if len(dates) else []
        span = f"they run from {' to '.join(ends)}" if ends else "there are none"
        raise InputError(f"there is no date {date} among these {len(dates)}; {span}")
    return row, assets.index(symbol)


class Marks(NamedTuple):
    """The rows of a table of marks that count, laid on a panel."""

    cells: NDArray[np.bool_]  # (T, A) True where a row names the cell
    num_rows: int
    num_known: int  # rows that name a cell
    first: str  # the first row, for messages; empty where there is none
    verdicts: tuple[str, ...]  # those of rows that do not count, as they are spelled


def marked_cells(marks: object, panel: "Panel") -> NDArray[np.bool_]:
    """(T, A) True where a table with columns date and symbol names a cell of the panel.

    `marks` is a path (Parquet, CSV, Excel or Arrow) or a pandas, polars or pyarrow table, whose columns may be called
    as a panel's may (Date, Ticker). Where it has a column `verdict`, only rows that say "data error" count. Rows for
    dates or symbols that the panel lacks mark nothing: marks outlive panels. Raises InputError for a table without
    these columns.
    """
    return read_marks(marks, panel).cells


def read_marks(marks: object, panel: "Panel") -> Marks:
    """As `marked_cells`, with how many of the rows that count name a cell."""
    import polars as pl

    from fintok.columns import first_of, require_column
    from fintok.dates import parse_dates
    from fintok.numbers import names_in
    from fintok.spellings import DATES, SYMBOLS
    from fintok.tables import Table, open_table

    source = open_table(marks)
    table = source.read()
    what = "data errors are given as date and symbol"
    day, asset = (require_column(names, table.columns, source.name, what) for names in (DATES, SYMBOLS))
    verdict, others = first_of(("verdict",), table.columns), ()
    if verdict is not None:
        words = table[verdict].cast(pl.String).str.strip_chars().fill_null("")
        counts = words.str.contains(_ERROR)
        others = tuple(words.filter(~counts & (words != "")).unique(maintain_order=True))
        table = table.filter(counts)
    cells = np.zeros(panel.returns.shape, dtype=bool)
    if not table.height:
        return Marks(cells, 0, 0, "", others)
    symbols = names_in(table[asset])
    may_be_days = date_unit(panel.dates) == "D"  # a midnight among hours is an hour
    dates = parse_dates(table[day], Table(table.lazy(), source.name), may_be_days=may_be_days)
    place = {name: column for column, name in enumerate(panel.assets)}
    column = np.array([place.get(symbol, -1) for symbol in symbols])
    is_there = np.isin(dates, panel.dates) & (column >= 0)
    cells[np.searchsorted(panel.dates, dates[is_there]), column[is_there]] = True
    return Marks(cells, table.height, int(is_there.sum()), f"{date_text(dates, 0)} {symbols[0]}", others)
