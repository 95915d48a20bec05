"""Figures of collapse on teachers whose state is known, and what is said of them."""

import math

import pytest
import torch

from vision.collapse import Distillation, distillation_figures, distillation_warning, feature_std, rankme


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
    text = distillation_warning(figures, 64, batch_size=8)
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
    text = distillation_warning(figures, 64, batch_size=8)
    assert text is not None
    assert "one prototype to every image (perplexity 1.00, entropy 0.000)" in text
    assert "center_momentum lower" in text
    assert "center_momentum" not in str(distillation_warning(figures, 64, 8, "sinkhorn_knopp"))


def test_a_sure_teacher_of_many_prototypes_is_well():
    figures = _figures(torch.eye(8, 64).expand(2, 8, 64))
    assert figures["prototype_perplexity"] == pytest.approx(8.0, rel=1e-4)
    assert figures["prototype_usage"] == 1.0
    assert distillation_warning(figures, 64, batch_size=8) is None
    one_image = _figures(torch.eye(1, 64).expand(2, 1, 64))
    assert distillation_warning(one_image, 64, batch_size=1) is None  # it cannot be told from collapse


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
