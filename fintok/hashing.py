"""Numbers in place of arrays of bits, to tell whether two are alike."""

import numpy as np
from numpy.typing import NDArray


def mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """64 bits of each 64, so that neighbours differ in half of them: the finaliser of SplitMix64 (Steele, Lea and
    Flood, 2014)."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
