"""Faults of market data, planted in the prices of a real panel: what a score has to find, with the truth beside it.

The kinds (`fintok.fault_kinds`) are those of a data desk: wrong prints, corporate actions left out, feeds that stand
still, columns that are another asset's. What comes after a fault goes on from where it ends, so that every number
downstream (returns, scales, ranks, tokens) is what a reader of the faulty file would get.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.errors import InputError
from fintok.fault_kinds import BAR_KINDS, HISTORY, KINDS, RECENT, RUNGS, BarKind, Kind, Place
from fintok.panel import Panel
from fintok.trailing import trailing_moments

Array = NDArray[np.float64]

_GAP = 30  # rows between two faults of one asset, and after the last one
_MOST_AT_ONCE = 0.05  # share of the assets with a fault on the same day: the others must still tell
_TRIES = 400  # places tried for a fault
_WEEK = 5  # rows that may be missing between two of an asset: another calendar's holidays
_HOLIDAYS = 1.5  # rows of the panel for each of the asset's: five-day weeks among seven-day ones are fine
_ALL: dict[str, Kind | BarKind] = {**KINDS, **RUNGS, **BAR_KINDS}


class Fault(NamedTuple):
    """One planted fault."""

    kind: str  # a name from `fintok.fault_kinds`
    row: int  # of its first wrong return, or bar
    days: int  # rows from there to the last wrong one, holidays among them
    assets: tuple[int, ...]  # columns: one, or two that are swapped or have become the same


class FaultyPanel(NamedTuple):
    """A panel with faults, and where they are."""

    panel: Panel
    faults: tuple[Fault, ...]


def kinds_for(panel: Panel, among: Sequence[str] = (*KINDS, *BAR_KINDS)) -> tuple[str, ...]:
    """Those kinds of fault that the panel can have.

    Ratios of prices need prices, faults of bars the columns they are about.
    """
    return tuple(name for name in among if not _lacking(panel, _ALL[name]))


def _lacking(panel: Panel, kind: Kind | BarKind) -> str:
    """What the panel lacks for a kind; empty where it lacks nothing."""
    if isinstance(kind, Kind):
        return "prices" if kind.in_logs and panel.prices is None else ""
    return " and ".join(repr(name) for name in (kind.field, kind.beside) if name not in panel.fields)


def plant_faults(panel: Panel, kinds: Sequence[str], rows: range, *, seed: int, most: int | None = None) -> FaultyPanel:
    """Plant faults of the given kinds in turn, as many as find room, or `most`; a kind that fits nowhere is left out.

    A fault lies within `rows`, on an asset observed from 250 rows before it to 30 after it, holidays apart, and in rows
    of that asset's calendar; 30 rows lie between two faults of one asset, and at most a twentieth of the assets (two at
    least) are at fault on one day. Open, high, low and close move with a wrong price, volume stays. Raises InputError
    for an unknown kind, one that needs what the panel lacks (`kinds_for` tells), and rows without room for any fault.
    """
    for name in kinds:
        if name not in _ALL:
            raise InputError(f"there is no fault {name!r}; the kinds are {', '.join(_ALL)}")
        lacking = _lacking(panel, _ALL[name])
        if lacking:
            raise InputError(f"{panel.source}: the fault {name!r} is planted in {lacking}, which the panel lacks")
    rng, ground = np.random.default_rng(seed), _Ground(panel, rows)
    faults: list[Fault] = []
    left = list(kinds)
    while left and (most is None or len(faults) < most):
        name = left[len(faults) % len(left)]
        fault = next(filter(None, (ground.plant(name, rng) for _ in range(_TRIES))), None)
        if fault is not None:
            faults.append(fault)
        elif any(earlier.kind == name for earlier in faults):
            break  # full
        else:
            left.remove(name)  # nowhere: volumes that are all 0 cannot be out of scale
    if not faults:
        raise InputError(
            f"{panel.source}: no room for a fault on rows {rows.start} to {rows.stop}; an asset must be observed "
            f"from {HISTORY} rows before it to {_GAP} after it, without a gap of more than {_WEEK}"
        )
    return FaultyPanel(ground.spoilt(), tuple(sorted(faults, key=lambda fault: fault.row)))


def _is_whole(rows: NDArray[np.intp]) -> bool:
    """Whether an asset's rows have no gap but holidays: of a week at most, and a row in three at most."""
    return bool(rows[-1] - rows[0] < _HOLIDAYS * len(rows) and np.diff(rows).max() <= _WEEK + 1)


class _Ground:
    """A panel on which faults are planted one by one, each where there is room for it."""

    def __init__(self, panel: Panel, rows: range) -> None:
        self.panel, self.rows, self.returns = panel, rows, panel.returns
        self.deviation = trailing_moments(panel.returns, half_life=RECENT, min_count=RECENT).deviation
        self.seen = [np.flatnonzero(column) for column in np.isfinite(panel.returns).T]  # rows of each asset
        self.busy = np.zeros(panel.returns.shape, dtype=bool)
        self.change = np.zeros(panel.returns.shape)
        self.bars = {name: column.astype(np.float64) for name, column in panel.fields.items()}
        self.limit = max(2, int(_MOST_AT_ONCE * panel.num_assets))

    def plant(self, name: str, rng: np.random.Generator) -> Fault | None:
        """Try one place, drawn at random; None where it does not do."""
        kind = _ALL[name]
        days = kind.days
        start = int(rng.integers(self.rows.start, max(self.rows.stop - days - _GAP, self.rows.start + 1)))
        asset = int(rng.integers(self.panel.num_assets))
        seen = self.seen[asset]
        place = int(np.searchsorted(seen, start))
        around = seen[max(place - HISTORY, 0) : place + days + _GAP + 1]
        if len(around) <= HISTORY + days + _GAP or place <= HISTORY or not _is_whole(around):
            return None
        known, during = around[: HISTORY + days], around[HISTORY : HISTORY + days]
        row, stop, last = int(during[0]), int(during[-1]) + 1, int(around[-1])
        if stop > self.rows.stop or not self.deviation[row, asset] > 0.0 or self.busy[row - _GAP : last, asset].any():
            return None
        if isinstance(kind, BarKind):
            wrong, bar = {asset: self.returns[during, asset]}, self._bar(kind, during, asset)
            if bar is None:
                return None
        else:
            wrong = kind.draw(Place(self.returns[known], self.deviation[known], HISTORY, days, asset), rng)
            bar = None
        if not wrong or (self.busy[row:stop].sum(axis=1) + len(wrong) > self.limit).any():
            return None
        if any(self.busy[row - _GAP : last, other].any() for other in wrong):
            return None
        for column, values in wrong.items():
            self.change[during, column] = values - self.returns[during, column]
            self.busy[row:stop, column] = True
        if bar is not None:
            self.bars[bar[0]][during, asset] = bar[1]
        return Fault(name, row, stop - row, tuple(wrong))

    def _bar(self, kind: BarKind, during: NDArray[np.intp], asset: int) -> tuple[str, Array] | None:
        """A column of the bar and its wrong numbers (days,); None where it is not there or would not change."""
        field, beside = self.bars[kind.field][during, asset], self.bars[kind.beside][during, asset]
        wrong = kind.spoil(field, beside)
        is_there = np.isfinite(field + beside).all() and (np.abs(wrong - field) > 0.0).all()
        return (kind.field, wrong) if is_there else None

    def spoilt(self) -> Panel:
        """The panel with what was planted."""
        panel, change = self.panel, self.change
        ratio = np.exp(np.cumsum(change, axis=0)) if panel.prices is not None else np.ones_like(change)
        bars = {name: column if name == "volume" else column * ratio for name, column in self.bars.items()}
        return replace(
            panel,
            returns=np.where(change != 0.0, panel.returns + change, panel.returns),
            prices=None if panel.prices is None else panel.prices * ratio,
            fields={name: column.astype(np.float32) for name, column in bars.items()},
            source=f"{panel.source}, with faults",
        )
