"""An order of the assets in which those that move alike stand side by side, and groups of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fintok import Panel

_ROWS = 1_000  # newest rows that say who moves alike: a description of the panel, not a statistic of a model
_MIN_COMMON = 60  # rows that both of a pair need
_MOST_GROUPS = 12


class Arrangement(NamedTuple):
    """A assets in order, and by group."""

    order: NDArray[np.intp]  # (A,) columns of the panel, neighbours move alike
    groups: dict[str, NDArray[np.intp]]  # columns of each group, in that order


def arrange(panel: Panel, given: Mapping[str, str]) -> Arrangement:
    """Clusters of the returns less the market's; named groups where the user gave them.

    An asset without enough values to compare stands at the end. `given` is the group of each symbol; assets that
    it leaves out have no group. Without it the clusters are the groups, each named after its most typical asset.
    """
    if panel.num_assets < 3:
        order, cluster, closeness = np.arange(panel.num_assets), np.zeros(panel.num_assets, int), None
    else:
        closeness = correlations(panel.returns[-_ROWS:])
        order, cluster = _cluster(closeness)
    if given:
        names = sorted({given[name] for name in panel.assets if name in given})
        wanted = [given.get(name) for name in panel.assets]
        groups = {name: np.array([a for a in order if wanted[a] == name], dtype=np.intp) for name in names}
        return Arrangement(order, groups)
    groups = {}
    for number in dict.fromkeys(cluster[order].tolist()):
        members = order[cluster[order] == number]
        typical = members[0] if closeness is None else members[closeness[np.ix_(members, members)].sum(1).argmax()]
        groups[f"around {panel.assets[typical]}"] = members
    return Arrangement(order, groups)


def correlations(returns: NDArray[np.floating]) -> NDArray[np.float64]:
    """(A, A) correlations of returns (T, A) less the mean of the date; 0 where a pair has fewer than 60 rows."""
    observed = np.isfinite(returns)
    count = observed.sum(axis=1, keepdims=True)
    filled = np.where(observed, returns, 0.0)
    own = np.where(observed, filled - filled.sum(axis=1, keepdims=True) / np.maximum(count, 1), 0.0)
    known = observed.astype(np.float64)
    squares, together = (own**2).T @ known, known.T @ known
    scale = np.sqrt(squares * squares.T)
    usable = (together >= _MIN_COMMON) & (scale > 0.0)
    return np.where(usable, (own.T @ own) / np.where(scale > 0.0, scale, 1.0), 0.0)


def _cluster(closeness: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Order of the leaves and cluster of each asset, by Ward's method."""
    from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
    from scipy.spatial.distance import squareform

    distance = np.sqrt(np.maximum(0.5 * (1.0 - closeness), 0.0))
    np.fill_diagonal(distance, 0.0)
    pairs = squareform(0.5 * (distance + distance.T), checks=False)
    tree = linkage(pairs, "ward", optimal_ordering=len(closeness) <= 200)
    num_groups = int(np.clip(round(np.sqrt(len(closeness) / 2.0)), 2, _MOST_GROUPS))
    order = leaves_list(tree).astype(np.intp)
    known = np.abs(closeness - np.diag(np.diag(closeness))).sum(axis=1) > 0.0
    return np.concatenate([order[known[order]], order[~known[order]]]), fcluster(tree, num_groups, "maxclust")
