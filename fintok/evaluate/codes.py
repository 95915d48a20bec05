"""Codes as labels: how far two models' codes say the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.integer]


def agreement(learned: tuple[Codes, Codes], judged: tuple[Codes, Codes]) -> float:
    """Share of the judged places at which two models have the same code, once their codes are matched.

    The numbers of codes mean nothing; each of the first model's is matched with one of the second's so that most of
    the `learned` places agree (the assignment problem), and other places are judged. NaN where
    there is none to judge, or none to learn from.
    """
    from scipy.optimize import linear_sum_assignment

    if not len(judged[0]) or not len(learned[0]):
        return float("nan")
    size = 1 + max(int(codes.max(initial=0)) for pair in (learned, judged) for codes in pair)
    _, partner = linear_sum_assignment(_contingency(*learned, size), maximize=True)
    return float((partner[judged[0]] == judged[1]).mean())


def shared_information(one: Codes, other: Codes) -> float:
    """Mutual information of two codings of the same places over the mean of their entropies: 0 nothing, 1 all."""
    if not len(one):
        return float("nan")
    size = 1 + max(int(one.max()), int(other.max()))
    joint = _contingency(one, other, size) / len(one)

    def entropy(p: NDArray[np.float64]) -> float:
        return float(-(p[p > 0.0] * np.log(p[p > 0.0])).sum())

    first, second = entropy(joint.sum(axis=1)), entropy(joint.sum(axis=0))
    mean = (first + second) / 2.0
    return (first + second - entropy(joint)) / mean if mean > 0.0 else float("nan")


def _contingency(one: Codes, other: Codes, size: int) -> NDArray[np.int64]:
    """(size, size) how often each pair of codes occurs."""
    pairs = one.astype(np.int64) * size + other
    return np.bincount(pairs.ravel(), minlength=size * size).reshape(size, size)
