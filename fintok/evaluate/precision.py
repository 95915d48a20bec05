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
    order = np.argsort(-scores, kind="stable")
    last = _last_of_equal(scores[order])
    hits = np.cumsum(labels[order])[last]
    return float(np.diff(hits, prepend=0.0) @ (hits / (last + 1.0)) / hits[-1])


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
    inside = judged | (distance <= buffer // 2)
    order = np.argsort(-scores[inside], kind="stable")  # once for all buffers
    ordered, away, counts = scores[inside][order], distance[inside][order], judged[inside][order]
    last = _last_of_equal(ordered)
    areas = []
    for width in range(buffer + 1):
        half = width // 2
        weight = np.zeros(buffer // 2 + 2)  # by distance
        weight[: half + 1] = np.sqrt(1.0 - np.arange(half + 1) / max(width, 1))
        hits = np.cumsum(weight[away])[last]
        chosen = np.cumsum(counts | (away <= half))[last]
        peaks = np.sort(_peaks(scores, distance <= half))
        found = 1.0 - np.searchsorted(peaks, ordered[last], side="left") / len(peaks)
        recall = np.minimum(hits / ((labels.sum() + hits[-1]) / 2.0), 1.0) * found
        areas.append(np.diff(recall, prepend=0.0) @ (hits / np.maximum(chosen, 1)))
    return float(np.mean(areas))


def _last_of_equal(ordered: Array) -> NDArray[np.intp]:
    """Places at which a run of equal numbers ends."""
    return np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))


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
