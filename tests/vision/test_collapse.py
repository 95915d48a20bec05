"""Figures of collapse on teachers whose state is known, and what is said of them."""

import math

import pytest
import torch

from vision.batch import Mask
from vision.collapse import (
    Branch,
    Distillation,
    PatchDistillation,
    code_warning,
    codebook_warning,
    distillation_figures,
    distillation_warning,
    feature_std,
    rankme,
)
from vision.losses import patch_cross_entropy

CLS = (Branch(64),)


def _figures(teacher, features=None, cross_entropy=0.0):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(*teacher.shape[:2], 16, generator=generator) if features is None else features
    made = distillation_figures(Distillation(teacher, features, torch.tensor(cross_entropy)))
    return {name: value.item() for name, value in made.items()}


def test_there_are_none_before_the_first_batch():
    assert distillation_figures(None) == {}


def test_a_uniform_teacher_stands_at_ln_k():
    figures = _figures(torch.full((2, 8, 64), 1 / 64), cross_entropy=math.log(64))
    assert figures["teacher_entropy"] == pytest.approx(math.log(64), rel=1e-5)
    assert figures["kl"] == pytest.approx(0.0, abs=1e-5)
    assert figures["prototype_perplexity"] == pytest.approx(64, rel=1e-4)
    text = distillation_warning(figures, CLS, num_images=8)
    assert text is not None
    assert "uniform (entropy 4.159 of ln 64 = 4.159)" in text
    assert "Set num_prototypes lower, momentum lower (0.99) or learning_rate higher" in text


def test_a_teacher_with_one_prototype_for_all_has_collapsed():
    teacher = torch.zeros(2, 8, 64)
    teacher[..., 5] = 1.0
    figures = _figures(teacher)
    assert figures["teacher_entropy"] == 0.0
    assert figures["prototype_perplexity"] == pytest.approx(1.0)
    assert figures["prototype_usage"] == pytest.approx(1 / 8)
    text = distillation_warning(figures, CLS, num_images=8)
    assert text is not None
    assert "one prototype to every image (perplexity 1.00, entropy 0.000)" in text
    assert "center_momentum lower" in text
    assert "center_momentum" not in str(distillation_warning(figures, CLS, 8, "sinkhorn_knopp"))


def test_a_sure_teacher_of_many_prototypes_is_well():
    figures = _figures(torch.eye(8, 64).expand(2, 8, 64))
    assert figures["prototype_perplexity"] == pytest.approx(8.0, rel=1e-4)
    assert figures["prototype_usage"] == 1.0
    assert distillation_warning(figures, CLS, num_images=8) is None
    one_image = _figures(torch.eye(1, 64).expand(2, 1, 64))
    assert distillation_warning(one_image, CLS, num_images=1) is None  # it cannot be told from collapse


def _of_patches(teacher, hidden, logits):
    """Figures where the patches ``hidden`` (B, N) are masked, the teacher and the student's logits being (R, K)."""
    mask = Mask.from_hidden(hidden, int(hidden.sum(1).max()))
    loss = patch_cross_entropy(logits, teacher, mask.share())
    last = Distillation(
        torch.eye(4, 64).expand(2, 4, 64), torch.ones(2, 4, 16), torch.tensor(0.0), (teacher, mask.share(), loss)
    )
    return distillation_figures(last._replace(patches=PatchDistillation(*last.patches)))


def test_figures_of_masked_patches_are_means_over_the_images_that_have_some():
    generator = torch.Generator().manual_seed(1)
    hidden = torch.zeros(3, 5, dtype=torch.bool)
    hidden[0, :3] = hidden[2, 1] = True
    teacher, logits = torch.randn(9, 6, generator=generator).softmax(-1), torch.randn(9, 6, generator=generator)
    entropy, kl, mean = 0.0, 0.0, torch.zeros(6)
    for row, share in ((0, 1 / 6), (1, 1 / 6), (2, 1 / 6), (3, 1 / 2)):
        entropy += share * -(teacher[row] * teacher[row].log()).sum().item()
        kl += share * (teacher[row] * (teacher[row].log() - (logits[row] / 0.1).log_softmax(-1))).sum().item()
        mean += share * teacher[row]
    figures = _of_patches(teacher, hidden, logits)
    assert figures["patch_teacher_entropy"].item() == pytest.approx(entropy, rel=1e-5)
    assert figures["patch_kl"].item() == pytest.approx(kl, rel=1e-4)
    assert figures["patch_perplexity"].item() == pytest.approx(math.exp(-(mean * mean.log()).sum()), rel=1e-5)


def test_a_batch_without_masked_patches_has_no_figures_of_them_and_is_not_told():
    figures = _of_patches(torch.full((1, 6), 1 / 6), torch.zeros(3, 5, dtype=torch.bool), torch.zeros(1, 6))
    numbers = {name: value.item() for name, value in figures.items()}
    assert all(math.isnan(numbers[name]) for name in ("patch_teacher_entropy", "patch_kl", "patch_perplexity"))
    assert distillation_warning(numbers, (*CLS, Branch.of_patches(6)), num_images=8) is None


@pytest.mark.parametrize(
    ("usage", "perplexity", "is_told"),
    [(2 / 512, 1.9, True), (0.9, 1.04, True), (3 / 512, 1.1, False), (1, 512, False)],
)
def test_a_codebook_of_hardly_a_code_is_told_with_its_remedy(usage, perplexity, is_told):
    figures = {"codebook_usage": usage, "codebook_perplexity": perplexity}
    text = codebook_warning(figures, 512, "Set num_codes lower")
    assert (text is not None) == is_told
    if text is not None:
        assert f"{round(512 * usage)} of 512 codes in use, perplexity {perplexity:.2f}" in text
        assert text.endswith("Set num_codes lower, and start anew")
    assert codebook_warning({"codebook_usage": 1.0, "codebook_perplexity": 1.0}, 1, "") is None  # it has but one
    assert codebook_warning({"codebook_usage": 1 / 16, "codebook_perplexity": 1.9}, 16, "") is not None
    assert codebook_warning({"codebook_usage": 2 / 16, "codebook_perplexity": 1.9}, 16, "") is None
    assert codebook_warning({}, 512, "") is None


@pytest.mark.parametrize(
    ("loss", "entropy", "said"),
    [
        (4.159, 3.2, "the loss of the codes stands at ln 64 = 4.159"),
        (4.3, 4.1, "the loss of the codes stands at ln 64 = 4.159"),
        (4.0, 3.2, None),
        (3.2, 3.2, None),  # no more than how often each code occurs: where little can be foreseen, that is health
        (0.1, 0.04, "the tokenizer gives one code to nearly every hidden patch"),
    ],
)
def test_codes_that_are_not_learnt_and_those_that_say_nothing_are_told(loss, entropy, said):
    figures = {"code_loss": loss, "code_entropy": entropy}
    text = code_warning(figures, "code", 64, num_places=100)
    assert text is None if said is None else said in str(text)
    assert code_warning(figures, "code", 64, num_places=4) is None  # few places are easily all alike
    assert code_warning(figures, "code", 1, num_places=100) is None
    assert code_warning({}, "code", 64, num_places=100) is None


def test_feature_std_is_one_on_the_sphere_and_zero_at_a_point():
    features = torch.randn(4000, 16, generator=torch.Generator().manual_seed(0))
    assert feature_std(features).item() == pytest.approx(1.0, abs=0.02)
    assert feature_std(torch.ones(10, 16)).item() == pytest.approx(0.0, abs=1e-6)


def test_rankme_counts_the_directions_that_are_used():
    generator = torch.Generator().manual_seed(0)
    three = torch.linalg.qr(torch.randn(50, 3, generator=generator))[0]  # three equal singular values
    assert rankme(three @ torch.linalg.qr(torch.randn(16, 3, generator=generator))[0].T).item() == pytest.approx(
        3.0, abs=0.01
    )
    assert rankme(torch.ones(50, 16)).item() == pytest.approx(1.0, abs=0.01)
