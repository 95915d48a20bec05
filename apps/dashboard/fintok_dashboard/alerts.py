"""Alerts at any alarm rate: which asset-days, why, and above which score."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from fintok import AnomalyScorer
from fintok.calibration import adaptive_levels

if TYPE_CHECKING:
    from fintok.score_result import Scores

Made = TypeVar("Made")

WINDOW_DAYS = AnomalyScorer().days  # dates of the trailing calibration window
_STEP = 0.01  # of the score, in the thresholds drawn
_TOP = 15.0
_KEPT = 24  # of levels, alerts and thresholds, each of an alarm rate
UNEXPLAINED = "unusual behaviour"  # where a score came from a file that did not alert at its own rate


class Alerts(NamedTuple):
    """Alerts at one alarm rate, by date and then by asset; all (N,)."""

    row: NDArray[np.intp]
    asset: NDArray[np.intp]
    is_alarm: NDArray[np.bool_]  # the score's own, which the alarm rate counts; the others are named checks
    reason: NDArray[np.object_]

    def within(self, rows: slice, assets: NDArray[np.intp] | None = None) -> Alerts:
        """Those of consecutive rows, and of some assets."""
        chosen = np.arange(*np.searchsorted(self.row, [rows.start, rows.stop]))
        if assets is not None:
            chosen = chosen[np.isin(self.asset[chosen], assets)]
        return Alerts(self.row[chosen], self.asset[chosen], self.is_alarm[chosen], self.reason[chosen])


class AlarmBook:
    """The alerts of one set of scores, at the alarm rates that somebody asked for; any thread may ask."""

    def __init__(self, scores: Scores, left_out: NDArray[np.bool_]) -> None:
        self.scores = scores
        self.left_out = left_out  # (T, A) known data errors: scored, but not calibrated with
        self._made: dict[tuple[str, float], Any] = {}
        self._lock = threading.RLock()  # thresholds and alerts ask for levels

    def levels(self, alarms_per_1000: float) -> NDArray[np.float64]:
        """(T,) the adaptive level that p-values are held against."""
        return self._once(self._find_levels, alarms_per_1000)

    def at(self, alarms_per_1000: float) -> Alerts:
        """Alarms of the score at a rate, and the named checks, which have no rate."""
        return self._once(self._find_alerts, alarms_per_1000)

    def _once(self, make: Callable[[float], Made], alarms_per_1000: float) -> Made:
        """What is made of an alarm rate, kept for the next who asks."""
        asked = (make.__name__, alarms_per_1000)
        with self._lock:
            if asked not in self._made:
                made = make(alarms_per_1000)
                if len(self._made) >= _KEPT:
                    del self._made[next(iter(self._made))]
                self._made[asked] = made
            return self._made[asked]

    def _find_levels(self, alarms_per_1000: float) -> NDArray[np.float64]:
        p_values = np.where(self.left_out, np.nan, self.scores.p_value)
        return adaptive_levels(p_values, alarms_per_1000 / 1000.0)

    def _find_alerts(self, alarms_per_1000: float) -> Alerts:
        scores = self.scores
        is_alarm = scores.p_value <= self.levels(alarms_per_1000)[:, None]  # NaN compares as False
        row, asset = np.nonzero(is_alarm | scores.is_check)
        own = is_alarm[row, asset]
        reason = np.array(scores.reasons, dtype=object)[scores.reason_codes[row, asset]]
        unnamed = np.flatnonzero(reason == "")  # did not alert at the rate that the scores were made for
        reason[unnamed] = self._loudest(row[unnamed], asset[unnamed])
        return Alerts(row, asset, own, reason)

    def _loudest(self, row: NDArray[np.intp], asset: NDArray[np.intp]) -> NDArray[np.object_]:
        """The reason of the statistic with the smallest tail probability, as the scorer names it."""
        scores = self.scores
        if not scores.tails:
            return np.full(len(row), UNEXPLAINED, dtype=object)
        p = [scores.tails[name](values[row, asset]) for name, values in scores.statistics.items()]
        smallest = np.nan_to_num(np.stack(p), nan=1.0).argmin(axis=0)
        return np.array(scores.reasons, dtype=object)[1 + smallest]

    def thresholds(self, alarms_per_1000: float) -> NDArray[np.float64]:
        """(T,) the score above which an asset alarms, to 0.01; NaN while the calibration has too little to go by for
        any score to alarm.

        The p-value of a score is its rank among those of the trailing window, so this is the quantile of that
        window at the level of the date, read from running histograms.
        """
        return self._once(self._find_thresholds, alarms_per_1000)

    def _find_thresholds(self, alarms_per_1000: float) -> NDArray[np.float64]:
        levels, counts = self.levels(alarms_per_1000), self._running_counts
        num_days, num_bins = len(self.scores.dates), counts.shape[1]
        start = np.maximum(np.arange(num_days) - WINDOW_DAYS, 0)
        calibrated = np.isfinite(self.scores.p_value).any(axis=1)
        allowed = levels * (counts[:-1].sum(axis=1) - counts[start].sum(axis=1) + 1.0) - 1.0
        thresholds = np.full(num_days, np.nan)
        for block in np.array_split(np.flatnonzero(calibrated), max(num_days // 512, 1)):
            window = (counts[block] - counts[start[block]])[:, ::-1]
            num_above = (np.cumsum(window, axis=1) <= allowed[block, None]).sum(axis=1)  # bins that may lie above
            thresholds[block] = np.where(num_above > 0, (num_bins - num_above) * _STEP, np.nan)
        return thresholds

    @cached_property
    def _running_counts(self) -> NDArray[np.int32]:
        """(T + 1, bins) how many scores fell into each bin before each date."""
        score = self.scores.score
        row, asset = np.nonzero(np.isfinite(score) & ~self.left_out)
        bins = np.clip(score[row, asset] / _STEP, 0, _TOP / _STEP - 1).astype(np.int64)
        num_bins = round(_TOP / _STEP)
        daily = np.bincount(row * num_bins + bins, minlength=len(score) * num_bins)
        counts = np.zeros((len(score) + 1, num_bins), dtype=np.int32)
        np.cumsum(daily.reshape(len(score), num_bins), axis=0, out=counts[1:])
        return counts
