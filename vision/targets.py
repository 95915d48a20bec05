"""Teacher outputs turned into targets: what keeps self-distillation from collapse, and normalised pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vision.collectives import StepSums, max_over_ranks, sum_over_ranks

VARIANCE_EPS = 1e-6  # of a patch's pixels, as in MAE


class Centering(nn.Module):
    """Centre and sharpen teacher logits (DINO, Caron et al. 2021, eq. 4): softmax((logits − centre) /
    temperature).

    The centre is used first and moved afterwards, in training only and once a step, towards the mean over every row
    of every process. iBOT centres patches on all patches, DINOv2 on the masked ones: pass the rows, or weights, that
    you mean.
    """

    center: Tensor

    def __init__(self, dim: int, momentum: float = 0.9) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("center", torch.zeros(dim))
        self.sums = StepSums()

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
        total = self.sums(torch.cat([(rows * counts[:, None]).sum(dim=0), counts.sum()[None]]))  # (K + 1,)
        if total is None:
            return
        mean = torch.where(total[-1] > 0, total[:-1] / total[-1].clamp(min=1e-12), self.center)
        self.center.lerp_(mean.to(self.center.dtype), 1 - self.momentum)


class SinkhornKnopp(nn.Module):
    """Teacher logits to probabilities that give every prototype the same mass (SwAV, Caron et al. 2020,
    §3.1).

    As in DINOv2, with the true number of rows over all processes. Unlike the official code it works on
    logarithms, so that no logit overflows and no row far below the largest is lost.
    """

    def __init__(self, iterations: int = 3) -> None:
        super().__init__()
        self.iterations = iterations

    @torch.no_grad()
    def forward(self, logits: Tensor, temperature: float | Tensor, weight: Tensor | None = None) -> Tensor:
        """Teacher logits (..., K), weight (...) 1 = a row that counts -> probabilities (..., K) in float32.

        Rows of weight 0 take no part and come back as zeros. As a loop on Q = exp(logits / temperature)::

            for _ in range(iterations):
                Q[:, k] /= K * Q[:, k].sum() for k in K
                Q[b] /= B * Q[b].sum() for b in B
            probabilities = B * Q
        """
        log_mass = logits.float().flatten(0, -2) / temperature  # (B, K)
        counted = None if weight is None else (weight.flatten() > 0)[:, None]
        for _ in range(self.iterations):
            log_mass = log_mass - _log_sum_of_rows(log_mass, counted)  # the factors 1 / K and 1 / B cancel
            log_mass = log_mass - log_mass.logsumexp(dim=1, keepdim=True)
        probabilities = log_mass.exp() if counted is None else log_mass.exp() * counted
        return probabilities.view(logits.shape)


def normalise_patches(patches: Tensor, observed: Tensor | None = None) -> Tensor:
    """Patches (B, N, P), each with mean 0 and unbiased variance 1 (MAE, ``norm_pix_loss``).

    ``observed`` (B, N, P) bool, True = the pixel was observed: mean and variance are over those alone, the others
    come back as 0. A patch of one value, or of one pixel, is all zeros.
    """
    weight = torch.ones_like(patches) if observed is None else observed.to(patches.dtype)
    count = weight.sum(dim=-1, keepdim=True)
    mean = (patches * weight).sum(dim=-1, keepdim=True) / count.clamp(min=1)
    centred = (patches - mean) * weight
    variance = centred.square().sum(dim=-1, keepdim=True) / (count - 1).clamp(min=1)
    return centred / (variance + VARIANCE_EPS).sqrt()


def _log_sum_of_rows(log_mass: Tensor, counted: Tensor | None) -> Tensor:
    """log of the sum of exp over the counted rows of (B, K) on all processes -> (K,), finite in any case."""
    rows = log_mass if counted is None else log_mass.masked_fill(~counted, -torch.inf)
    largest = max_over_ranks(rows.amax(dim=0).clamp(min=torch.finfo(torch.float32).min))
    total = sum_over_ranks((rows - largest).exp().sum(dim=0))
    return largest + total.clamp(min=torch.finfo(torch.float32).tiny).log()
