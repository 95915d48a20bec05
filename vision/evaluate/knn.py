"""Weighted k-nearest-neighbour classification of frozen features (Wu et al. 2018; DINO, ``eval_knn.py``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vision.errors import InputError
from vision.evaluate.tables import check_features, table

KS = (10, 20, 100, 200)  # DINO's; 20 is usually the best
TEMPERATURE = 0.07  # DINO


@dataclass(frozen=True)
class KNNResult:
    """Accuracy of k-NN by the number of neighbours."""

    accuracies: Mapping[int, float]  # k -> share of right answers, in [0, 1]
    temperature: float
    num_bank: int
    num_queries: int

    @property
    def best(self) -> float:
        """The highest accuracy, as the papers report it."""
        return max(self.accuracies.values())

    def summary(self) -> str:
        """A table of accuracies."""
        rows = [(str(k), f"{accuracy:.2%}") for k, accuracy in self.accuracies.items()]
        title = f"k-NN, cosine, T = {self.temperature:g}: {self.num_queries} images against {self.num_bank}"
        return table(title, ("k", "accuracy"), rows)

    def __repr__(self) -> str:
        best = max(self.accuracies, key=lambda k: self.accuracies[k])
        return f"KNNResult({self.accuracies[best]:.2%} at k = {best}, {self.num_queries} images)"


def knn(
    bank: Tensor,
    bank_labels: Tensor,
    queries: Tensor,
    query_labels: Tensor,
    *,
    ks: Sequence[int] = KS,
    temperature: float = TEMPERATURE,
    chunk: int = 512,
    device: torch.device | str = "cpu",
) -> KNNResult:
    """Classify ``queries`` (m, F) by their neighbours in ``bank`` (n, F); labels are long, (m,) and (n,).

    A neighbour of cosine s votes for its class with exp(s / temperature). A k above n is left out; of equal
    votes the lower class wins. Raises InputError on labels that do not fit, features that are NaN, and when no k
    is left.
    """
    check_features(bank, bank_labels, "bank")
    check_features(queries, query_labels, "queries", bank.shape[1])
    usable = sorted({k for k in ks if 1 <= k <= bank.shape[0]})
    if not usable:
        raise InputError(f"ks are {tuple(ks)}, expected one from 1 to {bank.shape[0]}, the images in the bank")
    keys = F.normalize(bank.float().to(device), dim=1)
    labels = bank_labels.to(device)
    num_classes = int(max(bank_labels.max(), query_labels.max())) + 1
    right = dict.fromkeys(usable, 0)
    for features, truth in zip(queries.split(chunk), query_labels.split(chunk), strict=True):
        cosines = F.normalize(features.float().to(device), dim=1) @ keys.T  # (chunk, n)
        nearest = cosines.topk(usable[-1], dim=1)
        for k in usable:
            votes = count_votes(nearest.values[:, :k], labels[nearest.indices[:, :k]], num_classes, temperature)
            right[k] += int((votes.argmax(dim=1).cpu() == truth).sum())
    shares = {k: count / queries.shape[0] for k, count in right.items()}
    return KNNResult(shares, temperature, bank.shape[0], queries.shape[0])


def count_votes(cosines: Tensor, labels: Tensor, num_classes: int, temperature: float) -> Tensor:
    """Cosines (m, k) of the neighbours and their labels (m, k) long -> votes (m, classes)."""
    weight = ((cosines - cosines[:, :1]) / temperature).exp()  # against the nearest, so that none overflows
    return weight.new_zeros(cosines.shape[0], num_classes).scatter_add_(1, labels, weight)
