"""Collapse of self-distillation made visible: figures of one batch, and what is wrong with them.

A teacher that says the same of every image has nothing to teach. Its two ways (DINO, Caron et al. 2021, §5.3):
uniform, where the loss stands at ln K, and one-hot, where it falls to 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

UNIFORM_ENTROPY = 0.99  # of ln K: above it the teacher prefers nothing
ONE_HOT_PERPLEXITY = 1.05  # below it one prototype has nearly all the mass of the batch
FEWEST_IMAGES = 4  # below it a batch may well be all alike
RANKME_EPS = 1e-7  # added to each share


class Distillation(NamedTuple):
    """What teacher and student said of the last batch."""

    teacher: Tensor  # (G, B, K) probabilities of CLS
    features: Tensor  # (G, B, D) of the teacher's CLS, before its head
    cross_entropy: Tensor  # scalar, student against teacher, nats


def distillation_figures(last: Distillation | None) -> dict[str, Tensor]:
    """Signs of health, scalars; none before the first batch.

    ``teacher_entropy``: mean entropy per view, nats, from 0 (one-hot) to ln K (uniform). ``kl``: of the student
    from the teacher, what is left to learn. ``prototype_perplexity``: of the mean over the batch, 1 = one prototype for
    all. ``prototype_usage``: distinct first choices over what B images could have, in (0, 1]. ``feature_std``:
    spread of the unit features, 1 = even over the sphere, 0 = all equal. ``rankme``: effective rank.
    """
    if last is None:
        return {}
    views = last.teacher.float()
    entropy = torch.special.entr(views).sum(-1).mean()
    first = views[0].argmax(-1).sort().values
    num_distinct = (first[1:] != first[:-1]).sum() + 1
    features = last.features.float().flatten(0, 1)
    return {
        "teacher_entropy": entropy,
        "kl": last.cross_entropy - entropy,
        "prototype_perplexity": torch.special.entr(views.flatten(0, 1).mean(0)).sum().exp(),
        "prototype_usage": num_distinct / min(views.shape[1], views.shape[2]),
        "feature_std": feature_std(features),
        "rankme": rankme(features),
    }


def feature_std(features: Tensor) -> Tensor:
    """Standard deviation of unit-length features (n, D) per dimension, times √D (SimSiam, Chen & He 2021, §4.1)."""
    unit = F.normalize(features.float(), dim=-1)
    return unit.std(dim=0, correction=0).mean() * math.sqrt(features.shape[-1])


def rankme(features: Tensor) -> Tensor:
    """Effective rank of features (n, D) (RankMe, Garrido et al. 2023): exp of the entropy of their singular
    values as shares; from 1 to min(n, D).
    """
    values = torch.linalg.svdvals(features.float())
    shares = values / values.sum().clamp(min=RANKME_EPS) + RANKME_EPS
    return torch.special.entr(shares).sum().exp()


def distillation_warning(
    figures: Mapping[str, float], num_prototypes: int, batch_size: int, assignment: str = "centering"
) -> str | None:
    """What is wrong with figures of :func:`distillation_figures`, its cause and its remedy; None = nothing."""
    if batch_size < FEWEST_IMAGES or "teacher_entropy" not in figures:
        return None
    entropy, most = figures["teacher_entropy"], math.log(num_prototypes)
    if entropy > UNIFORM_ENTROPY * most:
        return (
            f"the teacher is uniform (entropy {entropy:.3f} of ln {num_prototypes} = {most:.3f}), so the loss stands "
            f"there and nothing is learned: too many prototypes or too slow a teacher for {batch_size} images a step. "
            "Set num_prototypes lower, momentum lower (0.99) or learning_rate higher"
        )
    perplexity = figures["prototype_perplexity"]
    if perplexity < ONE_HOT_PERPLEXITY:
        raised = "teacher_temperature and final_teacher_temperature higher"
        balance = " or center_momentum lower" if assignment == "centering" else ""
        return (
            f"the teacher gives one prototype to every image (perplexity {perplexity:.2f}, entropy {entropy:.3f}): "
            f"its output has collapsed, because sharpening outweighs what spreads it. Set {raised}, learning_rate "
            f"lower{balance}, and start anew"
        )
    return None
