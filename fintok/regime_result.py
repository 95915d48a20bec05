"""The regimes of one panel: labels, probabilities, tables and a figure."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fintok.errors import InputError
from fintok.files import as_polars
from fintok.memory import Recall
from fintok.moves import Moves, moves_of
from fintok.panel import MAX_GAP_DAYS, MAX_GAP_ROWS
from fintok.signature import signature_table, spell_lengths, transition_matrix, years_spanned
from fintok.spans import DateLike, date_text, rows_until

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    import polars as pl

    from fintok.panel import Panel

_ROWS_TO_KNOW = 1500  # of a panel; fewer say little of what is usual
_ROWS_TO_ORDER = 20  # of a regime whose volatility counts in the order, as where the order is learned


@dataclass(frozen=True, kw_only=True, eq=False)
class Regimes:
    """Regime of every date of a panel. Built by `RegimeLabeler.label`; each row knows only its own past."""

    panel: "Panel"
    labels: NDArray[np.integer]  # (T,) 0 = calmest; -1 = no forecast yet
    probabilities: NDArray[np.float64]  # (T, K) rows sum to 1; NaN where the label is -1
    names: tuple[str, ...]  # (K,)
    train_end: np.datetime64
    recall: Recall = field(default_factory=Recall)  # of what was before the first row

    @property
    def dates(self) -> NDArray[np.datetime64]:
        """(T,) the panel's dates."""
        return self.panel.dates

    @property
    def num_regimes(self) -> int:
        return len(self.names)

    @property
    def carried(self) -> NDArray[np.integer]:
        """(T,) labels; a date that has none, as a holiday on which nothing trades, has that of the date before."""
        return self.labels[np.maximum.accumulate(np.where(self.labels >= 0, np.arange(len(self.labels)), 0))]

    @property
    def is_in_sample(self) -> NDArray[np.bool_]:
        """(T,) True up to `train_end`, the last day that the network or the regimes learned from."""
        return self.dates <= self.train_end

    @property
    def transition_matrix(self) -> NDArray[np.float64]:
        """(K, K) share of days on which regime i is followed by j, over the whole panel."""
        return transition_matrix(self.labels, self.num_regimes)

    @property
    def switches_per_year(self) -> float:
        """Switches per calendar year, over the labelled dates."""
        labelled = self.labels >= 0
        regimes, _ = spell_lengths(self.labels)
        return max(len(regimes) - 1, 0) / years_spanned(self.dates[labelled])

    def __repr__(self) -> str:
        labelled = np.flatnonzero(self.labels >= 0)
        if len(labelled) == 0:
            return f"Regimes({self._why_unlabelled()})"
        last = labelled[-1]
        return (
            f"Regimes({len(labelled):,} of {len(self.labels):,} dates in {self.num_regimes} regimes, "
            f"{self.switches_per_year:.1f} switches a year; "
            f"{date_text(self.dates, last)}: {self.names[self.labels[last]]}"
            f"{', in sample' if self.is_in_sample[last] else ''})"
        )

    def _why_unlabelled(self) -> str:
        """What keeps every date from having a label."""
        returns = self.panel.returns
        if len(self.labels) > 1 and not np.isfinite(returns).any():
            return (
                f"no asset has a return on any of {len(self.labels):,} dates: the value before is always "
                f"more than {MAX_GAP_ROWS} rows or {MAX_GAP_DAYS} days old"
            )
        if len(self.labels) > 1 and not np.nan_to_num(returns).any():
            return f"no asset moves on any of {len(self.labels):,} dates"
        return f"no date of {len(self.labels):,} has enough history"

    def summary(self) -> "pd.DataFrame":
        """One row per regime, calmest first: see `fintok.signature.signature_table` for the columns.

        Volatility, mean and dispersion are in log returns a year, or for a panel of returns in annual
        deviations of the assets' own (`fintok.moves.moves_of`).
        """
        return self._table.copy()

    @cached_property
    def moves(self) -> Moves:
        """What the returns are described in."""
        return moves_of(self.panel)

    @cached_property
    def _table(self) -> "pd.DataFrame":
        return signature_table(self.labels, self.names, self.dates, self.moves.market, self.moves.returns)

    def as_of(self, date: DateLike) -> "Regimes":
        """These regimes as they were known at the end of a date: its rows and earlier ones, and no more.

        Labels are the same, since each knows only its past; what is said of them (`summary`, `transition_matrix`,
        `outlook`, the last date's name in the `repr`) is what these rows say. The model itself has learned from rows
        up to `train_end`. Raises InputError for a date before the first row.
        """
        count = rows_until(self.dates, date)
        if count == 0:
            raise InputError(f"{self.panel.source} starts after {date}: no regime was known then")
        return replace(
            self, panel=self.panel[:count], labels=self.labels[:count], probabilities=self.probabilities[:count]
        )

    def outlook(self, horizons: Sequence[int] = (1, 5, 20, 60)) -> "pd.DataFrame":
        """What follows the last labelled date: one row per regime, its name, its probability "now" and after each
        horizon in rows, "usual" (its share of the labelled dates) and its annual volatility and mean so far.

        Probabilities go on from those of the last date by the transition matrix, which assumes that how long a spell
        has lasted tells nothing. A regime of which no day after is known is taken to last as long as the others do and
        to give way to the usual ones. NaN where no date has a label. Raises InputError for a horizon that is no whole
        number from 0 on.
        """
        import pandas as pd

        if isinstance(horizons, Integral) or not all(isinstance(rows, Integral) and rows >= 0 for rows in horizons):
            raise InputError(f"horizons are {horizons!r}, expected whole numbers of rows, as (1, 5, 20)")
        labelled = np.flatnonzero(self.labels >= 0)
        now = self.probabilities[labelled[-1]] if len(labelled) else np.full(self.num_regimes, np.nan)
        going = self._transitions_or_usual()
        after = {f"after {rows}": now @ np.linalg.matrix_power(going, rows) for rows in horizons}
        table = self._table
        columns = {"name": table["name"], "now": now, **after, "usual": table["share"]}
        return pd.DataFrame({**columns, "volatility": table["volatility"], "mean": table["mean"]})

    def _transitions_or_usual(self) -> NDArray[np.float64]:
        """The transition matrix (K, K), where a regime that was never left nor kept changes as often as all together
        (one switch more among as many rows, so that it does not last for ever) and to those that are usual."""
        labels, matrix = self.labels[self.labels >= 0], self.transition_matrix
        if len(labels) == 0:
            return matrix
        usual = np.bincount(labels, minlength=self.num_regimes) / len(labels)
        leaves = (np.count_nonzero(np.diff(labels)) + 1) / (len(labels) + 1)
        unknown = ~np.isin(np.arange(self.num_regimes), labels[:-1])
        matrix[unknown] = (1.0 - leaves) * np.eye(self.num_regimes)[unknown] + leaves * usual
        return matrix

    def remarks(self) -> list[str]:
        """What a reader of the table should know: little history, nothing out of sample, regimes that never occur, an
        order that does not hold here."""
        table, sentences = self._table, []
        if self.recall.remark:
            sentences.append(self.recall.remark)
        if self.recall.past is None and len(self.labels) < _ROWS_TO_KNOW:
            sentences.append(
                f"{len(self.labels):,} rows are little history: each asset's moves are read in units of its own past, "
                "and a panel that began earlier may have other regimes on the same dates; give it all rows you have"
            )
        if len(self.labels) and self.is_in_sample.all():
            sentences.append(
                f"all dates are in sample, since the model has learned from rows up to {str(self.train_end)[:10]}: "
                "judge it by later ones"
            )
        days, volatility = table["days"].to_numpy(), table["volatility"].to_numpy()
        never = int((days == 0).sum())
        if 0 < never < self.num_regimes:
            sentences.append(
                f"{never} of {self.num_regimes} regimes never occur{'s' * (never == 1)} here; raise --switches, "
                "lower --regimes, or learn this panel's own from 500 rows or more: --until DATE (in Python "
                "RegimeLabeler(bundle).fit(panel, until=…))"
            )
        known = np.flatnonzero(days >= _ROWS_TO_ORDER)
        falls = np.flatnonzero(np.diff(volatility[known]) < 0.0)
        if len(falls):
            one, other = known[falls[0]], known[falls[0] + 1]
            sentences.append(
                "the order from calm to stressed is that of the training rows and does not hold here: "
                f"{self.names[one]!r} has a volatility of {volatility[one]:.3g}, {self.names[other]!r} one of "
                f"{volatility[other]:.3g}"
            )
        return sentences

    def plot(self) -> "go.Figure":
        """The cumulative market return over a ribbon of regimes."""
        from fintok.plots.regimes import regime_ribbon

        return regime_ribbon(self)

    def to_series(self) -> "pd.Series":
        """Regime number by date: nullable Int64, <NA> where there is no forecast yet."""
        import pandas as pd

        index = pd.DatetimeIndex(self.dates, name="date")
        values = pd.arrays.IntegerArray(self.labels.astype(np.int64), self.labels < 0)
        return pd.Series(values, index=index, name="regime")

    def probabilities_frame(self) -> "pd.DataFrame":
        """Probabilities p_0 .. p_{K-1} by date; NaN where there is no forecast yet."""
        import pandas as pd

        index = pd.DatetimeIndex(self.dates, name="date")
        columns = [f"p_{k}" for k in range(self.num_regimes)]
        return pd.DataFrame(self.probabilities, index=index, columns=columns)

    def to_pandas(self) -> "pd.DataFrame":
        """Columns date, regime, name, p_0 .. p_{K-1}, in_sample; missing before the first forecast."""
        import pandas as pd

        names = np.array([*self.names, None], dtype=object)[self.labels]  # -1 takes the last, None
        table = pd.DataFrame({"date": self.dates, "regime": self.to_series().array, "name": names})
        table["name"] = table["name"].astype("string")
        table[[f"p_{k}" for k in range(self.num_regimes)]] = self.probabilities
        table["in_sample"] = self.is_in_sample
        return table

    def to_polars(self) -> "pl.DataFrame":
        """The same columns as `to_pandas`, with null for missing."""
        return as_polars(self.to_pandas())
