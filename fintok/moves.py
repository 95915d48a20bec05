"""What a panel's returns are described in: as they are, or in deviations where they have units of their own."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.channels import Past, scaled_returns
from fintok.errors import InputError
from fintok.signature import market_return, rows_per_year

if TYPE_CHECKING:
    from fintok.panel import Panel, Values

MIN_OBSERVATIONS = 20  # returns before an asset's scale counts, the imager's default


class Moves(NamedTuple):
    """Returns that can be pooled over assets, for tables and figures; never for models."""

    returns: NDArray[np.floating]  # (T, A), NaN where not observed
    market: NDArray[np.float64]  # (T,) their mean over the assets observed, NaN where none is
    unit: str  # what 1 is, in words
    is_relative: bool  # True for log returns, which read as per cent

    @property
    def axis_title(self) -> str:
        """Of a line of cumulated market moves."""
        return "cumulative log return, equal weights" if self.is_relative else "cumulative return, own annual σ"


def moves_of(panel: "Panel") -> Moves:
    """Returns as tables and figures describe them: log returns of prices as they are, others in annual deviations.

    Returns given by the user may be differences of anything, so that a mean over assets would be that of the
    loudest contract. Each is divided by the asset's own usual size up to the day before (`deviations`) and by
    the root of the rows per year: an asset's own volatility is then about 1 a year.
    """
    if not isinstance(getattr(panel, "values", None), str):
        raise InputError(f"expected a Panel, got {type(panel).__name__}; fintok.read_panel makes one")
    if panel.values == "prices":
        return Moves(panel.returns, market_return(panel.returns), "log returns", True)
    returns = deviations(panel) / np.sqrt(rows_per_year(panel.dates))
    return Moves(returns, market_return(returns), "deviations (1 = an asset's own usual volatility)", False)


def deviations(panel: "Panel", past: Past | None = None) -> NDArray[np.float64]:
    """Returns (T, A) over each asset's slow scale, its usual size on all rows before; NaN where there is none."""
    data = scaled_returns(panel, MIN_OBSERVATIONS, past)
    return np.where(data.observed, data.scaled, np.nan)


def as_shares(returns: NDArray[np.floating] | float, values: "Values") -> NDArray[np.floating]:
    """Log returns as shares of the price, which read as per cent; those of a panel of returns as they are."""
    return np.expm1(returns) if values == "prices" else np.asarray(returns)


def move_text(value: float, values: "Values") -> str:
    """One log return as per cent of the price with its sign; one of a panel of returns as it is."""
    return format(float(as_shares(value, values)), "+.2%" if values == "prices" else "+.4g")
