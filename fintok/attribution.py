"""Why one asset on one date has its score."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fintok.moves import move_text
from fintok.spans import date_unit

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from fintok.panel import Values


class Attribution(NamedTuple):
    """Why one (date, symbol) has its score, and its alert if there is one."""

    symbol: str
    statistics: "pd.DataFrame"  # statistic, meaning, value, p_value, share of the combined evidence
    days: "pd.DataFrame"
    """The last ten rows: date, return and expected (log returns, or what a panel of returns holds), residual (their
    difference in its usual deviation), share of their residual energy."""
    score: float  # NaN = none
    p_value: float  # of the score; NaN where it is not calibrated
    reason: str  # of the alert, a check's too, which needs no score; "" = no alert
    partner: str  # the other asset, where the two move in each other's place; "" = nobody
    values: "Values"  # what the panel holds

    def __repr__(self) -> str:
        dates = self.days["date"].to_numpy()
        moment = np.datetime_as_string(dates, unit=date_unit(dates))
        alert = f"alert, {self.reason!r}" if self.reason else "no alert"
        alert += f" ({self.partner})" if self.partner else ""
        if not np.isfinite(self.statistics["share"]).any():
            return f"Attribution({self.symbol} on {moment[-1]}: {alert}, no score)"
        first = self.statistics.iloc[0]
        of_weeks = first["statistic"] != "jump"  # which is the last day's own
        place = int(self.days["share"].fillna(0.0).argmax()) if of_weeks else len(self.days) - 1
        seen, expected = (move_text(self.days[name].iloc[place], self.values) for name in ("return", "expected"))
        return (
            f"Attribution({self.symbol} on {moment[-1]}: {alert}, score {self.score:.3g}, p {self.p_value:.2g}; "
            f"{first['meaning']!r} carries {first['share']:.0%}; {moment[place]}: "
            f"{seen} seen, {expected} expected)"
        )

    def summary(self) -> "pd.DataFrame":
        """A row per statistic, by its meaning, the one that carries most first: value, p_value, share."""
        return self.statistics.drop(columns="statistic").set_index("meaning")

    def plot(self) -> "go.Figure":
        """Share of the evidence that each statistic carries."""
        from fintok.plots.scores import evidence_shares

        return evidence_shares(self)
