"""Teacher outputs turned into targets: what keeps self-distillation from collapse, and normalised pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vision.collectives import max_over_ranks, sum_over_ranks


class Centering(nn.Module):
    """Centre and sharpen teacher logits (DINO, Caron et al. 2021, eq. 4): softmax((logits − centre) /
    temperature).

    The centre is used first and moved afterwards, in training only, towards the mean over every row of every
    process. iBOT centres patches on all patches, DINOv2 on the masked ones: pass the rows, or weights, that
    you mean.
    """

    center: Tensor

    def __init__(self, dim: int, momentum: float = 0.9) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("center", torch.zeros(dim))

    @torch.no_grad()
    def forward(self, logits: Tensor, temperature: float | Tensor, weight: Tensor | None = None) -> Tensor:
        """Teacher logits (..., K), weight (...) 1 = moves the centre -> probabilities (..., K) in float32."""
        logits = logits.float()
        probabilities = torch.softmax((logits - self.center) / temperature, dim=-1)
        if self.training:
            self._move(logits, weight)
        return probabilities

    def _move(self, logits: Tensor, weight: Tensor | None) -> None:
        rows = logits.flatten(0, -2)
        counts = rows.new_ones(rows.shape[0]) if weight is None else weight.flatten().to(rows.dtype)
        total = sum_over_ranks(
            torch.cat([(rows * counts[:, None]).sum(dim=0), counts.sum()[None]])
        )  # (K + 1,)
        mean = torch.where(total[-1] > 0, total[:-1] / total[-1].clamp(min=1e-12), self.center)
        self.center.lerp_(mean, 1 - self.momentum)


class SinkhornKnopp(nn.Module):
    """Teacher logits to probabilities in which every prototype has the same mass (SwAV, Caron et al. 2020,
    §3.1).

    As in DINOv2, with B the true number of rows over all processes. The largest logit is subtracted first,
    which leaves the result as it is and keeps exp from overflow, as the official code does not.
    """

    def __init__(self, iterations: int = 3) -> None:
        super().__init__()
        self.iterations = iterations

    @torch.no_grad()
    def forward(self, logits: Tensor, temperature: float | Tensor, weight: Tensor | None = None) -> Tensor:
        """Teacher logits (..., K), weight (...) 1 = a row that counts -> probabilities (..., K) in float32.

        Rows of weight 0 take no part and come back as zeros.
        """
        rows = logits.float().flatten(0, -2) / temperature
        counts = rows.new_ones(rows.shape[0]) if weight is None else (weight.flatten() > 0).to(rows.dtype)
        largest = max_over_ranks(rows.masked_fill(counts[:, None] == 0, -torch.inf).max())
        mass = (rows - largest).clamp(max=0).exp() * counts[:, None]  # (B, K)
        num_rows = sum_over_ranks(counts.sum())
        mass = mass / _at_least_tiny(sum_over_ranks(mass.sum()))
        for _ in range(self.iterations):
            mass = mass / (
                _at_least_tiny(sum_over_ranks(mass.sum(dim=0))) * mass.shape[1]
            )  # prototypes: 1 / K each
            mass = mass / (
                _at_least_tiny(mass.sum(dim=1, keepdim=True)) * num_rows.clamp(min=1)
            )  # rows: 1 / B each
        return (mass * num_rows).view(logits.shape)


def normalise_patches(patches: Tensor, eps: float = 1e-6) -> Tensor:
    """Patches (B, N, P), each with mean 0 and unbiased variance 1 (MAE, ``norm_pix_loss``)."""
    mean = patches.mean(dim=-1, keepdim=True)
    return (patches - mean) / (patches.var(dim=-1, keepdim=True) + eps).sqrt()


def _at_least_tiny(total: Tensor) -> Tensor:
    return total.clamp(min=torch.finfo(torch.float32).tiny)
