"""Panel: returns of many assets on shared dates, with what was not observed left as NaN."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fintok.arrays import check_dates, check_numbers, moments_of, numbers_of, read_only
from fintok.errors import InputError, did_you_mean
from fintok.signature import row_noun, rows_per_year
from fintok.spans import DateLike, date_text, rows_until, rows_within
from fintok.spellings import FIELDS

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    import polars as pl

Values: TypeAlias = Literal["prices", "returns"]

MAX_GAP_ROWS = 5  # a price older than this many sessions gives no return: a new start instead
MAX_GAP_DAYS = 20  # ... nor one across more days without a row; mainland China's new year closed the market for 20
_MAX_GAP_STEPS = 6  # ... where that is also longer than so many usual steps: monthly rows are 30 days apart


@dataclass(frozen=True, eq=False)
class Panel:
    """Returns of A assets on T dates. Build one with `fintok.read_panel` or `Panel.from_arrays`.

    Guarantees: dates strictly increase; asset names are unique; every number is finite or NaN; prices are
    positive; arrays are read-only. NaN means not listed, a holiday, or not observed: nothing is ever filled.

    The return at row t is log(price[t] / last observed price) when that price is at most 5 rows old, else
    NaN: after a longer gap the asset starts anew, and so do all where dates are missing (`dates_missing`). It uses
    rows up to t only. A constant price has zero returns; a column without any value is kept and never observed.
    """

    returns: NDArray[np.float64]  # (T, A) log returns, or the returns given; NaN = not observed
    dates: NDArray[np.datetime64]  # (T,) datetime64[ns], strictly increasing
    assets: tuple[str, ...]  # A names
    prices: NDArray[np.float64] | None = None  # (T, A), adjusted where the source has it; None for returns
    fields: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """Columns as the source has them, unadjusted: open, high, low, close, volume, where present; (T, A)."""
    values: Values = "prices"  # what the source held
    source: str = "arrays"  # where it came from, for messages
    price_column: str = ""  # of a long table: the column that prices or returns were read from

    @classmethod
    def from_arrays(
        cls,
        data: ArrayLike,
        dates: ArrayLike,
        assets: Sequence[str],
        *,
        values: Values = "prices",
        fields: Mapping[str, ArrayLike] | None = None,
        source: str = "arrays",
    ) -> "Panel":
        """Panel from prices or returns (T, A), their dates (T,) and names (A,).

        Returns must add up over time: log returns, or differences of a price that may be negative. Dates may be
        whatever `read_panel` takes for some: moments with a zone become UTC, unless all are local midnights. Raises
        InputError for shapes that do not fit, dates that do not strictly increase, repeated names, what is no number,
        infinite numbers, and prices that are not positive.
        """
        if values not in ("prices", "returns"):
            raise InputError(f"values is {values!r}, expected 'prices' or 'returns'")
        table = numbers_of(data, np.float64, values, source)
        days = read_only(moments_of(dates, source))
        names = tuple(str(name) for name in assets)
        if table.ndim != 2 or table.shape != (len(days), len(names)):
            expected = f"{len(days)} dates and {len(names)} assets"
            raise InputError(f"{source}: {values} of shape {table.shape} do not fit {expected}")
        check_dates(days, source)
        if len(set(names)) < len(names):
            name = next(name for name in names if names.count(name) > 1)
            raise InputError(f"{source}: asset {name!r} appears twice; give every column its own name")
        check_numbers(table, days, names, values, source)
        columns = {name: numbers_of(column, np.float32, name, source) for name, column in (fields or {}).items()}
        for name, column in columns.items():
            if name not in FIELDS or column.shape != table.shape:
                expected = f"one of {', '.join(FIELDS)}, of shape {table.shape}"
                raise InputError(f"{source}: field {name!r} of shape {column.shape}, expected {expected}")
            check_numbers(column, days, names, name, source)
        prices = table if values == "prices" else None
        returns = read_only(log_returns(table, days)) if values == "prices" else table
        return cls(returns, days, names, prices, columns, values, source)

    @property
    def num_days(self) -> int:
        """T, the number of rows, whatever their frequency."""
        return len(self.dates)

    @property
    def num_assets(self) -> int:
        return len(self.assets)

    @property
    def data(self) -> NDArray[np.float64]:
        """(T, A): what the panel was built from, prices or returns; NaN = not there."""
        return self.returns if self.prices is None else self.prices

    @property
    def is_observed(self) -> NDArray[np.bool_]:
        """(T, A): the return is known."""
        return np.isfinite(self.returns)

    @property
    def is_listed(self) -> NDArray[np.bool_]:
        """(T, A): from an asset's first value to its last, gaps included.

        The last value is known only afterwards, so this is for descriptions, never for models.
        """
        known = np.isfinite(self.data)
        return np.logical_or.accumulate(known) & np.logical_or.accumulate(known[::-1])[::-1]

    @property
    def periods_per_year(self) -> float:
        """Rows per year, from the dates: 252 for exchange days, 365 for every day, 52, 12, or as counted.

        A count within 3 % of one of these is taken for it; 252 for fewer than two rows.
        """
        if self.num_days < 2:
            return 252.0
        counted = rows_per_year(self.dates)
        for usual in (252.0, 365.0, 52.0, 12.0, 4.0, 1.0):
            if abs(counted / usual - 1.0) < 0.03:
                return usual
        return float(round(counted))

    @property
    def row_noun(self) -> str:
        """What a row is: "hour", "day", "week", or "row" where it has no name (`fintok.signature.row_noun`)."""
        return row_noun(self.dates)

    def __len__(self) -> int:
        return self.num_days

    def __getitem__(self, rows: slice) -> "Panel":
        """Consecutive rows; the first row keeps its return from the row before the slice.

        Numbers count rows; dates (`DateLike`) are both included, as in pandas: panel["2020":"2021-06"] ends with June.
        """
        if not isinstance(rows, slice) or rows.step not in (None, 1):
            raise TypeError(f"a panel takes a slice of consecutive rows or dates, got {rows!r}")
        rows = rows_within(self.dates, rows)
        return replace(
            self,
            returns=self.returns[rows],
            dates=self.dates[rows],
            prices=None if self.prices is None else self.prices[rows],
            fields={name: column[rows] for name, column in self.fields.items()},
        )

    def until(self, date: DateLike) -> "Panel":
        """Rows up to and including a date: all hours of a day, all days of a month such as "2015-12" (`DateLike`)."""
        return self[: rows_until(self.dates, date)]

    def rows_in_common(self, other: "Panel") -> int:
        """How many leading rows have the same dates, returns and fields in another panel; 0 where assets differ."""
        if (self.assets, self.values, self.fields.keys()) != (other.assets, other.values, other.fields.keys()):
            return 0
        count = min(self.num_days, other.num_days)
        differs = self.dates[:count] != other.dates[:count]
        pairs = [(self.returns, other.returns), *((column, other.fields[name]) for name, column in self.fields.items())]
        for mine, theirs in pairs:
            mine, theirs = mine[:count], theirs[:count]
            differs |= ((mine != theirs) & ~(np.isnan(mine) & np.isnan(theirs))).any(axis=1)
        return int(differs.argmax()) if differs.any() else count

    def select(self, assets: Sequence[str] | str) -> "Panel":
        """The named assets, in the order given; one by its name alone. Raises InputError for a name that the panel
        lacks, one given twice, and none at all."""
        assets = [assets] if isinstance(assets, str) else assets
        twice = [name for name, times in Counter(assets).items() if times > 1]
        if twice or not len(assets):
            raise InputError(f"{self.source}: " + (f"{twice[0]!r} is asked for twice" if twice else "no asset named"))
        place = {name: column for column, name in enumerate(self.assets)}
        for name in assets:
            if name not in place:
                hint = did_you_mean(name, self.assets)
                raise InputError(f"{self.source}: there is no asset {name!r} among {self.num_assets}{hint}")
        columns = [place[name] for name in assets]
        return replace(
            self,
            returns=read_only(self.returns[:, columns]),
            assets=tuple(assets),
            prices=None if self.prices is None else read_only(self.prices[:, columns]),
            fields={name: read_only(column[:, columns]) for name, column in self.fields.items()},
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Unpickled and deep-copied arrays are writable: these are the panel's own, and read-only again."""
        for value in (*state.values(), *state["fields"].values()):
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
        self.__dict__.update(state)

    def __repr__(self) -> str:
        if not self.num_days:
            return f"Panel({self.num_assets} assets, no rows, {self.source})"
        first, last = date_text(self.dates, 0), date_text(self.dates, -1)
        share = 100.0 * self.is_observed.mean() if self.num_assets else 0.0
        return (
            f"Panel({self.num_assets} assets x {self.num_days} rows, {first} to {last}, {self.values}, "
            f"{share:.1f} % observed, {self.source})"
        )

    def summary(self) -> "pd.DataFrame":
        """One row per asset: first and last date listed, returns observed, share of listed days missing,
        annualised volatility, worst and best return; NaN or NaT for an asset without values."""
        from fintok.coverage import asset_table

        return asset_table(self)

    def plot(self) -> "go.Figure":
        """Cumulative equal-weight return, above the number of assets observed."""
        from fintok.plots.panel import panel_overview

        return panel_overview(self)

    def to_pandas(self) -> "pd.DataFrame":
        """What the panel was built from, prices or returns: a date index and one column per asset."""
        import pandas as pd

        index = pd.DatetimeIndex(self.dates, name="date")
        return pd.DataFrame(self.data, index=index, columns=pd.Index(self.assets, name="symbol"), copy=True)

    def to_polars(self) -> "pl.DataFrame":
        """What the panel was built from, prices or returns: a date column and one column per asset."""
        import polars as pl

        columns = {name: self.data[:, column] for column, name in enumerate(self.assets)}
        return pl.DataFrame({"date": self.dates.astype("datetime64[us]"), **columns})


def require_panel(table: object) -> None:
    """Raise InputError for what is no Panel."""
    if not isinstance(table, Panel):
        kind = f"{type(table).__module__}.{type(table).__name__}"
        raise InputError(f"expected a Panel, got {kind}: fintok.read_panel makes one of files and tables")


def log_returns(prices: NDArray[np.float64], dates: NDArray[np.datetime64] | None = None) -> NDArray[np.float64]:
    """Log returns (T, A) of positive prices (T, A) against the last one observed, at most 5 rows old.

    NaN where the price is missing, or has no such predecessor, or where `dates` (T,) are missing between the two.
    Row t depends on rows up to t only.
    """
    rows = np.arange(len(prices), dtype=np.int32)[:, None]
    observed = np.isfinite(prices)
    latest = np.maximum.accumulate(np.where(observed, rows, -1), axis=0)
    before = np.concatenate([np.full_like(latest[:1], -1), latest[:-1]])  # (T, A) row of the price before
    usable = observed & (before >= 0) & (rows - before <= MAX_GAP_ROWS)
    if dates is not None:
        starts = np.maximum.accumulate(np.where(dates_missing(dates), rows[:, 0], 0))  # (T,) the last new start
        usable &= before >= starts[:, None]
    logs = np.log(np.where(observed, prices, np.nan))
    return np.where(usable, logs - np.take_along_axis(logs, np.maximum(before, 0), axis=0), np.nan)


def dates_missing(dates: NDArray[np.datetime64]) -> NDArray[np.bool_]:
    """Rows (T,) before which dates are missing: a step of more than 20 days, and of 6 usual steps.

    The usual step is the (lower) median of the steps up to the row's own, so that no later row changes the answer.
    """
    steps = np.diff(dates)
    missing = np.zeros(len(dates), dtype=bool)
    for place in np.flatnonzero(steps > np.timedelta64(MAX_GAP_DAYS, "D")):
        usual = np.partition(steps[: place + 1], place // 2)[place // 2]
        missing[place + 1] = steps[place] > _MAX_GAP_STEPS * usual
    return missing
