"""Few of many, where all would take too long to learn from."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def drawn(values: NDArray[Any], count: int) -> NDArray[Any]:
    """`count` of the N entries of values (N, ...), drawn at random, the same ones every time; all where they are fewer.

    Every so many-th would not do: of asset-days in a row it takes the same few assets on every day.
    """
    if len(values) <= count:
        return values
    return values[np.sort(np.random.default_rng(0).permutation(len(values))[:count])]
