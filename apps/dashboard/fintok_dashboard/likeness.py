"""Days and assets that resemble a given one: where its token occurred before, and who usually moves with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fintok import Panel

PEER_ROWS = 500  # rows before a date that say who its peers are
_MIN_COMMON = 60


def peers_of(panel: Panel, row: int, column: int, count: int = 6) -> NDArray[np.intp]:
    """Assets whose returns, up to a row, went most with those of one asset; best first. Uses earlier rows only."""
    returns = panel.returns[max(row + 1 - PEER_ROWS, 0) : row + 1]
    own = returns[:, [column]]
    both = np.isfinite(returns) & np.isfinite(own)
    common = both.sum(axis=0)
    centred = [_centred(np.where(both, values, np.nan), common) for values in (returns, np.broadcast_to(own, returns.shape))]
    product = (centred[0] * centred[1]).sum(axis=0)
    scale = np.sqrt((centred[0] ** 2).sum(axis=0) * (centred[1] ** 2).sum(axis=0))
    usable = (common >= _MIN_COMMON) & (scale > 0.0)
    usable[column] = False
    correlation = np.where(usable, product / np.where(scale > 0.0, scale, 1.0), -np.inf)
    best = np.argsort(-correlation, kind="stable")[:count]
    return best[np.isfinite(correlation[best])]


def _centred(values: NDArray[np.floating], count: NDArray[np.integer]) -> NDArray[np.floating]:
    filled = np.nan_to_num(values)
    mean = filled.sum(axis=0) / np.maximum(count, 1)
    return np.where(np.isfinite(values), filled - mean, 0.0)


def path_around(returns: NDArray[np.floating], row: int, before: int, after: int) -> tuple[slice, NDArray[np.float64]]:
    """Rows around one, and the sums of returns (T, N) since the first of them; a gap counts as no move."""
    rows = slice(max(row - before, 0), min(row + after + 1, len(returns)))
    moves = np.nan_to_num(returns[rows])
    moves[:1] = 0.0
    return rows, np.cumsum(moves, axis=0)
