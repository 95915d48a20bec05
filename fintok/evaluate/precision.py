"""Precision over all thresholds at once: average precision, and its volume over buffers around each event."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


def average_precision(scores: Array, labels: Flags) -> float:
    """Mean precision at the scores (N,) of what is labelled; NaN where nothing is. Ties share the lower precision."""
    if not labels.any():
        return float("nan")
    hits, chosen, _ = _staircase(scores, labels.astype(np.float64))
    return float(np.diff(hits, prepend=0.0) @ (hits / chosen) / hits[-1])


def vus_pr(scores: Array, labels: Flags, judged: Flags, buffer: int) -> float:
    """Volume under the precision-recall surface (Paparrizos et al., 2022, section 4), all arrays (T, N).

    Each of the N columns is a series. For a buffer of w rows, the w / 2 rows before and after an event are labelled
    as well, sqrt(1 - d / w) at a distance of d rows; recall is the labelled weight that is found, over the mean of the
    weights with and without buffers, times the share of events that are found at all; and the area under precision
    against recall is averaged over w = 0 ... `buffer`. We take every score for a threshold, the paper 250 of them,
    and precision at the end of each step, as TSB-AD does. Rows outside `judged` count only where a buffer holds them.
    """
    if not labels.any():
        return float("nan")
    distance = _distance(labels, buffer // 2 + 1)
    return float(np.mean([_area(scores, labels, judged, distance, width) for width in range(buffer + 1)]))


def _area(scores: Array, labels: Flags, judged: Flags, distance: NDArray[np.int64], width: int) -> float:
    """Area under precision against recall with a buffer of `width` rows."""
    near = distance <= width // 2
    weight = np.where(near, np.sqrt(np.maximum(1.0 - distance / max(width, 1), 0.0)), 0.0)
    weight[labels] = 1.0
    counts = judged | near
    hits, chosen, steps = _staircase(scores[counts], weight[counts])
    positives = (labels.sum() + hits[-1]) / 2.0
    peaks = np.sort(_peaks(scores, near))
    found = 1.0 - np.searchsorted(peaks, steps, side="left") / len(peaks)
    recall = np.minimum(hits / positives, 1.0) * found
    return float(np.diff(recall, prepend=0.0) @ (hits / chosen))


def _staircase(scores: Array, weights: Array) -> tuple[Array, Array, Array]:
    """At each score from the highest on: weight found, how many are found, and the score; equal ones together."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    return np.cumsum(weights[order])[last], last + 1.0, ordered[last]


def _distance(labels: Flags, limit: int) -> NDArray[np.int64]:
    """Rows to the nearest labelled row of the same column (T, N), at most `limit`."""
    rows = np.arange(len(labels))[:, None]
    before = np.maximum.accumulate(np.where(labels, rows, -limit), axis=0)
    after = np.minimum.accumulate(np.where(labels, rows, len(labels) + limit)[::-1], axis=0)[::-1]
    return np.minimum(np.minimum(rows - before, after - rows), limit)


def _peaks(scores: Array, inside: Flags) -> Array:
    """Highest score of each run of `inside` rows of a column, (events,)."""
    flat, held = scores.T.ravel(), inside.T
    starts = held & ~np.pad(held, ((0, 0), (1, 0)))[:, :-1]
    ends = held & ~np.pad(held, ((0, 0), (0, 1)))[:, 1:]
    spans = np.stack([np.flatnonzero(starts), np.flatnonzero(ends) + 1], axis=1).ravel()
    return np.maximum.reduceat(np.append(flat, -np.inf), spans)[::2]
