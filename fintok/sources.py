"""read_panel: files and data frames, wide or long, to a Panel."""

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fintok.columns import Columns, find_columns, listed, with_time_of_day
from fintok.dates import parse_dates
from fintok.errors import InputError, first_line
from fintok.numbers import names_in, read_marked
from fintok.panel import Panel, Values
from fintok.spans import date_text
from fintok.spellings import plain
from fintok.tables import FILE, MISSING, Table, open_table, stem

LEVEL_AUTOCORRELATION = 0.95  # returns do not come near it; prices and yields lie above


def read_panel(
    source: Any,
    *,
    date: str | None = None,
    symbol: str | None = None,
    price: str | None = None,
    values: Values = "prices",
) -> Panel:
    """Read a panel of prices or returns.

    Parameters
    ----------
    source : a Parquet, CSV, Excel or Arrow file, a folder of them (partitioned by key=value folders, in any number
        of parts, or one file per symbol), or a pandas, polars or pyarrow table, or whatever else gives an Arrow
        stream; a Panel is one already. Wide: a date column or index and one column per asset. Long: a row per date
        and symbol, with a price and where present open, high, low, close and volume.
    date, symbol, price : names of columns, where they are not recognised. An adjusted close is preferred to
        a close; the bar's own columns stay as they are in ``Panel.fields``. CRSP's PRC counts by its size (a minus
        marks the mean of bid and ask), 0 as missing.
    values : "prices" (positive), or "returns": log returns, or differences of prices that may be negative.

    Rows may come in any order. A month (1990-01, 199001) or a quarter (1990Q1) counts at its last day, when what it
    holds is known. A missing number is left missing. Raises InputError, one sentence, for anything
    that cannot be read as a panel: no date or price column, text where numbers should be, a date that is
    repeated for a symbol, prices that are not positive, fewer than two assets, no values at all.
    """
    if values not in ("prices", "returns"):
        raise InputError(f"values is {values!r}, expected 'prices' or 'returns'")
    if isinstance(source, Panel):
        return source
    table = open_table(source)
    try:
        table, columns = with_time_of_day(table, find_columns(table, values, date, symbol, price))
        read = _read_wide if columns.symbol is None else _read_long
        panel = read(table, columns, values)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{table.name}: cannot be read: {first_line(error)}") from error
    _require_two(panel)
    if values == "returns":
        _refuse_levels(panel)
    return panel


def _require_two(panel: Panel) -> None:
    """Raise InputError for fewer than two assets with values."""
    known = np.flatnonzero(panel.is_listed.any(axis=0))
    if panel.num_assets > 1 and not len(known):
        raise InputError(f"{panel.source}: every {panel.values[:-1]} is missing")
    if len(known) < 2:
        names = [panel.assets[column] for column in known] or panel.assets
        of = f" of {panel.num_assets} has values" if panel.num_assets > 1 else ""
        what = f"one asset{of} ({names[0]})" if names else "no asset beside the date"
        raise InputError(f"{panel.source}: {what}; fintok learns from how assets move together and needs at least two")


def _read_wide(table: Table, columns: Columns, values: Values) -> Panel:
    source = table.name
    data = _collect(table, [columns.date], dict.fromkeys(columns.assets, pl.Float64))
    dates = parse_dates(data[columns.date], table)
    order = np.argsort(dates, kind="stable")
    dates = dates[order]
    repeats = np.flatnonzero(dates[1:] == dates[:-1])
    if len(repeats):
        first = date_text(dates, int(repeats[0]))
        two = order[repeats[0] : repeats[0] + 2]
        asset = _doubled(data, columns.assets, two)
        raise InputError(
            f"{source}: {first} has more than one row{asset}: {table.both(two.tolist())}; keep one row per date"
        )
    numbers = data.select(columns.assets).to_numpy()[order] if columns.assets else np.empty((len(dates), 0))
    assets = [name.strip() for name in columns.assets]
    return Panel.from_arrays(numbers, dates, assets, values=values, source=source)


def _read_long(table: Table, columns: Columns, values: Values) -> Panel:
    assert columns.symbol is not None
    assert columns.price is not None
    _refuse_files_without(columns.price, table)
    numbers: dict[str, Any] = {
        **dict.fromkeys(columns.fields.values(), pl.Float32),
        columns.price: pl.Float64,
    }
    data = _collect(table, [columns.date, columns.symbol], numbers)
    symbols = names_in(data[columns.symbol]).replace("", None)
    if symbols.null_count():
        file, row = table.where(int(symbols.is_null().arg_true()[0]))
        raise InputError(f"{file}: column {columns.symbol!r} is empty in row {row}; every row needs a symbol")
    names = symbols.unique().sort()
    if columns.symbol == FILE:
        _say_empty(table, names)
    place = symbols.cast(pl.Enum(names)).to_physical().to_numpy()
    moments = parse_dates(data[columns.date], table)
    dates = np.unique(moments)
    rows = np.searchsorted(dates, moments)
    shape = (len(dates), len(names))
    _refuse_repeats(rows, place, shape, dates, names, table)

    def spread(column: str, dtype: Any) -> NDArray[Any]:
        dense = np.full(shape, np.nan, dtype=dtype)
        dense[rows, place] = data[column].to_numpy()
        return dense

    fields = {name: spread(column, np.float32) for name, column in columns.fields.items()}
    prices = spread(columns.price, np.float64)
    if (
        values == "prices" and plain(columns.price) == "prc"
    ):  # CRSP's: a minus marks the mean of bid and ask, 0 that there was neither
        prices = np.where(prices == 0.0, np.nan, np.abs(prices))
    panel = Panel.from_arrays(prices, dates, names.to_list(), values=values, fields=fields, source=table.name)
    return replace(panel, price_column=columns.price)


def _refuse_files_without(price: str, table: Table) -> None:
    """Every file of a folder that has rows has the column of prices."""
    for path, frame in table.parts:
        names = [name for name in frame.collect_schema().names() if name != FILE]
        if price not in names and frame.select(pl.len()).collect().item():
            raise InputError(
                f"{path}: there is no column {price!r}, which holds the prices of the other files; there are "
                f"{listed(names)}: rename one of them, or name a column that all files have with --price"
            )


def _say_empty(table: Table, symbols: pl.Series) -> None:
    """Name on stderr the files of a symbol each that have no rows."""
    there = set(symbols)
    empty = [path for path, _ in table.parts if stem(path) not in there]
    if empty:
        print(f"{table.name}: no rows in {listed(empty)}: left out", file=sys.stderr)


def _collect(table: Table, keys: list[str], numbers: dict[str, Any]) -> pl.DataFrame:
    """The columns needed, numbers parsed. Raises InputError for an empty table and for what is no number."""
    frame, source = table.frame, table.name
    schema = frame.collect_schema()
    expressions = [pl.col(key) for key in keys]
    texts: dict[str, pl.Expr] = {}
    for name, dtype in numbers.items():
        column = pl.col(name)
        if schema[name] in (pl.String, pl.Categorical, pl.Enum):
            text = column.cast(pl.String).str.strip_chars()
            column = texts[name] = pl.when(~text.is_in(MISSING)).then(text)
            parsed = column.cast(dtype, strict=False)
            expressions += [parsed.alias(name), (column.is_not_null() & parsed.is_null()).alias(f"no number: {name}")]
        elif schema[name].is_numeric() or schema[name] == pl.Null:
            expressions.append(column.cast(dtype))
        else:
            raise InputError(f"{source}: column {name!r} holds {schema[name]}, not numbers; leave it out")
    data = frame.select(expressions).collect()
    if not data.height:
        raise InputError(f"{source}: there are no rows")
    for name, column in texts.items():
        if data[f"no number: {name}"].any():  # read once more: $1,234.50
            written = frame.select(column.alias(name)).collect().to_series()
            read = read_marked(written, by_commas=table.commas_group)
            bad = (written.is_not_null() & read.is_null()).arg_true()
            if len(bad):
                is_long = len(numbers) < 2 or len(keys) > 1
                raise _no_number(table, name, written[int(bad[0])], int(bad[0]), is_long)
            data = data.with_columns(read.cast(numbers[name]))
    return data


def _no_number(table: Table, name: str, text: str, row: int, is_long: bool) -> InputError:
    hint = "" if is_long else "; if this is a long table, name --symbol and --price"
    if not text.strip("0123456789.,'$€£% "):
        hint = "; write numbers as 1234.5"
    file, row = table.where(row)
    return InputError(f"{file}: column {name!r} holds {text!r} in row {row}, which is no number{hint}")


def _refuse_repeats(
    rows: NDArray[np.intp],
    place: NDArray[np.integer],
    shape: tuple[int, int],
    dates: NDArray[np.datetime64],
    names: pl.Series,
    table: Table,
) -> None:
    filled = np.zeros(shape, dtype=bool)
    filled[rows, place] = True
    extra = len(rows) - int(filled.sum())
    if not extra:
        return
    cells = np.sort(rows * shape[1] + place.astype(np.int64))
    row, column = divmod(int(cells[1:][cells[1:] == cells[:-1]][0]), shape[1])
    day = date_text(dates, row)
    which = table.both(np.flatnonzero((rows == row) & (place == column)).tolist())
    raise InputError(
        f"{table.name}: {names[column]} has more than one row on {day} ({extra} row{'s' * (extra > 1)} too many): "
        f"{which}; keep one row per date and symbol"
    )


def _doubled(data: pl.DataFrame, assets: tuple[str, ...], rows: NDArray[np.intp]) -> str:
    """The first asset with a value in both rows of a repeated date, for the message."""
    both = data[rows.tolist()].select(pl.col(asset).count() == 2 for asset in assets)
    first = next((asset for asset in assets if both[asset][0]), None)
    return "" if first is None else f" with values of {first}"


def _refuse_levels(panel: Panel) -> None:
    """What is taken for returns must not be prices or yields, whose neighbours are nearly equal."""
    now, then = panel.returns[1:], panel.returns[:-1]
    both = np.isfinite(now) & np.isfinite(then)
    count = both.sum(axis=0)
    if not (count >= 50).any():
        return
    use = np.flatnonzero(count >= 50)

    def centred(values: NDArray[np.float64]) -> NDArray[np.float64]:
        kept = np.where(both, values, 0.0)[:, use]
        return np.where(both[:, use], kept - kept.sum(axis=0) / count[use], 0.0)

    one, other = centred(now), centred(then)
    spread = np.sqrt((one**2).sum(axis=0) * (other**2).sum(axis=0))
    moved = spread > 0.0
    if not moved.any():
        return
    typical = float(np.median((one * other).sum(axis=0)[moved] / spread[moved]))
    if typical > LEVEL_AUTOCORRELATION:
        raise InputError(
            f"{panel.source}: these look like prices or other levels, not returns (each is close to the one "
            f"before: autocorrelation {typical:.3f}); take their differences first"
        )
