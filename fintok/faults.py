"""Faults of market data, planted in the prices of a real panel: what a score has to find, with the truth beside it.

The kinds are those of a data desk: wrong prints, corporate actions left out, feeds that stand still, columns that
are another asset's. Only prices change, and what comes after a fault goes on from where it ends, so that every
number downstream (returns, scales, ranks, tokens) is what a reader of the faulty file would get.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.errors import InputError
from fintok.panel import Panel
from fintok.trailing import trailing_moments

Array = NDArray[np.float64]

_HISTORY = 250  # rows before a fault: its asset is known by then, and others are drawn from them
_RECENT = 60  # rows: half-life of the volatility that faults are measured in
_GAP = 30  # rows between two faults of one asset, and after the last one
_MOST_AT_ONCE = 0.1  # share of the assets with a fault on the same day: the others must still tell
_TRIES = 400  # places tried for a fault


class Fault(NamedTuple):
    """One planted fault."""

    kind: str  # one of KINDS
    row: int  # of its first wrong return
    days: int  # rows with a wrong return, from `row` on
    assets: tuple[int, ...]  # columns: one, or two that are swapped or have become the same


class FaultyPanel(NamedTuple):
    """A panel with faults, and where they are."""

    panel: Panel
    faults: tuple[Fault, ...]


class Place(NamedTuple):
    """Where a fault goes: `days` rows from `row` on, of one asset, in the panel's own returns."""

    returns: Array  # (T, A) log returns
    deviation: Array  # (T, A) recent standard deviation, before each row
    row: int
    days: int
    asset: int

    @property
    def own(self) -> Array:
        """(days,) what the asset really did."""
        return self.returns[self.row : self.row + self.days, self.asset]

    @property
    def past(self) -> Array:
        """(250, A) returns of all assets before the fault."""
        return self.returns[self.row - _HISTORY : self.row]


Draw = Callable[[Place, np.random.Generator], dict[int, Array]]  # wrong returns (days,) of each asset concerned


class Kind(NamedTuple):
    """How long a fault lasts, and what it makes of the returns."""

    days: int
    draw: Draw


def _sign(rng: np.random.Generator) -> float:
    return float(rng.choice([-1.0, 1.0]))


def _print(step: Callable[[Place, np.random.Generator], float]) -> Draw:
    """Prices off by one log factor on all days but the last, on which they come back."""

    def draw(place: Place, rng: np.random.Generator) -> dict[int, Array]:
        wrong, size = place.own.copy(), step(place, rng)
        wrong[0] += size
        wrong[-1] -= size
        return {place.asset: wrong}

    return draw


def _spike(deviations: float) -> Draw:
    return _print(lambda place, rng: _sign(rng) * deviations * float(place.deviation[place.row, place.asset]))


def _shift(step: Callable[[np.random.Generator], float]) -> Draw:
    """Prices off by one log factor for good: an action that was not adjusted for."""
    return lambda place, rng: {place.asset: place.own + step(rng)}


def _held(still: Callable[[int], NDArray[np.bool_]]) -> Draw:
    """The price stands still on the given days; the first that moves catches up."""

    def draw(place: Place, rng: np.random.Generator) -> dict[int, Array]:
        path = np.concatenate([[0.0], np.cumsum(place.own)])
        shown = np.arange(len(path))
        shown[1:][still(place.days)] = 0
        return {place.asset: np.diff(path[np.maximum.accumulate(shown)])}

    return draw


def _all_but_last(days: int) -> NDArray[np.bool_]:
    return np.arange(days) < days - 1


def _every_other(days: int) -> NDArray[np.bool_]:
    return np.arange(days) % 2 == 0


def _swap(place: Place, rng: np.random.Generator) -> dict[int, Array]:
    """Two columns in each other's place, each at its own level."""
    rows = slice(place.row - _HISTORY, place.row + place.days)
    there = np.flatnonzero(np.isfinite(place.returns[rows]).all(axis=0))
    other = int(rng.choice(there[there != place.asset]))
    return {place.asset: place.returns[place.row : place.row + place.days, other].copy(), other: place.own.copy()}


def _peer(place: Place, rng: np.random.Generator) -> dict[int, Array]:
    """The returns of the asset that was most like it, at its own volatility; nothing tells which is the copy."""
    rows = slice(place.row, place.row + place.days)
    there = np.flatnonzero(np.isfinite(place.returns[place.row - _HISTORY : place.row + place.days]).all(axis=0))
    columns = there[there != place.asset]
    likeness = np.corrcoef(place.past[:, place.asset], place.past[:, columns], rowvar=False)[0, 1:]
    peer = columns[np.argmax(np.nan_to_num(likeness))]
    shown, deviation = place.returns[rows, peer], place.deviation[place.row]
    return {place.asset: shown * deviation[place.asset] / deviation[peer], int(peer): shown.copy()}


def _decoupled(place: Place, rng: np.random.Generator) -> dict[int, Array]:
    """Its own returns of the 60 days before, in another order: the same asset, out of step with all others."""
    return {place.asset: rng.permutation(place.past[-_RECENT:, place.asset])[: place.days]}


def _lagged(place: Place, rng: np.random.Generator) -> dict[int, Array]:
    """Each day shows the return of the day before: a close in another time zone."""
    return {place.asset: place.returns[place.row - 1 : place.row + place.days - 1, place.asset].copy()}


def _times(factor: float) -> Draw:
    return lambda place, rng: {place.asset: factor * place.own}


def _drift(deviations: float) -> Draw:
    def draw(place: Place, rng: np.random.Generator) -> dict[int, Array]:
        return {place.asset: place.own + _sign(rng) * deviations * place.deviation[place.row, place.asset]}

    return draw


def _recycled(place: Place, rng: np.random.Generator) -> dict[int, Array]:
    """Another company under the same symbol, joined without a jump: some asset's returns of other days."""
    rows = slice(place.row - _HISTORY, place.row)
    there = np.flatnonzero(np.isfinite(place.returns[rows]).all(axis=0))
    other = int(rng.choice(there[there != place.asset]))
    first = place.row - int(rng.integers(2 * place.days, _HISTORY))
    return {place.asset: place.returns[first : first + place.days, other].copy()}


KINDS: Mapping[str, Kind] = {
    "spike 4": Kind(2, _spike(4.0)),  # standard deviations, and back the next day
    "spike 8": Kind(2, _spike(8.0)),
    "decimal shift": Kind(2, _print(lambda place, rng: _sign(rng) * np.log(10.0))),
    "unit x100": Kind(6, _print(lambda place, rng: _sign(rng) * np.log(100.0))),  # pence for pounds, five days
    "missed split": Kind(1, _shift(lambda rng: -np.log(rng.choice([1.5, 2.0, 3.0])))),
    "missed dividend": Kind(1, _shift(lambda rng: -0.03)),
    "FX leg slip": Kind(6, _print(lambda place, rng: _sign(rng) * np.log(1.12))),
    "stale": Kind(6, _held(_all_but_last)),
    "partly stale": Kind(10, _held(_every_other)),
    "swap": Kind(15, _swap),
    "peer substitution": Kind(15, _peer),
    "decoupling": Kind(20, _decoupled),
    "one-day lag": Kind(20, _lagged),
    "volatility burst": Kind(10, _times(3.0)),
    "volatility death": Kind(20, _times(0.3)),
    "drift": Kind(10, _drift(1.0)),
    "slow drift": Kind(20, _drift(0.5)),
    "recycled ticker": Kind(40, _recycled),
    "filled forward": Kind(40, _held(_all_but_last)),  # after a delisting
}


def plant_faults(
    panel: Panel, kinds: Sequence[str], rows: range, *, seed: int, most: int | None = None
) -> FaultyPanel:
    """Plant faults of the given kinds in turn, as many as find room, or `most`.

    A fault lies within `rows`, on an asset observed from 250 rows before it to 30 after it; 30 rows lie between
    two faults of one asset, and at most a tenth of the assets (two at least) are at fault on one day. Raises
    InputError for an unknown kind, a panel without prices, and rows without room for any fault.
    """
    for name in kinds:
        if name not in KINDS:
            raise InputError(f"there is no fault {name!r}; the kinds are {', '.join(KINDS)}")
    if panel.prices is None:
        raise InputError(f"{panel.source}: faults are planted in prices, and the panel holds returns")
    rng = np.random.default_rng(seed)
    returns = panel.returns
    deviation = trailing_moments(returns, half_life=_RECENT, min_count=_RECENT).deviation
    missing = np.concatenate([np.zeros((1, panel.num_assets)), np.cumsum(~np.isfinite(returns), axis=0)])
    busy = np.zeros(returns.shape, dtype=bool)
    change = np.zeros(returns.shape)
    limit = max(2, int(_MOST_AT_ONCE * panel.num_assets))
    faults: list[Fault] = []
    while most is None or len(faults) < most:
        name = kinds[len(faults) % len(kinds)]
        days, draw = KINDS[name]
        for _ in range(_TRIES):
            row = int(rng.integers(rows.start, max(rows.stop - days - _GAP, rows.start + 1)))
            asset = int(rng.integers(panel.num_assets))
            first, last = row - _HISTORY, row + days + _GAP
            if first < 1 or last >= panel.num_days or missing[last, asset] > missing[first, asset]:
                continue
            if not deviation[row, asset] > 0.0 or busy[row - _GAP : last, asset].any():
                continue
            wrong = draw(Place(returns, deviation, row, days, asset), rng)
            during = busy[row : row + days].sum(axis=1)
            if (during + len(wrong) > limit).any() or any(busy[row - _GAP : last, other].any() for other in wrong):
                continue
            for column, values in wrong.items():
                change[row : row + days, column] = values - returns[row : row + days, column]
                busy[row : row + days, column] = True
            faults.append(Fault(name, row, days, tuple(wrong)))
            break
        else:
            break  # full
    if not faults:
        raise InputError(f"{panel.source}: no room for a fault on rows {rows.start} to {rows.stop}")
    faulty = replace(
        panel,
        returns=np.where(change != 0.0, returns + change, returns),
        prices=panel.prices * np.exp(np.cumsum(change, axis=0)),
        fields={},
        source=f"{panel.source}, with faults",
    )
    return FaultyPanel(faulty, tuple(sorted(faults, key=lambda fault: fault.row)))
