"""The anomaly scores of one panel: tables, events, attribution and a figure."""

from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fintok.attribution import Attribution
from fintok.calibration import MIN_SCORES, adjusted_p_values
from fintok.cells import locate
from fintok.checks import CHECKS
from fintok.errors import InputError
from fintok.evidence import REASONS
from fintok.files import as_polars
from fintok.spans import rows_until
from fintok.tails import TailMap, shares

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    import polars as pl

    from fintok.panel import Panel
    from fintok.spans import DateLike

COLUMNS = ("date", "symbol", "score", "p_value", "alert", "reason", "in_sample")  # of the tables
_EVENT_GAP = 5  # rows: alerts of one asset no further apart than a week belong to one event
_ATTRIBUTION_ROWS = 10


def uncalibrated(scores: "Scores", days: NDArray[np.bool_]) -> str:
    """Why these days (T,) have no p-value."""
    count = int(np.isfinite(scores.score[days]).sum())
    return (
        f"no asset-{scores.panel.row_noun} is calibrated yet ({count:,} scores; p-values need {MIN_SCORES:,} in the "
        "trailing window)"
    )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Scores:
    """Score of every (date, asset) of a panel, by `AnomalyScorer.score`. Each row knows only its past."""

    panel: "Panel"
    score: NDArray[np.float64]  # (T, A) evidence put together by `fintok.tails.combine`; NaN = none
    p_value: NDArray[np.float64]  # (T, A) rolling conformal; NaN where not calibrated
    levels: NDArray[np.float64]  # (T, A) the adaptive level of each date, that of the asset's own group
    is_alarm: NDArray[np.bool_]  # (T, A) p_value <= level: what the alarm budget counts
    alarms_per_1000: float  # the budget; NaN where it is not known
    reason_codes: NDArray[np.uint8]  # (T, A) index into `reasons`; 0 = no alert
    reasons: tuple[str, ...]
    statistics: dict[str, NDArray[np.float32]]  # (T, A) each
    tails: dict[str, TailMap]
    expected: NDArray[np.float64]  # (T, A) return that the other assets' returns of the day lead to expect
    residual: NDArray[np.float64]  # (T, A) return less that, in its usual deviation
    train_end: np.datetime64

    @property
    def alert(self) -> NDArray[np.bool_]:
        """(T, A) True where the score alarms or a check fires."""
        return self.reason_codes > 0

    @property
    def is_check(self) -> NDArray[np.bool_]:
        """(T, A) True where a named check fires, which needs no model and is outside the alarm budget."""
        return np.isin(self.reasons, list(CHECKS))[self.reason_codes]

    @property
    def dates(self) -> NDArray[np.datetime64]:
        """(T,) the panel's dates."""
        return self.panel.dates

    @property
    def assets(self) -> tuple[str, ...]:
        """(A,) the panel's assets."""
        return self.panel.assets

    @property
    def is_in_sample(self) -> NDArray[np.bool_]:
        """(T,) True up to the bundle's train_end: the model has seen these days."""
        return self.dates <= self.train_end

    @property
    def told_of(self) -> str:
        """The row of `summary` that a headline tells of: after train_end, if there are 1,000 p-values; else all."""
        if self.is_in_sample.all():
            return "in sample"
        return "after train_end" if np.isfinite(self.p_value[~self.is_in_sample]).sum() >= MIN_SCORES else "all"

    def __repr__(self) -> str:
        scope = self.told_of
        days = ~self.is_in_sample if scope == "after train_end" else np.ones(len(self.dates), dtype=bool)
        calibrated = int(np.isfinite(self.p_value[days]).sum())
        if calibrated:
            rate = (
                f"{1000.0 * self.is_alarm[days].sum() / calibrated:.2f} alarms per 1,000 asset-{self.panel.row_noun}s"
            )
        else:
            rate = uncalibrated(self, days)
        return (
            f"Scores({len(self.assets):,} assets x {len(self.dates):,} dates; {scope}: "
            f"{int(self.alert[days].sum()):,} alerts, {rate})"
        )

    def as_of(self, date: "DateLike") -> "Scores":
        """These scores as they were known at the end of a date: its rows and earlier ones, and no more.

        Each score knows only its past, so that they are the same. What is learned (the network, how rare each kind of
        evidence is) is learned from rows up to `train_end`. Raises InputError for a date before the first row.
        """
        count = rows_until(self.dates, date)
        if count == 0:
            raise InputError(f"{self.panel.source} starts after {date}: no score was known then")
        cells = ("score", "p_value", "levels", "is_alarm", "reason_codes", "expected", "residual")
        return replace(
            self,
            panel=self.panel[:count],
            statistics={name: values[:count] for name, values in self.statistics.items()},
            **{name: getattr(self, name)[:count] for name in cells},
        )

    def summary(self) -> "pd.DataFrame":
        """In sample, after train_end and together: asset-days with a p-value, alerts, alarms by score, alerts
        by a check, alarms by score per 1,000 asset-days (NaN where none has a p-value)."""
        import pandas as pd

        by_check = self.is_check
        rows = {}
        seen = self.is_in_sample
        for name, days in {"in sample": seen, "after train_end": ~seen, "all": seen | ~seen}.items():
            calibrated = int(np.isfinite(self.p_value[days]).sum())
            alarms = int(self.is_alarm[days].sum())
            rows[name] = {
                "asset_days": calibrated,
                "alerts": int(self.alert[days].sum()),
                "by_score": alarms,
                "by_check": int(by_check[days].sum()),
                "alarms_per_1000": 1000.0 * alarms / calibrated if calibrated else np.nan,
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("period")

    def remarks(self) -> list[str]:
        """What a reader of the table should know: assets with prices that are never scored."""
        never = np.flatnonzero(np.isfinite(self.panel.data).any(axis=0) & ~np.isfinite(self.score).any(axis=0))
        if not len(never):
            return []
        returns = int(np.isfinite(self.panel.returns[:, never[0]]).sum())
        why = ", since its prices are too far apart" if returns == 0 and self.panel.values == "prices" else ""
        return [
            f"without a score on any date: {len(never)} of {len(self.assets)} assets, the first of them "
            f"{self.assets[never[0]]!r}, which has {returns:,} returns{why}"
        ]

    def reason_counts(self) -> "pd.Series":
        """Alerts by reason, most frequent first."""
        import pandas as pd

        counts = np.bincount(self.reason_codes.ravel(), minlength=len(self.reasons))[1:]
        order = np.argsort(-counts, kind="stable")
        order = order[counts[order] > 0]
        names = pd.Index(self.reasons[1:], name="reason").take(order)
        return pd.Series(counts[order], index=names, name="alerts")

    def events(self) -> "pd.DataFrame":
        """Alerts of one asset at most five rows apart, merged: one row per event, strangest first.

        Columns: symbol, start, end (dates), alerts (days), peak (date of the highest score), score, p_value
        and reason at the peak, in_sample.
        """
        import pandas as pd

        asset, day = np.nonzero(self.alert.T)  # by asset, then by day
        new = np.ones(len(day), dtype=bool)
        new[1:] = (np.diff(asset) != 0) | (np.diff(day) > _EVENT_GAP)
        event = np.cumsum(new) - 1
        first = np.flatnonzero(new)
        last = np.flatnonzero(np.append(new[1:], True)[: len(day)])
        height = np.nan_to_num(self.score[day, asset], nan=-1.0)
        peak = np.lexsort((-day, height, event))[last]  # highest of each event; the earlier day on a tie
        table = pd.DataFrame(
            {
                "symbol": pd.Index(self.assets).take(asset[first]),
                "start": self.dates[day[first]],
                "end": self.dates[day[last]],
                "alerts": np.bincount(event, minlength=len(first)),
                "peak": self.dates[day[peak]],
                "score": self.score[day[peak], asset[peak]],
                "p_value": self.p_value[day[peak], asset[peak]],
                "reason": pd.Index(self.reasons).take(self.reason_codes[day[peak], asset[peak]]),
                "in_sample": self.is_in_sample[day[peak]],
            }
        )
        return table.sort_values("score", ascending=False, kind="stable", ignore_index=True)

    def discoveries(self, q: float = 0.1) -> "pd.DataFrame":
        """Cells that stand out among all assets of their day: of a day's, a share of at most `q` by chance, on average.

        Benjamini and Hochberg (1995) over the p-values of each day. The p-values of a day share their calibration
        scores, which leaves the promise as it is (Bates et al., 2023); a day on which the whole market is strange
        may name many. The average is over all days, of which most name nothing: where nothing is strange a share of
        `q` of the days names something all the same, so that of all cells of a long table more than `q` may be there
        by chance. Columns: date, symbol, score, p_value and q_value, the least `q` at which the cell is named;
        by date, strangest first. Raises InputError for a q outside (0, 1).
        """
        import pandas as pd

        if not isinstance(q, Real) or not 0.0 < q < 1.0:
            raise InputError(f"q is a share of false discoveries between 0 and 1, got {q!r}")
        q_value = adjusted_p_values(self.p_value)
        day, asset = np.nonzero(q_value <= q)  # NaN compares as False
        table = pd.DataFrame(
            {
                "date": self.dates[day],
                "symbol": pd.Index(self.assets).take(asset),
                "score": self.score[day, asset],
                "p_value": self.p_value[day, asset],
                "q_value": q_value[day, asset],
            }
        )
        return table.sort_values(["date", "score"], ascending=[True, False], kind="stable", ignore_index=True)

    def attribution(self, date: "DateLike", symbol: str) -> Attribution:
        """The statistics and the days behind one score. Raises InputError for an unknown date or symbol."""
        import pandas as pd

        row, column = locate(self.dates, self.assets, date, symbol)
        values = np.array([values[row, column] for values in self.statistics.values()])
        p = np.array([self.tails[name](v[None])[0] for name, v in zip(self.statistics, values, strict=True)])
        statistics = pd.DataFrame(
            {
                "statistic": list(self.statistics),
                "meaning": [REASONS[name] for name in self.statistics],
                "value": values,
                "p_value": p,
                "share": shares(p),
            }
        ).sort_values("share", ascending=False, kind="stable", ignore_index=True)
        rows = slice(max(row + 1 - _ATTRIBUTION_ROWS, 0), row + 1)
        residual = self.residual[rows, column]
        energy = np.nansum(residual**2)
        days = pd.DataFrame(
            {
                "date": self.dates[rows],
                "return": self.panel.returns[rows, column],
                "expected": self.expected[rows, column],
                "residual": residual,
                "share": residual**2 / energy if energy > 0 else np.full(len(residual), np.nan),
            }
        )
        score, p_value = float(self.score[row, column]), float(self.p_value[row, column])
        reason = self.reasons[self.reason_codes[row, column]]
        partner, values = self._partner(row, column), self.panel.values
        return Attribution(symbol, statistics, days, score, p_value, reason, partner, values)

    def _partner(self, row: int, column: int) -> str:
        """The one asset that is as likely to have swapped places with this one as this one with it, if the odds are
        that it has with any: they are of pairs, and both have those of the likeliest (`fintok.peers.PeerView`)."""
        if "swapped" not in self.statistics:  # scores from a file
            return ""
        odds = self.statistics["swapped"][row]
        alike = np.flatnonzero((odds == odds[column]) & (np.arange(len(odds)) != column))
        return self.assets[alike[0]] if len(alike) == 1 and odds[column] > 0.0 else ""

    def plot(self) -> "go.Figure":
        """Heat map of the scores, assets by dates, with the alerts marked."""
        from fintok.plots.scores import score_heat_map

        return score_heat_map(self)

    def to_pandas(self) -> "pd.DataFrame":
        """Columns date, symbol, score, p_value, alert, reason, in_sample; sorted by date.

        One row per observed asset-day, and per alert. NaN for a missing score or p_value; `reason` is empty
        where there is no alert.
        """
        import pandas as pd

        day, asset = np.nonzero(np.isfinite(self.panel.returns) | np.isfinite(self.score) | self.alert)
        return pd.DataFrame(
            {
                "date": self.dates[day],
                "symbol": pd.Index(self.assets).take(asset),
                "score": self.score[day, asset],
                "p_value": self.p_value[day, asset],
                "alert": self.alert[day, asset],
                "reason": pd.Index(self.reasons).take(self.reason_codes[day, asset]),
                "in_sample": self.is_in_sample[day],
            }
        )

    def to_polars(self) -> "pl.DataFrame":
        """The same rows and columns as `to_pandas`, with null for a missing score or p-value."""
        return as_polars(self.to_pandas())
