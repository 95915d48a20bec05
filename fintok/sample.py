"""Panels to try things on: real prices that come with the package, and a simulated market with its truth."""

from importlib.resources import as_file, files
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.errors import InputError
from fintok.panel import Panel

if TYPE_CHECKING:
    import polars as pl

REGIMES = ("calm", "normal", "stressed")
FAULTS = ("spike", "decimal shift", "unadjusted split", "stale price", "decoupled")

_MEAN_DAYS = np.array([150.0, 80.0, 30.0])  # a regime lasts
_NEXT = np.array([[0.0, 0.9, 0.1], [0.6, 0.0, 0.4], [0.1, 0.9, 0.0]])  # where it goes when it ends
_MARKET_DEVIATION = np.array([0.006, 0.011, 0.028])  # of a day's market return
_OWN_FACTOR = np.array([0.8, 1.0, 1.7])  # on an asset's own deviation
_DRIFT = np.array([0.0007, 0.0002, -0.0015])  # of the market, per day
_STALE_DAYS, _DECOUPLED_DAYS = 12, 20


class Fault(NamedTuple):
    """One fault planted in a simulated panel, on `days` rows from `row` on."""

    kind: str  # one of FAULTS
    row: int
    asset: int
    days: int


class SimulatedPanel(NamedTuple):
    """A simulated market and what is true of it."""

    panel: Panel
    regimes: NDArray[np.int64]  # (T,) 0 = calm, 1 = normal, 2 = stressed
    faults: tuple[Fault, ...]

    def __repr__(self) -> str:
        num_days, num_assets = self.panel.returns.shape
        return f"SimulatedPanel({num_assets} assets x {num_days} rows, {len(self.faults)} faults)"

    def truth(self) -> "pl.DataFrame":
        """A row per date and symbol: date, symbol, regime (its name), fault (its kind, or null)."""
        import polars as pl

        fault = np.full(self.panel.returns.shape, None, dtype=object)
        for kind, row, asset, days in self.faults:
            fault[row : row + days, asset] = kind
        num_days, num_assets = self.panel.returns.shape
        return pl.DataFrame(
            {
                "date": np.repeat(self.panel.dates.astype("datetime64[us]"), num_assets),
                "symbol": list(self.panel.assets) * num_days,
                "regime": np.repeat(np.array(REGIMES)[self.regimes], num_assets),
                "fault": pl.Series(fault.ravel().tolist(), dtype=pl.String),
            }
        )


def load_us20() -> Panel:
    """Daily adjusted closes of 20 US stocks and the S&P 500, 1990 to 2022, none missing.

    From skfolio's data sets (BSD-3-Clause); `fintok/data/README.md` has source and licence.
    """
    from dataclasses import replace

    from fintok.sources import read_panel

    with as_file(files("fintok") / "data" / "us20.parquet") as path:
        return replace(read_panel(path), source="us20, bundled with fintok")


def simulate_panel(
    num_assets: int = 60, num_days: int = 2500, *, num_faults: int = 12, seed: int = 0
) -> SimulatedPanel:
    """Daily prices of a market with three regimes, sectors, late and ending listings, and planted faults.

    A Markov chain of regimes sets the deviation and drift of a market return with Student-t tails (4 degrees);
    an asset's return is its beta times it, plus its sector's and its own. One asset in ten starts late, one in
    twenty ends early, and 0.2 % of prices are missing. Faults (`FAULTS` in turn) lie in the last four fifths of
    the dates, on assets that are listed there. Raises InputError for fewer than 10 assets or 250 days.
    """
    if num_assets < 10 or num_days < 250 or num_faults < 0:
        raise InputError(
            f"num_assets is {num_assets}, num_days {num_days} and num_faults {num_faults}, "
            "expected at least 10, 250 and 0"
        )
    rng = np.random.default_rng(seed)
    regimes = _draw_regimes(num_days, rng)
    market = _DRIFT[regimes] + _MARKET_DEVIATION[regimes] * _student(rng, num_days)
    num_sectors = max(2, num_assets // 10)
    own_size = _OWN_FACTOR[regimes][:, None]
    sectors = 0.005 * own_size * _student(rng, (num_days, num_sectors))
    beta = rng.uniform(0.6, 1.4, num_assets)
    sector_of = rng.integers(num_sectors, size=num_assets)
    deviation = rng.uniform(0.006, 0.018, num_assets)
    own = own_size * deviation * _student(rng, (num_days, num_assets))
    returns = beta * market[:, None] + sectors[:, sector_of] + own

    listed = np.ones(returns.shape, dtype=bool)
    chosen = rng.permutation(num_assets)
    late, ended = chosen[: num_assets // 10], chosen[num_assets // 10 : num_assets // 10 + num_assets // 20]
    for asset in late:
        listed[: rng.integers(num_days // 10, num_days // 2), asset] = False
    for asset in ended:
        listed[rng.integers(num_days // 2, num_days) :, asset] = False

    faults = _place_faults(num_faults, listed, rng)
    for kind, row, asset, days in faults:  # decoupled: the market and the sector are gone for a while
        if kind == "decoupled":
            returns[row : row + days, asset] = 2.5 * own[row : row + days, asset]
    prices = rng.uniform(20.0, 200.0, num_assets) * np.exp(np.cumsum(returns, axis=0))
    for fault in faults:
        _plant(prices, fault, deviation[fault.asset], rng)
    missing = rng.random(prices.shape) < 0.002
    for _, row, asset, days in faults:
        missing[row - 1 : row + days + 1, asset] = False  # or the fault could not be seen
    prices[~listed | missing] = np.nan
    dates = np.busday_offset("2014-01-01", np.arange(num_days), roll="forward")
    names = [f"S{asset:0{len(str(num_assets - 1))}d}" for asset in range(num_assets)]
    panel = Panel.from_arrays(np.round(prices, 4), dates, names, source=f"simulated, seed {seed}")
    return SimulatedPanel(panel, regimes, faults)


def _student(rng: np.random.Generator, size: int | tuple[int, int]) -> NDArray[np.float64]:
    """Student-t with 4 degrees of freedom, scaled to unit variance."""
    return rng.standard_t(4.0, size) / np.sqrt(2.0)


def _draw_regimes(num_days: int, rng: np.random.Generator) -> NDArray[np.int64]:
    regimes = np.empty(num_days, dtype=np.int64)
    state, row = 0, 0
    while row < num_days:
        days = int(rng.geometric(1.0 / _MEAN_DAYS[state]))
        regimes[row : row + days] = state
        row += days
        state = int(rng.choice(len(REGIMES), p=_NEXT[state]))
    return regimes


def _place_faults(count: int, listed: NDArray[np.bool_], rng: np.random.Generator) -> tuple[Fault, ...]:
    """Kinds in turn, on different assets as long as there are any, each inside its asset's listing."""
    num_days, num_assets = listed.shape
    longest = max(_STALE_DAYS, _DECOUPLED_DAYS)
    order = rng.permutation(num_assets)
    faults = []
    for number in range(count):
        kind, asset = FAULTS[number % len(FAULTS)], int(order[number % num_assets])
        days = {"stale price": _STALE_DAYS, "decoupled": _DECOUPLED_DAYS}.get(kind, 1)
        rows = np.flatnonzero(listed[:, asset])
        rows = rows[(rows >= num_days // 5) & (rows + longest < rows[-1])]
        if len(rows):
            faults.append(Fault(kind, int(rng.choice(rows)), asset, days))
    return tuple(sorted(faults, key=lambda fault: fault.row))


def _plant(prices: NDArray[np.float64], fault: Fault, deviation: float, rng: np.random.Generator) -> None:
    """Change the prices of the fault's rows in place (a split: of all later rows as well)."""
    kind, row, asset, days = fault
    match kind:
        case "spike":
            prices[row, asset] *= np.exp(rng.choice([-1.0, 1.0]) * 15.0 * deviation)
        case "decimal shift":
            prices[row, asset] *= rng.choice([0.1, 10.0])
        case "unadjusted split":
            prices[row:, asset] /= rng.choice([2.0, 3.0, 4.0])
        case "stale price":
            prices[row : row + days, asset] = prices[row - 1, asset]
        case _:
            pass  # decoupled: its returns were drawn so
