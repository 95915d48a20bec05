"""The patch seen beside the patch expected: what the masked model would have had an asset do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fintok import inference
from fintok.cells import locate
from fintok.errors import InputError
from fintok.moves import as_shares, move_text
from fintok.panel import require_panel
from fintok.spans import date_text

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    import polars as pl

    from fintok.bundle import Bundle
    from fintok.panel import Panel, Values
    from fintok.spans import DateLike

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Counterfactual:
    """One patch of one asset, by `Bundle.counterfactual`: the asset's last two patches were hidden, and the model
    named a probability for each code from the other assets and the asset's own past. P days, in units of return."""

    symbol: str
    dates: NDArray[np.datetime64]  # (P,) of the patch
    seen: Array  # (P,) returns; NaN = not observed
    expected: Array  # (P,) mean return under the model's mixture of codes
    deviation: Array  # (P,) standard deviation under it
    code: int  # of the patch seen
    surprise: float  # -log p(code), nats
    usual: float  # mean of the surprise under p, its entropy: what the model expected the surprise to be, nats
    values: Values  # what the panel holds

    @property
    def distance(self) -> Array:
        """(P,) seen less expected, in deviations."""
        return (self.seen - self.expected) / self.deviation

    def __repr__(self) -> str:
        day = date_text(self.dates, -1)
        seen, expected = (move_text(total, self.values) for total in self._totals)
        return (
            f"Counterfactual({self.symbol} to {day}: {seen} seen, {expected} expected; "
            f"surprise {self.surprise:.2f} nats, {self.usual:.2f} usual)"
        )

    @property
    def _totals(self) -> tuple[float, float]:
        """Return seen and expected, over the days that were observed."""
        return float(np.nansum(self.seen)), float(self.expected[np.isfinite(self.seen)].sum())

    def summary(self) -> pd.DataFrame:
        """The same facts, a row a fact; returns are shares of the price, or as a panel of returns has them."""
        import pandas as pd

        seen, expected = (float(as_shares(total, self.values)) for total in self._totals)
        facts = {
            "symbol": self.symbol,
            "return seen": seen,
            "return expected": expected,
            "code": self.code,
            "surprise": self.surprise,
            "usual surprise": self.usual,
        }
        return pd.DataFrame({"value": facts}).rename_axis("fact")

    def to_polars(self) -> pl.DataFrame:
        """A row a day: date, seen (null = not observed), expected, deviation, distance, in log returns or as
        a panel of returns has them."""
        import polars as pl

        numbers = {name: getattr(self, name) for name in ("seen", "expected", "deviation", "distance")}
        table = pl.DataFrame({"date": self.dates.astype("datetime64[us]"), **numbers})
        return table.with_columns(pl.col("seen", "distance").fill_nan(None))

    def to_pandas(self) -> pd.DataFrame:
        """The same table for pandas."""
        return self.to_polars().to_pandas().astype({"date": "datetime64[ns]"})

    def plot(self) -> go.Figure:
        """Return of each day: seen, and expected with two standard deviations to either side."""
        from fintok.plots.counterfactual import seen_and_expected

        return seen_and_expected(self)


def mixture_moments(
    p: NDArray[np.floating], mean: NDArray[np.floating], variance: NDArray[np.floating]
) -> tuple[Array, Array]:
    """Mean and standard deviation of sinh(y), (P,), where y is normal with mean and variance (K, P) under code k.

    Codes are learned from asinh(return / scale), so this brings them back to returns: E sinh y = sinh(m) e^(v/2) and
    E sinh² y = (cosh(2m) e^(2v) - 1) / 2.
    """
    weight = np.asarray(p, dtype=np.float64)[:, None]
    m, v = np.asarray(mean, dtype=np.float64), np.asarray(variance, dtype=np.float64)
    first = (weight * np.sinh(m) * np.exp(v / 2.0)).sum(axis=0)
    second = (weight * (np.cosh(2.0 * m) * np.exp(2.0 * v) - 1.0) / 2.0).sum(axis=0)
    return first, np.sqrt(np.maximum(second - first**2, 0.0))


def counterfactual(bundle: Bundle, panel: Panel, date: DateLike, symbol: str) -> Counterfactual:
    """See `Bundle.counterfactual`. Where the asset was not observed on a day, its scale is the last one known."""
    require_panel(panel)
    row, column = locate(panel.dates, panel.assets, date, symbol)
    window, vocabulary = bundle.config.imaging, bundle.vocabulary
    images = bundle.images(panel[: row + 1])
    if row + 1 < window.window_days or not images.observed[column, row]:
        raise InputError(
            f"{symbol} has no token on {date_text(panel.dates, row)} to compare with: it is not observed that day, its "
            f"scale is not yet known, or there are not {window.window_days} days before"
        )
    days = slice(row + 1 - window.patch_days, row + 1)
    code = int(inference.read_codes(bundle.tokenizer, images, window.patch_days, since=row)[row, column])
    p = inference.read_expectation(bundle.predictor, images, row, column, window.window_days, window.patch_days)
    mean, deviation = mixture_moments(p, vocabulary.patch_mean, vocabulary.patch_variance)
    logs = np.log(np.maximum(np.asarray(p, dtype=np.float64), 1e-300))
    scale = images.scale[column, days]
    known = np.flatnonzero(np.isfinite(scale))
    scale = scale[known[np.maximum(np.searchsorted(known, np.arange(len(scale)), side="right") - 1, 0)]]
    return Counterfactual(
        symbol=symbol,
        dates=panel.dates[days],
        seen=panel.returns[days, column],
        expected=mean * scale,
        deviation=deviation * scale,
        code=code,
        surprise=float(-logs[code]),
        usual=float(-(p * logs).sum()),
        values=panel.values,
    )
