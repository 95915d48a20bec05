"""Single (date, symbol) cells of a panel: found by name, or listed in a table of data errors."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fintok.errors import InputError
from fintok.spans import date_unit, span_of

if TYPE_CHECKING:
    from fintok.panel import Panel
    from fintok.spans import DateLike

ERROR = "data error"  # the verdict that counts, where a table of marks has verdicts


def locate(dates: NDArray[np.datetime64], assets: tuple[str, ...], date: "DateLike", symbol: str) -> tuple[int, int]:
    """Row and column of a cell: the row at that moment, or the only one in that span of time (`DateLike`).

    Raises InputError for a date or a symbol that is not there, and for a span of several rows.
    """
    if symbol not in assets:
        raise InputError(f"there is no asset {symbol!r} among these {len(assets)}; the first ones are {assets[:5]}")
    first, end = span_of(dates, date)
    row, after = np.searchsorted(dates, [first, end]).tolist()
    is_there = row < len(dates) and dates[row] == first
    if not is_there and after - row > 1:
        raise InputError(f"{date} has {after - row} rows here; give the time as well, as in {dates[row]}")
    if not is_there and after == row:
        ends = [str(np.datetime_as_string(day, unit=date_unit(dates))) for day in dates[[0, -1]]] if len(dates) else []
        span = f"they run from {' to '.join(ends)}" if ends else "there are none"
        raise InputError(f"there is no date {date} among these {len(dates)}; {span}")
    return row, assets.index(symbol)


def marked_cells(marks: object, panel: "Panel") -> NDArray[np.bool_]:
    """(T, A) True where a table with columns date and symbol names a cell of the panel.

    `marks` is a path (Parquet, CSV or Arrow) or a pandas, polars or pyarrow table. Where it has a column `verdict`,
    only rows that say "data error" count. Rows for dates or symbols that the panel lacks mark nothing: marks outlive
    panels. Raises InputError for a table without these columns.
    """
    import polars as pl

    from fintok.dates import parse_dates
    from fintok.tables import Table, open_table

    source = open_table(marks)
    names = source.frame.collect_schema().names()
    for name in ("date", "symbol"):
        if name not in names:
            raise InputError(f"{source.name}: there is no column {name!r}; data errors are given as date and symbol")
    table = source.frame.collect()
    if "verdict" in names:
        table = table.filter(pl.col("verdict").cast(pl.String).str.strip_chars().str.to_lowercase() == ERROR)
    cells = np.zeros(panel.returns.shape, dtype=bool)
    if table.height and panel.num_days:
        dates = parse_dates(table["date"], Table(table.lazy(), source.name)).astype("datetime64[ns]")
        row = np.searchsorted(panel.dates, dates).clip(max=panel.num_days - 1)
        place = {name: column for column, name in enumerate(panel.assets)}
        column = np.array([place.get(symbol, -1) for symbol in table["symbol"].cast(pl.String).str.strip_chars()])
        is_there = (panel.dates[row] == dates) & (column >= 0)
        cells[row[is_there], column[is_there]] = True
    return cells
