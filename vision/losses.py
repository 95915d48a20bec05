"""Losses: scalars in float32, whatever the autocast. A ``weight`` is 1 where a place counts and 0 where it
does not.

Every tensor must be finite also where the weight is 0. If no place counts the loss is 0.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vision.collectives import mean_over_ranks


def masked_cross_entropy(logits: Tensor, codes: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy of the true codes at masked places, one flat mean over the batch (BEiT, Bao et al. 2022,
    eq. 3).

    Logits (..., K), codes (...) long, weight (...). At the start about ln K. As a loop::

        total = sum(weight[r] * -log_softmax(logits[r])[codes[r]] for r in all places)
        loss = total / weight.sum()
    """
    with _float32(logits):
        entropy = F.cross_entropy(logits.float().flatten(0, -2), codes.flatten(), reduction="none")
    return weighted_mean(entropy.view_as(codes), weight)


def view_cross_entropy(student: Tensor, teacher: Tensor, temperature: float | Tensor = 0.1) -> Tensor:
    """DINO's loss over pairs of different views (Caron et al. 2021, eq. 3).

    Student logits (V, B, K), teacher probabilities (G, B, K); view g of the teacher is view g of the student,
    a pair that is left out: 2·(2 + L) − 2 pairs for two global and L local views. As a loop::

        for g in G: for v in V: if v != g:
            loss += (-teacher[g] * log_softmax(student[v] / temperature)).sum(-1).mean(); pairs += 1
        loss /= pairs
    """
    num_teacher, num_student, batch = teacher.shape[0], student.shape[0], student.shape[1]
    pairs = num_teacher * num_student - min(num_teacher, num_student)
    if pairs == 0:
        raise ValueError(f"{num_teacher} teacher and {num_student} student views have no pair of different views")
    with _float32(student):
        log_probabilities = F.log_softmax(student.float() / temperature, dim=-1)
        entropy = -teacher.float().flatten(1) @ log_probabilities.flatten(1).T / batch  # (G, V)
    is_same = torch.eye(num_teacher, num_student, dtype=torch.bool, device=entropy.device)
    return entropy.masked_fill(is_same, 0.0).sum() / pairs


def patch_cross_entropy(student: Tensor, teacher: Tensor, share: Tensor, temperature: float | Tensor = 0.1) -> Tensor:
    """iBOT's loss on masked patches: a mean per image, then over all images, those without a mask included.

    Student logits and teacher probabilities (R, K) of the same patches of the same view, and the share (R,) of each
    in that mean, :meth:`vision.batch.Mask.share` (Zhou et al. 2022, eq. 2; ``iBOTLoss.forward``). A flat mean over
    masked patches differs when images hide different numbers. As a loop::

        for r in R: loss += share[r] * (-teacher[r] * log_softmax(student[r] / temperature)).sum()
    """
    with _float32(student):
        log_probabilities = F.log_softmax(student.float() / temperature, dim=-1)
        entropy = -(teacher.float() * log_probabilities).sum(dim=-1)  # (R,)
    return (entropy * share).sum()


def cosine_distance(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of 1 − cos between predicted and target features (B, N, D), weight (B, N) (BEiT v2, eq. 3)."""
    with _float32(prediction):
        return weighted_mean(1 - F.cosine_similarity(prediction.float(), target.float(), dim=-1), weight)


def masked_mse(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared error of patches (..., P), one global ratio over the batch (MAE, ``forward_loss``).

    ``weight`` is (...), a patch each, or (..., P), a pixel each (patches that were observed in part).
    """
    return weighted_mean((prediction.float() - target.float()).square(), weight)


def masked_l1(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean absolute error of patches (..., P), weight as in :func:`masked_mse` (SimMIM, Xie et al. 2022)."""
    return weighted_mean((prediction.float() - target.float()).abs(), weight)


def koleo(features: Tensor) -> Tensor:
    """Kozachenko-Leonenko spread of (B, D) (Sablayrolles et al. 2019, eq. 3; DINOv2): −mean log(nearest
    distance).

    Features are normalised here, in float32: in float16 two equal ones give infinity. Fewer than two give 0.
    As a loop::

        loss = -mean(log(min(norm(x[i] - x[j]) for j != i) + 1e-8) for i)
    """
    if features.shape[0] < 2:
        return features.float().sum() * 0.0
    with _float32(features):
        points = F.normalize(features.float(), dim=-1)
        with torch.no_grad():
            similarity = (points @ points.T).fill_diagonal_(-2.0)  # below any cosine
            nearest = similarity.argmax(dim=1)
        return -(F.pairwise_distance(points, points[nearest], eps=1e-8) + 1e-8).log().mean()


def weighted_mean(values: Tensor, weight: Tensor | None) -> Tensor:
    """Mean of ``values`` (...) or (..., P) under ``weight`` (...) or (..., P); 0 when no place counts.

    With several processes: of the places of all of them, once the processes' results are averaged; ``weight`` is
    None in all of them or in none.
    """
    if weight is None:
        return values.mean()
    weight = weight.to(values.dtype)
    if weight.ndim < values.ndim:
        weight = weight.unsqueeze(-1).expand_as(values)
    return (values * weight).sum() / mean_over_ranks(weight.sum()).clamp(min=1e-12)


def _float32(tensor: Tensor) -> torch.autocast:
    """No autocast on the tensor's device: log, softmax and distances keep float32."""
    return torch.autocast(device_type=tensor.device.type, enabled=False)
