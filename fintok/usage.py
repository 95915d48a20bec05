"""How evenly codes are used."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Usage(NamedTuple):
    """Of the K codes of a codebook."""

    tokens: int
    used: float  # share of the codes that occur
    entropy: float  # of the codes' frequencies, nats
    perplexity: float  # its exp: how many codes are in use, in effect
    largest_share: float  # of the most frequent code; NaN without tokens


def usage_of(counts: NDArray[np.integer]) -> Usage:
    """Usage by the counts (K,) of each code."""
    total = int(counts.sum())
    share = counts[counts > 0] / max(total, 1)
    entropy = float(-(share * np.log(share)).sum())
    largest = float(share.max()) if total else float("nan")
    return Usage(total, float((counts > 0).mean()), entropy, float(np.exp(entropy)), largest)
