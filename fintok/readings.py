"""What a model made of a panel, kept for the day after: history is read once, and a new day costs a day.

The network's pass is nearly all that scoring costs. What it says of a date does not change when dates are added, so
readings of earlier rows can stand, and all that is cheap (the other assets' view, tails, p-values) is worked out
anew from all rows: a panel scored day by day has the scores of the panel scored at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fintok.errors import InputError
from fintok.evidence import Surprises
from fintok.hashing import mixed
from fintok.panel import Panel
from fintok.peers import PeerRows

if TYPE_CHECKING:
    import polars as pl

_FIELDS = ("surprise", "expected", "deviation", "distance")
_TYPES = {
    **dict.fromkeys(("return", *_FIELDS), np.float32),
    "bars": np.uint32,
    "expected_move": np.float64,
    "swapped": np.float32,
}
_COLUMNS = ["date", "symbol", *_TYPES, "model"]
_REMEDY = "remove it, and it is made again"
RESTATED = 1e-3  # of an asset's mean move: adjusted prices are restated with every dividend, returns but for rounding


class SurpriseSource(Protocol):
    """What reads panels: a bundle."""

    @property
    def fingerprint(self) -> str: ...  # tells it from others

    @property
    def train_end(self) -> np.datetime64: ...

    @property
    def bar_fields(self) -> tuple[str, ...]: ...  # columns of bars that it reads beside returns

    def surprise(self, panel: Panel, since: int = 0) -> Surprises: ...


@dataclass(frozen=True, eq=False)
class Readings:
    """A bundle's surprise at a panel, (T, A) each, NaN where there is no token (`fintok.evidence.Surprises`)."""

    panel: Panel
    surprise: NDArray[np.floating]
    expected: NDArray[np.floating]
    deviation: NDArray[np.floating]
    distance: NDArray[np.floating]
    bars: NDArray[np.uint32]
    """What the bars that the bundle reads were up to each row (`bar_marks`); means nothing where there is no return."""
    model: str = ""
    """Fingerprint of the bundle."""
    peers: PeerRows | None = None
    """What the other assets say of the first rows, where that has been worked out (`fintok.evidence.gather`)."""

    @classmethod
    def of(cls, bundle: SurpriseSource, panel: Panel) -> Readings:
        """A pass over the whole panel."""
        found = bundle.surprise(panel)
        fields: dict[str, Any] = {name: np.asarray(getattr(found, name)) for name in _FIELDS}
        return cls(panel, **fields, bars=bar_marks(panel, bundle.bar_fields), model=bundle.fingerprint)

    def extended(self, bundle: SurpriseSource, panel: Panel, tolerance: float = 0.0) -> Readings:
        """Readings of a panel that goes on where this one ends: rows that are the same are not read again.

        The same are the leading rows with the same date, assets and bars, as far as the bundle reads these, and
        returns within `tolerance` mean moves of the asset. Another bundle reads all rows.
        """
        bars = bar_marks(panel, bundle.bar_fields)
        same = self._rows_in_common(panel, bars, tolerance)
        if same == 0 or self.model != bundle.fingerprint:
            return Readings.of(bundle, panel)
        found = bundle.surprise(panel, since=same)
        peers = None if self.peers is None else PeerRows(*(rows[:same] for rows in self.peers))
        fields = {name: np.concatenate([getattr(self, name)[:same], getattr(found, name)[same:]]) for name in _FIELDS}
        return Readings(panel, **fields, bars=bars, model=self.model, peers=peers)

    def _rows_in_common(self, panel: Panel, bars: NDArray[np.uint32], tolerance: float) -> int:
        mine = self.panel
        if mine.assets != panel.assets:
            return 0
        count = min(mine.num_days, panel.num_days)
        differs = mine.dates[:count] != panel.dates[:count]
        before, now = mine.returns[:count], panel.returns[:count]
        usual = np.nan_to_num(np.abs(before)).sum(axis=0) / np.maximum(np.isfinite(before).sum(axis=0), 1)
        is_close = (before == now) | (np.abs(before - now) <= tolerance * usual) | (np.isnan(before) & np.isnan(now))
        differs |= ~is_close.all(axis=1)
        differs |= ((self.bars[:count] != bars[:count]) & np.isfinite(before)).any(axis=1)
        return int(differs.argmax()) if differs.any() else count

    def to_polars(self) -> pl.DataFrame:
        """Columns date, symbol, return, surprise, expected, deviation, distance, bars, of the peers expected_move and
        swapped, and model: a row for every cell of the panel with a return, by date and symbol; null: no token. A date
        without any return, which windows count as others, has one row, without a symbol."""
        import polars as pl

        there = np.isfinite(self.panel.returns)
        there = np.hstack([there, ~there.any(axis=1, keepdims=True)])
        rows, places = np.nonzero(there)
        columns = np.minimum(places, self.panel.num_assets - 1)
        nothing = np.full(self.panel.returns.shape, np.nan)
        read = (getattr(self, name) for name in (*_FIELDS, "bars"))
        numbers = zip(_TYPES.items(), (self.panel.returns, *read, *(self.peers or (nothing, nothing))), strict=True)
        return pl.DataFrame(
            {
                "date": self.panel.dates[rows].astype("datetime64[us]"),
                "symbol": pl.Series([*self.panel.assets, None], dtype=pl.String).gather(places),
                **{
                    name: pl.Series(values[rows, columns].astype(dtype), nan_to_null=True)
                    for (name, dtype), values in numbers
                },
                "model": pl.repeat(self.model, len(rows), dtype=pl.String, eager=True),
            }
        )


def bar_marks(panel: Panel, names: tuple[str, ...]) -> NDArray[np.uint32]:
    """A number (T, A) that is another one from the first row on where one of an asset's named columns is another.

    The running sum of a hash of each cell: what is restated where there is no return shows at the next one. NaN is a
    value like others; a column that the panel lacks adds 0.
    """
    total = np.zeros(panel.returns.shape, dtype=np.uint64)
    for place, name in enumerate(names, start=1):
        if name in panel.fields:
            column = np.asarray(panel.fields[name], dtype=np.float32)
            bits = np.where(np.isnan(column), np.float32(np.nan), column).view(np.uint32).astype(np.uint64)
            total += mixed(bits + np.uint64(place * 0x9E3779B97F4A7C15 % 2**64))
    return (np.cumsum(total, axis=0) >> np.uint64(32)).astype(np.uint32)


def open_readings(path: Path, panel: Panel) -> Readings:
    """Readings from a file of `to_polars`, laid out on the assets of a panel, on the panel's dates up to its last.

    Assets of which the file knows nothing have none. Where the file has an asset that the panel lacks, which the others
    were read beside, or one of the two a date that the other lacks, which moves the windows after it, its dates end
    before. Raises InputError for a file of something else.
    """
    import polars as pl

    from fintok.files import read_table

    try:
        table = read_table(path)
    except InputError as error:
        raise InputError(f"{error}; {_REMEDY}") from None
    if table.columns[: len(_COLUMNS)] != _COLUMNS:  # fintok score keeps more, behind them
        raise InputError(f"{path} holds {table.columns}, readings are {_COLUMNS}; {_REMEDY}")
    dates = table["date"].cast(pl.Datetime("ns")).to_numpy()
    place = {name: column for column, name in enumerate(panel.assets)}
    column = np.array([place.get(name, -1) for name in table["symbol"]], dtype=np.intp)
    days = panel.dates[panel.dates <= dates.max()] if len(dates) else panel.dates[:0]
    is_gone = (column < 0) & table["symbol"].is_not_null().to_numpy()
    for others in (dates[is_gone], np.setxor1d(dates, days)):
        days = days[days < others.min()] if len(others) else days
    model = table["model"][0] if len(table) else ""
    known = np.isin(dates, days) & (column >= 0)
    table, row, column = table.filter(pl.Series(known)), np.searchsorted(days, dates[known]), column[known]
    arrays = []
    for name, dtype in _TYPES.items():
        values = np.full((len(days), panel.num_assets), 0 if dtype is np.uint32 else np.nan, dtype)
        values[row, column] = table[name].to_numpy()
        arrays.append(values)
    read = Panel(returns=arrays[0].astype(np.float64), dates=days, assets=panel.assets, source=str(path))
    peers = PeerRows(*arrays[-2:]) if table["expected_move"].is_not_null().any() else None
    return Readings(read, *arrays[1:-2], model=model, peers=peers)
