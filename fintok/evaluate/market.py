"""What the rivals see of a panel: returns, the rows to learn from, and the usual features of a day."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fintok.channels import ScaledReturns, market_volatility, scaled_returns
from fintok.expected_size import ExpectedSize, size_predictors
from fintok.hints import positive_definite
from fintok.moves import MIN_OBSERVATIONS, moves_of
from fintok.signature import market_return

if TYPE_CHECKING:
    import pandas as pd

    from fintok.panel import Panel

Array = NDArray[np.float64]

HALF_LIVES = (5, 20, 60)  # of the smoothed features, in rows
SHRINKAGE = 0.1  # of a correlation matrix towards none
WINDOW_ROWS = 500  # of the absorption ratio, as in the paper
REFRESH_ROWS = 5  # the absorption ratio is computed anew so often, and holds in between
FEWEST_ROWS = 60  # for a first absorption ratio


class Market:
    """A panel of T days and A assets as the rivals get it. Each feature uses its own day and earlier ones only.

    Parameters
    ----------
    panel : the whole panel.
    first : first row that has a label; there is no forecast before it.
    cut : number of rows up to train_end: nothing is learned from later ones, but where a refit says so.
    """

    def __init__(self, panel: Panel, first: int, cut: int) -> None:
        moves = moves_of(panel)
        self.panel, self.first, self.cut = panel, first, cut
        self.returns: Array = np.asarray(moves.returns, dtype=np.float64)
        """(T, A) log returns, or deviations where the panel has returns of units of their own; NaN = not observed."""
        self.move = moves.market
        """(T,) mean over the assets; NaN where none is observed."""
        self.is_relative = moves.is_relative

    @property
    def num_judged_years(self) -> float:
        """Years of the rows after the cut."""
        return (self.panel.num_days - self.cut) / self.panel.periods_per_year

    @cached_property
    def scaled(self) -> ScaledReturns:
        """Returns over their own usual size before the day."""
        return scaled_returns(self.panel, MIN_OBSERVATIONS)

    @cached_property
    def size(self) -> pd.Series:
        """(T,) mean |return| of each day; a day without returns has that of the day before; NaN before the first."""
        import pandas as pd

        return pd.Series(market_return(np.abs(self.returns)), index=pd.DatetimeIndex(self.panel.dates)).ffill()

    def smooth_size(self, rows: int) -> pd.DataFrame:
        """Log mean |return| over the last days (half-lives of 5, 20 and 60), standardised on rows up to ``rows``.

        From row ``first`` on: (T - first, 3).
        """
        import pandas as pd

        columns = {days: np.log(self.size.ewm(halflife=days).mean().clip(lower=1e-12)) for days in HALF_LIVES}
        smooth = pd.DataFrame(columns).iloc[self.first :]
        training = smooth.iloc[: rows - self.first]
        return (smooth - training.mean()) / training.std().clip(lower=1e-9)

    def volatility(self, half_life: float) -> Array:
        """(T,) log of the decayed mean |return| over its own usual size, mean over the assets observed that day."""
        return market_volatility(self.scaled, half_life)[:, 0]

    def expected_size(self, rows: int) -> Array:
        """(T,) log size of the next day's moves as HAR with leverage expects it (`ExpectedSize`), learned from rows
        ``first`` to ``rows``."""
        predictors = self._size_predictors
        return ExpectedSize.learn(predictors[self.first : rows], 1.0).of(predictors).astype(np.float64)

    @cached_property
    def _size_predictors(self) -> NDArray[np.float32]:
        return size_predictors(self.panel)

    def turbulence(self, rows: int) -> Array:
        """(T,) squared Mahalanobis distance of the day an asset (Kritzman and Li, 2010); correlations of early rows.

        Returns are in deviations of their own past, those not observed at their mean.
        """
        z = np.clip(self.scaled.scaled, -50.0, 50.0)
        precision = np.linalg.inv(correlation(z[:rows], self.scaled.observed[:rows]))
        observed = np.maximum(self.scaled.observed.sum(axis=1), 1)
        return np.einsum("ta,ab,tb->t", z, precision, z, optimize=True) / observed

    @cached_property
    def absorption(self) -> Array:
        """(T,) share of the variance in the first fifth of the eigenvectors (Kritzman, Li, Page and Rigobon, 2011).

        Of the correlations over the trailing 500 rows, of the assets observed in them; NaN before there are 60.
        """
        z, observed = np.clip(self.scaled.scaled, -50.0, 50.0), self.scaled.observed
        ratio = np.full(len(z), np.nan)
        for row in range(FEWEST_ROWS, len(z), REFRESH_ROWS):
            past = slice(max(0, row + 1 - WINDOW_ROWS), row + 1)
            there = observed[past].any(axis=0)
            if not there.any():
                continue
            values = np.linalg.eigvalsh(correlation(z[past][:, there], observed[past][:, there]))
            few = max(1, round(len(values) / 5))
            ratio[row : row + REFRESH_ROWS] = values[-few:].sum() / values.sum()
        return ratio


def correlation(z: Array, observed: NDArray[np.bool_]) -> Array:
    """Correlations (A, A) of z (T, A), 0 where not observed; an asset that never moved has none but 1 with itself.

    Shrunk towards none by a tenth, and positive definite: each pair is told by the days that it has in common.
    """
    count = np.maximum(observed.sum(axis=0), 1)
    size = np.sqrt((z**2).sum(axis=0) / count)
    known = np.where(observed, z / np.where(size > 0.0, size, 1.0), 0.0)
    together = observed.astype(np.float64).T @ observed.astype(np.float64)
    shrunk = (1.0 - SHRINKAGE) * (known.T @ known) / np.maximum(together, 1.0)
    np.fill_diagonal(shrunk, 1.0)
    return positive_definite(shrunk, SHRINKAGE)
