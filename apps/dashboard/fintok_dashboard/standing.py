"""Where a panel stands on a date: its regime, what usually follows, alerts against their number, missing data."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.signature import spell_lengths

if TYPE_CHECKING:
    from fintok import Panel
    from fintok.regime_result import Regimes
    from fintok_dashboard.reading import Reading

FRESH_ROWS = 20  # an asset silent for longer has left the panel: it is not late


class RegimeNow(NamedTuple):
    """The regime of a date, with what was known on it."""

    regime: int
    name: str
    probability: float
    since: np.datetime64
    days: int  # rows so far, this one too
    spells: NDArray[np.int64]  # rows of each finished spell of this regime before
    follows: list[tuple[int, float]]  # (regime, share of the finished spells that it followed), most frequent first


class AlertCount(NamedTuple):
    """Alerts of the last days."""

    name: str
    rows: slice
    alarms: int  # of the score
    expected: float  # by the alarm rate
    checks: int  # named checks that fired


class Silence(NamedTuple):
    """Assets by when they last had a value, and what is flagged as stale."""

    present: NDArray[np.intp]  # with a value on the date
    late: list[tuple[int, int]]  # (asset, rows since its last value), the latest first
    gone: NDArray[np.intp]  # silent for more than 20 rows
    stale: NDArray[np.intp]  # flagged on the date


class Spells(NamedTuple):
    """Spells of one regime each, in their order; all (S,)."""

    start: NDArray[np.intp]  # first row
    length: NDArray[np.intp]  # labelled rows
    regime: NDArray[np.integer]


def spells_of(labels: NDArray[np.integer]) -> Spells:
    """The spells of labels (T,); rows without a label (-1) do not end one."""
    labelled = np.flatnonzero(labels >= 0)
    regime, length = spell_lengths(labels)
    return Spells(labelled[np.cumsum(length) - length], length, regime)


def regime_on(regimes: Regimes, row: int) -> RegimeNow | None:
    """The regime of a row, or of the last one before it on which anything was observed; None where there is no
    forecast yet. Uses rows up to this one only."""
    labels = regimes.labels[: row + 1]
    starts, lengths, spell = spells_of(labels)
    if len(spell) == 0:
        return None
    now = int(spell[-1])
    before = np.flatnonzero(spell[:-1] == now)
    next_ones = spell[before + 1]
    counts = np.bincount(next_ones, minlength=regimes.num_regimes)
    follows = [(int(k), float(counts[k] / len(next_ones))) for k in np.argsort(-counts, kind="stable") if counts[k]]
    return RegimeNow(
        regime=now,
        name=regimes.names[now],
        probability=float(regimes.probabilities[np.flatnonzero(labels >= 0)[-1], now]),
        since=regimes.dates[int(starts[-1])],
        days=int(lengths[-1]),
        spells=lengths[before].astype(np.int64),
        follows=follows,
    )


def alert_counts(reading: Reading, row: int, alarms_per_1000: float) -> list[AlertCount]:
    """Alerts of the last day, week and month up to a row, beside the number that the alarm rate leads to expect.

    The day is the calendar's: of an hourly panel, the rows since midnight.
    """
    dates, per_year = reading.panel.dates, reading.panel.periods_per_year
    alerts = reading.alarms.at(alarms_per_1000)
    found = []
    today = row + 1 - int(np.searchsorted(dates, dates[row].astype("datetime64[D]")))
    for name, count in (("day", today), ("week", round(per_year / 52)), ("month", round(per_year / 12))):
        rows = slice(max(row + 1 - max(count, today), 0), row + 1)
        calibrated = int(np.isfinite(reading.scores.p_value[rows]).sum())
        part = alerts.within(rows)
        alarms = int(part.is_alarm.sum())
        expected = calibrated * alarms_per_1000 / 1000.0
        found.append(AlertCount(name, rows, alarms, expected, len(part.row) - alarms))
    return found


def silence_on(panel: Panel, row: int, is_stale: NDArray[np.bool_]) -> Silence:
    """Who has no value on a row, and since when; `is_stale` (A,) is what the checks flag on it."""
    known = np.isfinite(panel.data)[: row + 1]
    ever = known.any(axis=0)
    behind = np.where(ever, known[::-1].argmax(axis=0), -1) if len(known) else np.full(panel.num_assets, -1)
    late = np.flatnonzero((behind > 0) & (behind <= FRESH_ROWS))
    return Silence(
        present=np.flatnonzero(behind == 0),
        late=[(int(a), int(behind[a])) for a in late[np.argsort(-behind[late], kind="stable")]],
        gone=np.flatnonzero(behind > FRESH_ROWS),
        stale=np.flatnonzero(is_stale),
    )
