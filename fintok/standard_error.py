"""The standard error of a mean over time, in which neighbouring days tell the same twice."""

import numpy as np
from numpy.typing import NDArray

BLOCK_DATES = 60  # of a block: volatility clusters


def mean_of_blocks(
    totals: NDArray[np.floating], counts: NDArray[np.integer], blocks: NDArray[np.integer]
) -> tuple[float, float]:
    """Sum of the totals (R,) over the sum of their counts (R,), and its standard error over the blocks (R,) they are
    of; infinite where there is one block. Two of the errors hold what two hold where blocks are many (`of_few`)."""
    number = np.unique(blocks, return_inverse=True)[1]
    total, size = np.bincount(number, weights=totals), np.bincount(number, weights=counts)
    mean = total.sum() / max(size.sum(), 1.0)
    spread = np.sum((total - mean * size) ** 2) * len(size) / max(len(size) - 1, 1)
    error = float(np.sqrt(spread) / max(size.sum(), 1.0))
    return float(mean), error * of_few(len(size)) if len(size) > 1 else float("inf")


def of_few(count: int) -> float:
    """What the standard error of the mean of ``count`` values, two at least, is multiplied by so that the mean lies
    within two of it as often as where values are many: Student's t in place of the normal, 7 for 2 values, 1.02 for 60.
    """
    from scipy.stats import norm, t

    return float(t.isf(norm.sf(2.0), count - 1) / 2.0)
