"""What a detector found of the faults planted in a panel: recall of events, delay, attribution, precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fintok.evaluate.precision import average_precision, vus_pr
from fintok.faults import Fault

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

SCORE_ALONE = "fintok, score alone"  # without its named checks
CHECKS_ALONE = "named checks alone"  # which need no model: any rival could have them
BUDGETS = (1.0, 5.0)  # false alarms per 1,000 asset-days
UNJUDGED = 20  # rows after a fault: trailing windows still hold it
BUFFER = 20  # rows, of the volume under the precision-recall surface


class Detection(NamedTuple):
    """What a detector reached on all passes; E events of all kinds, in the order of the passes."""

    caught: Flags  # (budgets, E) its score passed the threshold on a day of the event, for its asset
    delay: Array  # (budgets, E) rows from the first wrong one to the first alarm; NaN where it was missed
    rank: NDArray[np.int64]  # (E,) assets that score as high as the event's over its days, or higher; 0 = alone on top
    precision: float  # average precision over asset-days of the kinds that count
    volume: float  # VUS-PR over the same, buffers of 0 to 20 rows


class Contest(NamedTuple):
    """What all detectors found of the same faults."""

    kinds: tuple[str, ...]  # (E,) of each event
    counted: tuple[str, ...]  # kinds that count for precision, delay and rank
    found: dict[str, Detection]  # by detector; fintok's are the first

    def events(self, kinds: Sequence[str]) -> Flags:
        """(E,) those of the given kinds."""
        return np.isin(self.kinds, list(kinds))

    def recall(self, name: str, kind: str, budget: int, *, with_checks: bool = False) -> float:
        """Share of the events of a kind that a detector caught, or the named checks did; NaN where there is none."""
        events = self.events([kind])
        caught = self.found[name].caught[budget, events]
        if with_checks:
            caught = caught | self.found[CHECKS_ALONE].caught[budget, events]
        return float(caught.mean()) if caught.size else float("nan")

    def mean_recall(self, name: str, budget: int, *, with_checks: bool = False) -> float:
        """Mean over the kinds that count."""
        return float(np.nanmean([self.recall(name, kind, budget, with_checks=with_checks) for kind in self.counted]))


class Truth:
    """The faults of one panel as arrays, laid out once for all detectors: E events, D rows the longest.

    Parameters
    ----------
    faults : of the panel.
    shape : (T, A) of what is judged.
    counted : kinds whose asset-days are to be told from ordinary ones; those of other kinds are left out.
    """

    def __init__(self, faults: Sequence[Fault], shape: tuple[int, int], counted: Sequence[str]) -> None:
        self.kinds = tuple(fault.kind for fault in faults)
        row = np.array([fault.row for fault in faults])
        days = np.array([fault.days for fault in faults])
        self.spans = np.stack([row, row + days], axis=1)  # (E, 2) first row, and the one after the last
        self.assets = np.array([(fault.assets[0], fault.assets[-1]) for fault in faults])  # (E, 2)
        later = np.arange(days.max())
        self.inside = later < days[:, None]  # (E, D)
        self.rows = row[:, None] + np.where(self.inside, later, 0)
        self.labels, self.judged = np.zeros(shape, dtype=bool), np.ones(shape, dtype=bool)
        for fault in faults:
            columns, end = list(fault.assets), fault.row + fault.days
            counts = fault.kind in counted
            self.labels[fault.row : end, columns] = counts
            self.judged[fault.row : end, columns] = counts
            self.judged[end : end + UNJUDGED, columns] = False
        self.elsewhere = self._elsewhere(shape[1])

    def _elsewhere(self, num_assets: int) -> Flags:
        """(E, A) assets that another event, or what it leaves behind, makes strange on these days."""
        first, end = self.spans.T
        meet = (first < end[:, None]) & (first[:, None] < end + UNJUDGED)  # (E, E) on its days: of the row, the column
        np.fill_diagonal(meet, False)
        at_fault = np.zeros((len(first), num_assets), dtype=bool)
        np.put_along_axis(at_fault, self.assets, True, axis=1)
        others = (meet.astype(np.float32) @ at_fault.astype(np.float32)) > 0.0
        return others & ~at_fault

    def heights(self, scores: Array) -> Array:
        """(E, D) score of the event's asset, or of the stranger of its two, on each of its days."""
        pairs = scores[self.rows[:, :, None], self.assets[:, None, :]].max(axis=2)
        return np.where(self.inside, pairs, -np.inf)

    def ranks(self, scores: Array) -> NDArray[np.int64]:
        """(E,) how many assets, none of them at fault, have as high a score over the event's days."""
        peaks = np.maximum.reduceat(scores, self.spans.ravel(), axis=0)[::2]  # (E, A); odd places lie between events
        as_high = peaks >= np.take_along_axis(peaks, self.assets, axis=1).max(axis=1, keepdims=True)
        np.put_along_axis(as_high, self.assets, False, axis=1)
        return (as_high & ~self.elsewhere).sum(axis=1)


def thresholds(calm: Array) -> Array:
    """(budgets,) what the scores of ordinary asset-days, of any shape, pass as often as the budgets allow."""
    shares = 1.0 - np.array(BUDGETS) / 1000.0
    return np.asarray(np.quantile(calm[np.isfinite(calm)], shares), dtype=np.float64)


def detect(limits: Array, scores: Sequence[Array], truths: Sequence[Truth]) -> Detection:
    """Judge the scores (T, A) of each panel with faults; NaN never alarms.

    limits : (budgets,) from `thresholds` of the same detector on the panel without faults.
    """
    filled = [np.where(np.isfinite(one), one, -np.inf) for one in scores]
    caught, delay, rank = [], [], []
    for one, truth in zip(filled, truths, strict=True):
        alarms = truth.heights(one) > limits[:, None, None]  # (budgets, E, D)
        found = alarms.any(axis=2)
        caught.append(found)
        delay.append(np.where(found, alarms.argmax(axis=2), np.nan))
        rank.append(truth.ranks(one))
    together = np.concatenate(filled, axis=1)  # assets of all passes side by side
    labels = np.concatenate([truth.labels for truth in truths], axis=1)
    seen = [truth.judged & (np.isfinite(one) | truth.labels) for truth, one in zip(truths, scores, strict=True)]
    judged = np.concatenate(seen, axis=1)
    return Detection(
        caught=np.concatenate(caught, axis=1),
        delay=np.concatenate(delay, axis=1),
        rank=np.concatenate(rank),
        precision=average_precision(together[judged], labels[judged]),
        volume=vus_pr(together, labels, judged, BUFFER),
    )
