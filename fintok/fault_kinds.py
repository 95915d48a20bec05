"""The kinds of faults that market data have: how long each lasts, and what it makes of returns or of bars."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

HISTORY = 250  # rows before a fault: its asset is known by then, and others are drawn from them
RECENT = 60  # rows: half-life of the volatility that faults are measured in


class Place(NamedTuple):
    """Where a fault goes: `days` rows from `row` on, among those on which its asset was observed."""

    returns: Array  # (T, A) log returns, or the returns of a panel without prices
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
        return self.returns[self.row - HISTORY : self.row]


Draw = Callable[[Place, np.random.Generator], dict[int, Array]]  # wrong returns (days,) of each asset concerned


class Kind(NamedTuple):
    """A fault of prices."""

    days: int  # rows with a wrong return
    draw: Draw
    in_logs: bool = False  # it is a ratio of prices: without meaning where returns have units of their own


class BarKind(NamedTuple):
    """A fault of the bar around a price; returns stay as they are."""

    days: int
    field: str  # the column that is wrong
    beside: str  # the column that it contradicts: both must be there
    spoil: Callable[[Array, Array], Array]  # (days,) of the two -> (days,) of the first


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


def _spike(deviations: float) -> Kind:
    return Kind(2, _print(lambda place, rng: _sign(rng) * deviations * float(place.deviation[place.row, place.asset])))


def _ratio(factor: float, days: int) -> Kind:
    """Too high or too low by a factor, until it is put right on the last day."""
    return Kind(days, _print(lambda place, rng: _sign(rng) * np.log(factor)), in_logs=True)


def _shift(step: Callable[[np.random.Generator], float]) -> Kind:
    """Prices off by one log factor for good: an action that was not adjusted for."""
    return Kind(1, lambda place, rng: {place.asset: place.own + step(rng)}, in_logs=True)


def _held(days: int, still: Callable[[int], NDArray[np.bool_]]) -> Kind:
    """The price stands still on the given days; the first that moves catches up."""

    def draw(place: Place, rng: np.random.Generator) -> dict[int, Array]:
        path = np.concatenate([[0.0], np.cumsum(place.own)])
        shown = np.arange(len(path))
        shown[1:][still(place.days)] = 0
        return {place.asset: np.diff(path[np.maximum.accumulate(shown)])}

    return Kind(days, draw)


def _all_but_last(days: int) -> NDArray[np.bool_]:
    return np.arange(days) < days - 1


def _every_other(days: int) -> NDArray[np.bool_]:
    return np.arange(days) % 2 == 0


def _others(place: Place, stop: int) -> NDArray[np.intp]:
    """The other assets that have every return from the history before the place to row `stop`."""
    there = np.flatnonzero(np.isfinite(place.returns[place.row - HISTORY : stop]).all(axis=0))
    return there[there != place.asset]


def _swap(place: Place, rng: np.random.Generator) -> dict[int, Array]:
    """Two columns in each other's place, each at its own level."""
    others = _others(place, place.row + place.days)
    if not len(others):
        return {}
    other = int(rng.choice(others))
    return {place.asset: place.returns[place.row : place.row + place.days, other].copy(), other: place.own.copy()}


def _peer(place: Place, rng: np.random.Generator) -> dict[int, Array]:
    """The returns of the asset that was most like it, at its own volatility; nothing tells which is the copy."""
    rows = slice(place.row, place.row + place.days)
    columns = _others(place, rows.stop)
    if not len(columns):
        return {}
    likeness = np.corrcoef(place.past[:, place.asset], place.past[:, columns], rowvar=False)[0, 1:]
    peer = columns[np.argmax(np.nan_to_num(likeness))]
    shown, deviation = place.returns[rows, peer], place.deviation[place.row]
    return {place.asset: shown * deviation[place.asset] / deviation[peer], int(peer): shown.copy()}


def _decoupled(place: Place, rng: np.random.Generator) -> dict[int, Array]:
    """Its own returns of the 60 days before, in another order: the same asset, out of step with all others."""
    return {place.asset: rng.permutation(place.past[-RECENT:, place.asset])[: place.days]}


def _lagged(place: Place, rng: np.random.Generator) -> dict[int, Array]:
    """Each day shows the return of the day before: a close in another time zone."""
    return {place.asset: place.returns[place.row - 1 : place.row + place.days - 1, place.asset].copy()}


def _times(factor: float, days: int) -> Kind:
    return Kind(days, lambda place, rng: {place.asset: factor * place.own})


def _drift(deviations: float, days: int) -> Kind:
    def draw(place: Place, rng: np.random.Generator) -> dict[int, Array]:
        return {place.asset: place.own + _sign(rng) * deviations * place.deviation[place.row, place.asset]}

    return Kind(days, draw)


def _recycled(place: Place, rng: np.random.Generator) -> dict[int, Array]:
    """Another company under the same symbol, joined without a jump: some asset's returns of other days."""
    others = _others(place, place.row)
    if not len(others):
        return {}
    other = int(rng.choice(others))
    first = place.row - int(rng.integers(2 * place.days, HISTORY))
    return {place.asset: place.returns[first : first + place.days, other].copy()}


KINDS: Mapping[str, Kind] = {
    "spike 4": _spike(4.0),  # standard deviations, and back the next day
    "spike 8": _spike(8.0),
    "decimal shift": _ratio(10.0, 2),
    "unit x100": _ratio(100.0, 6),  # pence for pounds, five days
    "missed split": _shift(lambda rng: -np.log(rng.choice([1.5, 2.0, 3.0]))),
    "missed dividend": _shift(lambda rng: -0.03),
    "FX leg slip": _ratio(1.12, 6),
    "stale": _held(6, _all_but_last),
    "partly stale": _held(10, _every_other),
    "swap": Kind(15, _swap, in_logs=True),
    "peer substitution": Kind(15, _peer),
    "decoupling": Kind(20, _decoupled),
    "one-day lag": Kind(20, _lagged),
    "volatility burst": _times(3.0, 10),
    "volatility death": _times(0.3, 20),
    "drift": _drift(1.0, 10),
    "slow drift": _drift(0.5, 20),
    "recycled ticker": Kind(40, _recycled, in_logs=True),
    "filled forward": _held(40, _all_but_last),  # after a delisting
}

# Milder and harsher than the usual ones, which stand between them
RUNGS: Mapping[str, Kind] = {
    "spike 2": _spike(2.0),
    "spike 16": _spike(16.0),
    "missed dividend 6 %": _shift(lambda rng: -0.06),
    "missed dividend 12 %": _shift(lambda rng: -0.12),
    "FX leg slip 3 %": _ratio(1.03, 6),
    "FX leg slip 6 %": _ratio(1.06, 6),
    "stale, 3 days": _held(4, _all_but_last),
    "stale, 10 days": _held(11, _all_but_last),
    "swap, 5 days": Kind(5, _swap, in_logs=True),
    "swap, 30 days": Kind(30, _swap, in_logs=True),
    "decoupling, 10 days": Kind(10, _decoupled),
    "decoupling, 40 days": Kind(40, _decoupled),
    "one-day lag, 10 days": Kind(10, _lagged),
    "one-day lag, 40 days": Kind(40, _lagged),
    "volatility x2": _times(2.0, 10),
    "volatility x5": _times(5.0, 10),
    "volatility x0.5": _times(0.5, 20),
    "volatility x0.1": _times(0.1, 20),
    "drift 0.7": _drift(0.7, 10),
    "drift 2": _drift(2.0, 10),
}

LADDERS: Mapping[str, tuple[str, ...]] = {  # from mild to harsh
    "spike": ("spike 2", "spike 4", "spike 8", "spike 16"),
    "missed dividend": ("missed dividend", "missed dividend 6 %", "missed dividend 12 %"),
    "FX leg slip": ("FX leg slip 3 %", "FX leg slip 6 %", "FX leg slip"),
    "stale": ("stale, 3 days", "stale", "stale, 10 days"),
    "swap": ("swap, 5 days", "swap", "swap, 30 days"),
    "decoupling": ("decoupling, 10 days", "decoupling", "decoupling, 40 days"),
    "one-day lag": ("one-day lag, 10 days", "one-day lag", "one-day lag, 40 days"),
    "volatility burst": ("volatility x2", "volatility burst", "volatility x5"),
    "volatility death": ("volatility x0.5", "volatility death", "volatility x0.1"),
    "drift": ("drift 0.7", "drift", "drift 2"),
}

BAR_KINDS: Mapping[str, BarKind] = {
    "high below close": BarKind(1, "high", "close", lambda high, close: 0.99 * close),
    "volume x1000": BarKind(1, "volume", "close", lambda volume, close: 1000.0 * volume),
    "no volume": BarKind(5, "volume", "close", lambda volume, close: np.zeros_like(volume)),  # though the price moves
}
