"""Collapse made visible: figures of one batch, and what is wrong with them.

A teacher that says the same of every image has nothing to teach. Its two ways (DINO, Caron et al. 2021, §5.3):
uniform, where the loss stands at ln K, and one-hot, where it falls to 0. So with codes: who names them stays at ln K
as long as nothing is learned, and one code for all patches says nothing of any.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from vision.collectives import mean_over_ranks, sum_over_ranks

UNIFORM_ENTROPY = 0.99  # of ln K: above it the teacher prefers nothing, and who names codes has learned nothing
ONE_HOT_PERPLEXITY = 1.05  # below it one prototype, or code, has nearly all the mass of the batch
DEAD_USAGE = 1 / 256  # of a codebook; one code in use is too few in any
FEWEST_IMAGES, FEWEST_PLACES = 4, 16  # below it a batch, or its hidden patches, may well be all alike
RANKME_EPS = 1e-7  # added to each share


class PatchDistillation(NamedTuple):
    """What teacher and student said of the last batch's masked patches."""

    teacher: Tensor  # (R, K) probabilities
    share: Tensor  # (R,) of each in the loss, see Mask.share
    cross_entropy: Tensor  # scalar, student against teacher, nats, summed with these shares


class Distillation(NamedTuple):
    """What teacher and student said of the last batch."""

    teacher: Tensor  # (G, B, K) probabilities of CLS
    features: Tensor  # (G, B, D) of the teacher's CLS, before its head
    cross_entropy: Tensor  # scalar, student against teacher, nats
    patches: PatchDistillation | None = None


class Branch(NamedTuple):
    """One of the teacher's vocabularies, and what it is called."""

    num_prototypes: int
    setting: str = "num_prototypes"  # that says how many
    subject: str = "the teacher"
    thing: str = "image"
    entropy: str = "teacher_entropy"
    perplexity: str = "prototype_perplexity"

    @classmethod
    def of_patches(cls, num_prototypes: int, setting: str = "num_prototypes") -> Branch:
        names = ("the teacher of masked patches", "masked patch", "patch_teacher_entropy", "patch_perplexity")
        return cls(num_prototypes, setting, *names)


def distillation_figures(last: Distillation | None) -> dict[str, Tensor]:
    """Signs of health, scalars; none before the first batch. Every process has to ask for them at once.

    ``teacher_entropy``: mean entropy per view, nats, from 0 (one-hot) to ln K (uniform). ``kl``: of the student
    from the teacher, what is left to learn. ``prototype_perplexity``: of the mean over the batch, 1 = one prototype for
    all. ``prototype_usage``: distinct first choices over what B images could have, in (0, 1]. ``feature_std``:
    spread of the unit features, 1 = even over the sphere, 0 = all equal. ``rankme``: effective rank. Where patches are
    masked: ``patch_teacher_entropy``, ``patch_kl``, ``patch_perplexity`` of these, NaN where the batch has none.
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
        "prototype_perplexity": torch.special.entr(mean_over_ranks(views.flatten(0, 1).mean(0))).sum().exp(),
        "prototype_usage": num_distinct / min(views.shape[1], views.shape[2]),
        "feature_std": feature_std(features),
        "rankme": rankme(features),
        **({} if last.patches is None else _patch_figures(last.patches)),
    }


def _patch_figures(patches: PatchDistillation) -> dict[str, Tensor]:
    teacher, share = patches.teacher.float(), patches.share
    entropy = share @ torch.special.entr(teacher).sum(-1)
    scalars = torch.stack([share.sum(), entropy, patches.cross_entropy - entropy])
    sums = sum_over_ranks(torch.cat([scalars, share @ teacher]))
    means = sums / sums[0]  # the shares of images without a mask are missing in them
    perplexity = torch.special.entr(means[3:]).sum().exp()
    return {"patch_teacher_entropy": means[1], "patch_kl": means[2], "patch_perplexity": perplexity}


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
    figures: Mapping[str, float], branches: Sequence[Branch], num_images: int, assignment: str = "centering"
) -> str | None:
    """What is wrong with figures of :func:`distillation_figures` of so many images, its cause and its remedy; None =
    nothing.
    """
    if num_images < FEWEST_IMAGES or "teacher_entropy" not in figures:
        return None
    found = (_branch_warning(figures, branch, num_images, assignment) for branch in branches)
    return next((text for text in found if text is not None), None)


def _branch_warning(figures: Mapping[str, float], branch: Branch, num_images: int, assignment: str) -> str | None:
    entropy, perplexity = figures[branch.entropy], figures[branch.perplexity]
    most = math.log(branch.num_prototypes)
    if entropy > UNIFORM_ENTROPY * most:
        return (
            f"{branch.subject} is uniform (entropy {entropy:.3f} of ln {branch.num_prototypes} = {most:.3f}), so the "
            f"loss stands there and nothing is learned: too many prototypes or too slow a teacher for {num_images} "
            f"images a step. Set {branch.setting} lower, momentum lower (0.99) or learning_rate higher"
        )
    if perplexity < ONE_HOT_PERPLEXITY:
        raised = "teacher_temperature and final_teacher_temperature higher"
        balance = " or center_momentum lower" if assignment == "centering" else ""
        return (
            f"{branch.subject} gives one prototype to every {branch.thing} (perplexity {perplexity:.2f}, entropy "
            f"{entropy:.3f}): its output has collapsed, because sharpening outweighs what spreads it. Set {raised}, "
            f"learning_rate lower{balance}, and start anew"
        )
    return None


def codebook_warning(figures: Mapping[str, float], num_codes: int, remedy: str) -> str | None:
    """What is wrong with ``codebook_usage`` and ``codebook_perplexity`` of K codes, and the remedy; None = nothing."""
    if num_codes == 1 or "codebook_perplexity" not in figures:
        return None
    perplexity = figures["codebook_perplexity"]
    num_used = round(figures["codebook_usage"] * num_codes)
    if num_used > max(1, DEAD_USAGE * num_codes) and perplexity > ONE_HOT_PERPLEXITY:
        return None
    return (
        f"the codebook has collapsed ({num_used:,} of {num_codes:,} codes in use, perplexity {perplexity:.2f}): its "
        f"codes say little or nothing of the image. {remedy}, and start anew"
    )


def code_warning(figures: Mapping[str, float], term: str, num_codes: int, num_places: int) -> str | None:
    """What is wrong where codes are named: with the loss ``term`` and ``code_entropy`` of K codes at so many places;
    None = nothing.
    """
    if num_codes == 1 or num_places < FEWEST_PLACES or "code_entropy" not in figures:
        return None
    loss, entropy, most = figures[f"{term}_loss"], figures["code_entropy"], math.log(num_codes)
    if entropy < math.log(ONE_HOT_PERPLEXITY):
        return (
            f"the tokenizer gives one code to nearly every hidden patch (code_entropy {entropy:.3f}), so there is "
            "nothing to name: its codebook has collapsed, or the images are not such as it was trained on. Take "
            "another tokenizer, or train it anew with fewer codes"
        )
    if loss > UNIFORM_ENTROPY * most:
        return (
            f"the loss of the codes stands at ln {num_codes} = {most:.3f} ({term}_loss {loss:.3f}; to know how often "
            f"each code occurs gives {entropy:.3f}), so nothing is learned: the updates are too small, or so large "
            "that they undo each other. Set learning_rate higher, or lower if the loss had fallen before"
        )
    return None
