"""k-means with k-means++ seeding (Arthur and Vassilvitskii, 2007), on numpy alone."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_RESTARTS, _MAX_STEPS = 10, 100


class Clusters(NamedTuple):
    """What k-means found."""

    centres: NDArray[np.float64]  # (K, F)
    labels: NDArray[np.intp]  # (N,) nearest centre of every row
    inertia: float  # sum of squared distances of the rows to their centres


def squared_distances(features: NDArray[np.floating], centres: NDArray[np.floating]) -> NDArray[np.float64]:
    """Squared Euclidean distance of every row (T, F) to every centre (K, F): (T, K).

    Differences are squared and summed row by row, never through one matrix product: a row's distances are
    then the same bits whatever rows come after it, which is what lets a label be compared with its past
    self.
    """
    return np.stack([((features - centre) ** 2).sum(axis=1) for centre in centres], axis=1).astype(np.float64)


def _fast_distances(
    features: NDArray[np.float64], centres: NDArray[np.float64], norms: NDArray[np.float64]
) -> NDArray[np.float64]:
    distances = norms[:, None] - features @ (2.0 * centres.T) + (centres**2).sum(axis=1)[None, :]
    return np.maximum(distances, 0.0)


def _seed_centres(
    features: NDArray[np.float64], norms: NDArray[np.float64], num_clusters: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Greedy k-means++: of a few candidates drawn in proportion to the squared distance, keep the best."""
    num_candidates = 2 + int(np.log(num_clusters))  # scikit-learn's number
    chosen = [int(rng.integers(len(features)))]
    nearest = _fast_distances(features, features[chosen], norms)[:, 0]
    while len(chosen) < num_clusters:
        total = nearest.sum()
        if total <= 0.0:  # fewer distinct rows than clusters: any row will do, it is a copy
            chosen.append(int(rng.integers(len(features))))
            continue
        candidates = np.searchsorted(np.cumsum(nearest), rng.random(num_candidates) * total)
        candidates = np.minimum(candidates, len(features) - 1)
        reduced = np.minimum(_fast_distances(features, features[candidates], norms), nearest[:, None])
        best = int(reduced.sum(axis=0).argmin())
        chosen.append(int(candidates[best]))
        nearest = reduced[:, best]
    return features[chosen].copy()


def _lloyd(features: NDArray[np.float64], centres: NDArray[np.float64], norms: NDArray[np.float64]) -> Clusters:
    """Assign and average until no row changes its cluster; an empty cluster restarts at the farthest row."""
    labels = np.full(len(features), -1)
    for _ in range(_MAX_STEPS):
        distances = _fast_distances(features, centres, norms)
        new_labels = distances.argmin(axis=1)
        nearest = distances.min(axis=1)
        if np.array_equal(new_labels, labels):
            break
        labels = new_labels
        members = np.zeros((len(centres), len(features)))
        members[labels, np.arange(len(features))] = 1.0
        counts = members.sum(axis=1)
        centres = members @ features / np.maximum(counts, 1.0)[:, None]
        for empty in np.flatnonzero(counts == 0.0):
            farthest = int(nearest.argmax())
            centres[empty] = features[farthest]
            nearest[farthest] = 0.0
    distances = _fast_distances(features, centres, norms)
    return Clusters(centres, distances.argmin(axis=1), float(distances.min(axis=1).sum()))


def kmeans(
    features: NDArray[np.floating],
    num_clusters: int,
    rng: np.random.Generator,
    *,
    max_seeding_rows: int = 5000,
) -> Clusters:
    """Cluster rows (N, F) without NaN into `num_clusters`; the best of 10 seedings by inertia.

    Restarts run on at most `max_seeding_rows` evenly spaced rows (neighbouring days are nearly copies), the
    best of them is then polished on all rows. Raises ValueError with fewer rows than clusters.
    """
    rows = np.asarray(features, dtype=np.float64)
    if len(rows) < num_clusters:
        raise ValueError(f"k-means needs at least {num_clusters} rows, got {len(rows)}")
    mean = rows.mean(axis=0)
    rows = rows - mean  # centring keeps the expanded square accurate
    thin = rows[:: -(-len(rows) // max_seeding_rows)]
    thin_norms = (thin**2).sum(axis=1)
    best: Clusters | None = None
    for _ in range(_RESTARTS):
        seeds = _seed_centres(thin, thin_norms, num_clusters, rng)
        found = _lloyd(thin, seeds, thin_norms)
        if best is None or found.inertia < best.inertia:
            best = found
    assert best is not None
    final = _lloyd(rows, best.centres, (rows**2).sum(axis=1))
    return final._replace(centres=final.centres + mean)
