"""Days and assets that resemble a given one: where its token occurred before, and who usually moves with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fintok import Panel

_NUM_PEERS = 6
PEER_ROWS = 500  # rows before a date that say who its peers are
_MIN_COMMON = 60


def peers_of(panel: Panel, row: int, column: int) -> NDArray[np.intp]:
    """The six assets whose returns, up to a row, went most with those of one asset, best first."""
    returns = panel.returns[max(row + 1 - PEER_ROWS, 0) : row + 1]
    own = returns[:, [column]]
    both = np.isfinite(returns) & np.isfinite(own)
    common = both.sum(axis=0)
    others, mine = _centred(returns, both), _centred(np.broadcast_to(own, returns.shape), both)
    product = (others * mine).sum(axis=0)
    scale = np.sqrt((others**2).sum(axis=0) * (mine**2).sum(axis=0))
    usable = (common >= _MIN_COMMON) & (scale > 0.0)
    usable[column] = False
    correlation = np.where(usable, product / np.where(scale > 0.0, scale, 1.0), -np.inf)
    best = np.argsort(-correlation, kind="stable")[:_NUM_PEERS]
    return best[np.isfinite(correlation[best])]


def _centred(values: NDArray[np.floating], known: NDArray[np.bool_]) -> NDArray[np.floating]:
    """Values less their mean over the known rows of each column; 0 elsewhere."""
    mean = np.where(known, values, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known, values - mean, 0.0)


def path_around(returns: NDArray[np.floating], row: int, before: int, after: int) -> tuple[slice, NDArray[np.floating]]:
    """Rows around one, and the sums of returns (T, N) since the first of them; a gap counts as no move."""
    rows = slice(max(row - before, 0), min(row + after + 1, len(returns)))
    moves = np.nan_to_num(returns[rows])
    moves[:1] = 0.0
    return rows, np.cumsum(moves, axis=0)
