"""What a reader sees in a panel before any training: coverage, calendar, and data that look wrong."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.channels import NORMAL_SCALE
from fintok.checks import run_checks
from fintok.coverage import runs_of
from fintok.files import as_polars
from fintok.panel import MAX_GAP_ROWS, Panel, dates_missing, require_panel
from fintok.spans import date_text, date_unit
from fintok.trailing import median_of_day, trailing_moments

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    import polars as pl

SPIKE_DEVIATIONS = 8.0  # a spike lies this far out, in standard deviations of the asset's trailing returns
SPIKE_LEFT = 0.25  # ... and leaves at most this share of it a row later
FEW_SHARE = 0.5  # a date on which less than this share of the listed assets has a value
_FEWEST = 4  # assets of which a date says that few of them have a value, or that none moves

_SPIKE = "spike that reverts"
_GAP = "long gap"
_FEW = "date with few assets"
_STANDSTILL = "date on which nothing moves"
_SECOND = "second row of a day"
_MISSING = "dates missing"
_NEVER = "asset without values"
_STILL = "asset that never moves"
_DUPLICATE = "duplicate of another column"
_ALIKE = "all prices jump alike"
_LIKENESS_ROWS = 30  # up to the last of a run of duplicates, by which its partner is told
_LEAST_RETURNS = 20  # of an asset of which is said that it never moves


class Findings(NamedTuple):
    """Suspected faults, ordered by kind and date; all (N,)."""

    kind: NDArray[np.str_]
    row: NDArray[np.int64]  # first row
    asset: NDArray[np.int64]  # -1 = all assets
    days: NDArray[np.int64]  # rows it lasts


@dataclass(frozen=True, eq=False)
class PanelHealth:
    """The health of a panel: see `check_panel`. Findings are suspicions, and nothing is changed in the panel."""

    panel: Panel
    findings: Findings

    def __repr__(self) -> str:
        return f"PanelHealth(findings: {len(self.findings.row)}, assets: {self.panel.num_assets}, {self.panel.source})"

    def summary(self) -> "pd.DataFrame":
        """Coverage and calendar, then one row per kind of finding: how many, and the first of them."""
        import pandas as pd

        known, listed = np.isfinite(self.panel.data), self.panel.is_listed
        dates = self.panel.dates
        column = self.panel.price_column
        values = f"{self.panel.values} ({column})" if column else self.panel.values
        rows = [
            ("assets", f"{self.panel.num_assets}", ""),
            ("rows", f"{self.panel.num_days}", _span(dates)),
            ("rows per year", f"{self.panel.periods_per_year:g}", _weekdays(dates)),
            ("columns", ", ".join((values, *self.panel.fields)), ""),
            ("missing while listed", f"{100.0 * _share(listed & ~known, listed):.2f} %", ""),
            ("late starts", *self._absent(listed[:MAX_GAP_ROWS], listed)),
            ("early ends", *self._absent(listed[: -MAX_GAP_ROWS - 1 : -1], listed)),
        ]
        for kind in dict.fromkeys(self.findings.kind.tolist()):
            chosen = np.flatnonzero(self.findings.kind == kind)
            rows.append((kind, f"{len(chosen)}", self._describe(int(chosen[0]))))
        table = pd.DataFrame(rows, columns=pd.Index(["what", "value", "first"]))
        return table.set_index("what")

    def to_pandas(self) -> "pd.DataFrame":
        """The findings: kind, date, symbol (missing: all assets), days, other (what a duplicate is like)."""
        import pandas as pd

        names = np.array([*self.panel.assets, None], dtype=object)  # place -1 is the last
        return pd.DataFrame(
            {
                "kind": self.findings.kind,
                "date": self.panel.dates[self.findings.row],
                "symbol": names[self.findings.asset],
                "days": self.findings.days,
                "other": np.array([self._partner(place) for place in range(len(self.findings.row))], dtype=object),
            }
        )

    def to_polars(self) -> "pl.DataFrame":
        """As `to_pandas`."""
        return as_polars(self.to_pandas())

    def plot(self) -> "go.Figure":
        """Findings by date and asset, a colour per kind."""
        from fintok.plots.panel import findings_map

        return findings_map(self)

    def _describe(self, place: int) -> str:
        row, asset, days = (int(column[place]) for column in self.findings[1:])
        name = "" if asset < 0 else f"{self.panel.assets[asset]} "
        if self.findings.kind[place] in (_NEVER, _STILL):
            return name.strip()
        date = date_text(self.panel.dates, row)
        if self.findings.kind[place] == _MISSING:
            return f"between {_span(self.panel.dates[row - 1 : row + 1]).replace(' to ', ' and ')}"
        partner = self._partner(place)
        lasts, alike = f", {days} rows" if days > 1 else "", "" if partner is None else f", as {partner}"
        return f"{name}{date}{lasts}{alike}"

    def _partner(self, place: int) -> str | None:
        """Of a duplicate, the column that it is like."""
        if self.findings.kind[place] != _DUPLICATE:
            return None
        end = int(self.findings.row[place] + self.findings.days[place])
        return self.panel.assets[_most_alike(self.panel.returns[:end], int(self.findings.asset[place]))]

    def _absent(self, edge: NDArray[np.bool_], listed: NDArray[np.bool_]) -> tuple[str, str]:
        """How many assets are not listed in the outermost row of an edge (rows from the outside, A), though in another.

        A row of which the fullest has more than twice as many is passed over: a first difference's, a weekend's.
        """
        if not len(edge):
            return "0", ""
        counts = edge.sum(axis=1)
        outermost = edge[(2 * counts >= counts.max()).argmax()]
        absent = np.flatnonzero(~outermost & listed.any(axis=0))
        return f"{len(absent)}", self.panel.assets[absent[0]] if len(absent) else ""


def check_panel(panel: Panel) -> PanelHealth:
    """Look a panel over.

    Findings: the deterministic checks of `fintok.checks` (a run of flagged rows is one finding, a jump of all assets
    too); spikes that
    revert within a row (more than 8 trailing standard deviations, relative to the market, of which at most a
    quarter is left); gaps of 5 rows or more, and dates that are missing for all (`fintok.panel.dates_missing`,
    at the first row after them), after which returns start anew; dates on which fewer than half of the listed
    assets have a value, and on which none of four or more moves (a holiday that was filled, or the day before
    once more); second rows of a day where rows are days (a quote of the session beside its close); assets without
    any value, and those that never move.
    """
    require_panel(panel)
    flags = dict(run_checks(panel))
    flags[_SPIKE] = reverting_spikes(panel.returns)
    alike = flags.pop(_ALIKE).any(axis=1)
    parts = [(kind, *runs_of(table)) for kind, table in flags.items()]
    known, listed = np.isfinite(panel.data), panel.is_listed
    row, asset, days = runs_of(listed & ~known)
    long = days >= MAX_GAP_ROWS
    parts.append((_GAP, row[long], asset[long], days[long]))
    there, expected = known.sum(axis=1), listed.sum(axis=1)
    are_few = (there < FEW_SHARE * expected) & (expected >= _FEWEST)
    stand_still = (panel.is_observed.sum(axis=1) >= _FEWEST) & ~np.nan_to_num(panel.returns).any(axis=1)
    of_dates = {_ALIKE: alike, _FEW: are_few, _STANDSTILL: stand_still, _SECOND: _second_rows(panel.dates)}
    for kind, dates in of_dates.items():
        first, _, spell = runs_of(dates[:, None])
        parts.append((kind, first, np.full(len(first), -1), spell))
    after = np.flatnonzero(dates_missing(panel.dates))
    parts.append((_MISSING, after, np.full(len(after), -1), np.ones(len(after), dtype=np.int64)))
    never = np.flatnonzero(~listed.any(axis=0)) if panel.num_days else np.arange(0)
    parts.append((_NEVER, np.zeros(len(never), dtype=np.int64), never, np.full(len(never), panel.num_days)))
    still = np.flatnonzero(
        (panel.is_observed.sum(axis=0) >= _LEAST_RETURNS) & ~np.nan_to_num(panel.returns).any(axis=0)
    )
    parts.append((_STILL, np.zeros(len(still), dtype=np.int64), still, np.full(len(still), panel.num_days)))
    kinds = np.concatenate([np.repeat(kind, len(row)) for kind, row, _, _ in parts])
    columns = [np.concatenate([part[place] for part in parts]).astype(np.int64) for place in (1, 2, 3)]
    return PanelHealth(panel, Findings(kinds, *columns))


def _second_rows(dates: NDArray[np.datetime64]) -> NDArray[np.bool_]:
    """Dates (T,) on the calendar day of the one before, where the usual step is a day or longer."""
    days = dates.astype("datetime64[D]")
    is_second = np.diff(days, prepend=days[:1] - 1) == np.timedelta64(0, "D")
    are_days = len(dates) > 1 and np.median(np.diff(dates)) > np.timedelta64(22, "h")  # 23 where clocks change
    return is_second & are_days


def reverting_spikes(returns: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Rows (T, A) whose return is far out and taken back by the next: a misprint. Looks one row ahead.

    Both are taken less the median return of the date, where five assets or more have one; the return as it is must
    be taken back as well: the market's own reversal is no spike of an asset that stands still.
    """
    own = returns - np.nan_to_num(median_of_day(returns))
    scale = NORMAL_SCALE * trailing_moments(np.abs(own), half_life=63, min_count=20).mean
    flags = np.zeros(returns.shape, dtype=bool)
    now, then = own[:-1], own[1:]  # NaN compares as False
    flags[:-1] = (
        (np.abs(now) > SPIKE_DEVIATIONS * scale[:-1])
        & (scale[:-1] > 0.0)
        & (np.abs(now + then) <= SPIKE_LEFT * np.abs(now))
        & (returns[:-1] != 0.0)
        & (np.abs(returns[:-1] + returns[1:]) <= SPIKE_LEFT * np.abs(returns[:-1]))
    )
    return flags


def _most_alike(returns: NDArray[np.float64], asset: int) -> int:
    """The other column (T, A) whose last returns are nearest to a multiple of an asset's."""
    last = returns[-_LIKENESS_ROWS:]
    own = last[:, [asset]]
    both = np.isfinite(last) & np.isfinite(own)
    one, other = np.where(both, own, 0.0), np.where(both, last, 0.0)
    sizes = np.sqrt((one**2).sum(axis=0) * (other**2).sum(axis=0))
    alike = np.abs((one * other).sum(axis=0)) / np.where(sizes > 0.0, sizes, np.inf)
    alike[asset] = -1.0
    return int(alike.argmax())


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
    return float(part.sum()) / max(int(whole.sum()), 1)


def _span(dates: NDArray[np.datetime64]) -> str:
    if not len(dates):
        return ""
    return f"{date_text(dates, 0)} to {date_text(dates, -1)}"


def _weekdays(dates: NDArray[np.datetime64]) -> str:
    """The weekdays that hold more than one row in a hundred, and whether there are hours."""
    if not len(dates):
        return ""
    weekday = (dates.astype("datetime64[D]").astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    share = np.bincount(weekday, minlength=7) / len(dates)
    names = " ".join(name for name, part in zip(_DAYS, share, strict=True) if part > 0.01)
    return names if date_unit(dates) == "D" else f"{names}, with hours"


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
