"""Losses against the loops of their docstrings."""

import math

import pytest
import torch
from torch.nn import functional as F

from vision import losses
from vision.batch import Mask


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_masked_cross_entropy_is_the_naive_loop(generator):
    logits = torch.randn(3, 4, 7, generator=generator)
    codes = torch.randint(7, (3, 4), generator=generator)
    weight = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1.0]])
    total = sum(
        float(weight[b, m]) * -float(logits[b, m].log_softmax(0)[codes[b, m]]) for b in range(3) for m in range(4)
    )
    assert float(losses.masked_cross_entropy(logits, codes, weight)) == pytest.approx(total / 7, rel=1e-5)


def test_masked_cross_entropy_of_equal_logits_is_ln_k():
    loss = losses.masked_cross_entropy(torch.zeros(2, 3, 8192), torch.zeros(2, 3, dtype=torch.long), torch.ones(2, 3))
    assert float(loss) == pytest.approx(math.log(8192), rel=1e-5)


@pytest.mark.parametrize("num_local", [0, 3])
def test_view_cross_entropy_is_the_naive_loop_over_pairs_of_different_views(generator, num_local):
    student = torch.randn(2 + num_local, 5, 11, generator=generator)
    teacher = torch.randn(2, 5, 11, generator=generator).softmax(-1)
    total, pairs = 0.0, 0
    for g in range(2):
        for v in range(2 + num_local):
            if v != g:
                total += float((-teacher[g] * (student[v] / 0.1).log_softmax(-1)).sum(-1).mean())
                pairs += 1
    assert pairs == 2 * (2 + num_local) - 2
    assert float(losses.view_cross_entropy(student, teacher, 0.1)) == pytest.approx(total / pairs, rel=1e-5)


def test_view_cross_entropy_ignores_the_same_view(generator):
    student = torch.randn(3, 4, 6, generator=generator).requires_grad_()
    teacher = torch.zeros(1, 4, 6)
    teacher[..., 0] = 1
    losses.view_cross_entropy(student, teacher).backward()
    assert student.grad is not None
    assert not student.grad[0].any()
    assert student.grad[1:].any()


def test_view_cross_entropy_needs_two_views():
    with pytest.raises(ValueError, match="no pair"):
        losses.view_cross_entropy(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3))


def share_of(weight):
    """Of the rows of images with one row per patch, all of them listed."""
    return Mask(torch.ones_like(weight) > 0, torch.arange(weight.numel()), weight.flatten(), weight.shape[1]).share()


def test_patch_cross_entropy_is_a_mean_per_image_then_over_all_images(generator):
    student = torch.randn(4, 3, 9, generator=generator)
    teacher = torch.randn(4, 3, 9, generator=generator).softmax(-1)
    weight = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 0.0]])
    total = 0.0
    for b in range(4):
        for m in range(3):
            entropy = float((-teacher[b, m] * (student[b, m] / 0.1).log_softmax(-1)).sum())
            total += float(weight[b, m]) * entropy / max(float(weight[b].sum()), 1.0)
    loss = float(losses.patch_cross_entropy(student.flatten(0, 1), teacher.flatten(0, 1), share_of(weight), 0.1))
    assert loss == pytest.approx(total / 4, rel=1e-5)
    flat = ((-teacher * (student / 0.1).log_softmax(-1)).sum(-1) * weight).sum() / weight.sum()
    assert abs(loss - float(flat)) > 0.05  # a flat mean over masked patches is another number


def test_patch_cross_entropy_at_the_start_is_the_masked_share_times_ln_k():
    weight = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    uniform = torch.full((2, 2, 8192), 1 / 8192)
    loss = losses.patch_cross_entropy(torch.zeros(2, 2, 8192).flatten(0, 1), uniform.flatten(0, 1), share_of(weight))
    assert float(loss) == pytest.approx(0.5 * math.log(8192), rel=1e-4)


def test_a_target_of_weight_zero_does_not_matter(generator):
    student = torch.randn(2, 3, 5, generator=generator)
    teacher = torch.randn(2, 3, 5, generator=generator).softmax(-1)
    weight = torch.tensor([[1, 0, 1], [1, 1, 0.0]])
    other = torch.where(weight[..., None] > 0, teacher, torch.full_like(teacher, 0.2))
    for loss in (losses.masked_mse, losses.masked_l1, losses.cosine_distance):
        assert torch.equal(loss(student, teacher, weight), loss(student, other, weight))
    first, second = (
        losses.patch_cross_entropy(student.flatten(0, 1), goal.flatten(0, 1), share_of(weight))
        for goal in (teacher, other)
    )
    assert torch.equal(first, second)


def test_cosine_distance_by_hand():
    prediction = torch.tensor([[[1.0, 0.0], [1.0, 1.0], [3.0, 0.0]]])
    target = torch.tensor([[[0.0, 2.0], [5.0, 5.0], [-1.0, 0.0]]])
    assert float(losses.cosine_distance(prediction, target)) == pytest.approx(1.0)
    weight = torch.tensor([[1.0, 1.0, 0.0]])
    assert float(losses.cosine_distance(prediction, target, weight)) == pytest.approx(0.5)


def test_pixel_losses_by_hand_for_patch_and_pixel_weights():
    prediction = torch.tensor([[[1.0, 2.0], [0.0, 4.0]]])
    target = torch.zeros(1, 2, 2)
    assert float(losses.masked_mse(prediction, target)) == pytest.approx(21 / 4)
    assert float(losses.masked_mse(prediction, target, torch.tensor([[1.0, 0.0]]))) == pytest.approx(2.5)
    assert float(losses.masked_l1(prediction, target, torch.tensor([[0.0, 1.0]]))) == pytest.approx(2.0)
    by_pixel = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    assert float(losses.masked_mse(prediction, target, by_pixel)) == pytest.approx(17 / 2)


def test_nothing_to_count_gives_zero_and_finite_gradients(generator):
    prediction = torch.randn(2, 3, 5, generator=generator).requires_grad_()
    target = torch.randn(2, 3, 5, generator=generator)
    none = torch.zeros(2, 3)
    codes = torch.zeros(2, 3, dtype=torch.long)
    total = (
        losses.masked_mse(prediction, target, none)
        + losses.masked_l1(prediction, target, none)
        + losses.cosine_distance(prediction, target, none)
        + losses.patch_cross_entropy(prediction.flatten(0, 1), target.flatten(0, 1).softmax(-1), share_of(none))
        + losses.masked_cross_entropy(prediction, codes, none)
    )
    total.backward()
    assert total.detach() == 0.0
    assert prediction.grad is not None
    assert not prediction.grad.any()


def test_koleo_is_the_naive_loop(generator):
    features = torch.randn(6, 4, generator=generator)
    points = F.normalize(features, dim=1)
    nearest = [min(float((points[i] - points[j] + 1e-8).norm()) for j in range(6) if j != i) for i in range(6)]
    expected = -sum(math.log(distance + 1e-8) for distance in nearest) / 6
    assert float(losses.koleo(features)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_koleo_of_equal_features_is_finite(dtype):
    features = torch.ones(4, 8, dtype=dtype).requires_grad_()
    loss = losses.koleo(features)
    loss.backward()
    assert torch.isfinite(loss)
    assert features.grad is not None
    assert torch.isfinite(features.grad).all()


def test_koleo_of_opposite_points_is_their_distance_and_not_that_to_themselves():
    points = torch.tensor([[3.0, 4.0], [-3.0, -4.0]])
    assert float(losses.koleo(points)) == pytest.approx(-math.log(2), rel=1e-5)


def test_koleo_of_a_batch_of_one_is_zero():
    assert float(losses.koleo(torch.randn(1, 8))) == 0.0


def test_losses_are_float32_under_autocast(generator):
    student = torch.randn(2, 3, 64, generator=generator)
    teacher = torch.randn(2, 3, 64, generator=generator).softmax(-1)
    expected = losses.view_cross_entropy(student, teacher)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(losses.view_cross_entropy(student, teacher), expected)
        assert losses.koleo(student[0]).dtype == torch.float32
        assert losses.masked_cross_entropy(student.bfloat16(), torch.zeros(2, 3).long()).dtype == torch.float32
