"""What an audit found: a row for each reading and date."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.files import as_polars

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    import polars as pl


class LookAheadError(Exception):
    """Something that is said of a date changed when later rows did."""


class Finding(NamedTuple):
    """One reading compared up to one date."""

    what: str
    date: np.datetime64  # the last row that was kept
    cells: int  # compared
    changed: int  # of them
    largest_change: float  # inf where a number came or went
    first_row: int  # the earliest row with a change, -1 = none


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Audit:
    """Whether anything said of a date changed with its future. Built by `fintok.audit`."""

    findings: tuple[Finding, ...]
    dates: NDArray[np.datetime64]  # (T,) of the panel

    @property
    def is_clean(self) -> bool:
        """Nothing changed."""
        return not any(finding.changed for finding in self.findings)

    def __repr__(self) -> str:
        cells = sum(finding.cells for finding in self.findings)
        cuts = len({finding.date for finding in self.findings})
        return f"Audit({self._verdict()}; {cells:,} cells compared at {cuts} dates)"

    def _verdict(self) -> str:
        guilty = list(dict.fromkeys(finding.what for finding in self.findings if finding.changed))
        return f"looks ahead: {', '.join(guilty)}" if guilty else "no look-ahead found"

    def check(self) -> None:
        """Raises LookAheadError, which names what changed, unless the audit is clean."""
        if not self.is_clean:
            worst = max(self.findings, key=lambda finding: finding.changed)
            raise LookAheadError(
                f"{self._verdict()}; {worst.what} changed in {worst.changed:,} of {worst.cells:,} cells up to "
                f"{np.datetime_as_string(worst.date, unit='D')}, from "
                f"{np.datetime_as_string(self.dates[worst.first_row], unit='D')} on"
            )

    def summary(self) -> pd.DataFrame:
        """One row per reading: dates tried, cells compared, cells changed, largest change."""
        grouped = self.to_pandas().groupby("what", sort=False)
        columns = {"dates": ("date", "nunique"), "cells": ("cells", "sum"), "changed": ("changed", "sum")}
        return grouped.agg(**columns, largest_change=("largest_change", "max"))

    def to_pandas(self) -> pd.DataFrame:
        """One row per reading and date: what, date (the last kept), cells, changed, largest_change, first_change
        (the earliest date with a change, NaT = none)."""
        import pandas as pd

        table = pd.DataFrame(self.findings).drop(columns="first_row")
        rows = np.array([finding.first_row for finding in self.findings])
        return table.assign(first_change=np.where(rows >= 0, self.dates[rows], np.datetime64("NaT")))

    def to_polars(self) -> pl.DataFrame:
        """The same rows and columns, with null where nothing changed."""
        return as_polars(self.to_pandas())

    def plot(self) -> go.Figure:
        """Share of the cells that changed, reading by date."""
        from fintok.plots.audit import changed_shares

        return changed_shares(self)
