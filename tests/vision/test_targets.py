"""Centering, Sinkhorn-Knopp and normalised patches against plain arithmetic."""

import pytest
import torch

from vision.targets import Centering, SinkhornKnopp, normalise_patches


@pytest.fixture
def logits():
    return torch.randn(6, 5, generator=torch.Generator().manual_seed(0))


def test_centre_is_used_and_then_updated(logits):
    centering = Centering(5, momentum=0.9)
    first = centering(logits, 0.04)
    assert torch.allclose(first, (logits / 0.04).softmax(-1))  # the centre was still zero
    centre = 0.1 * logits.mean(0)
    assert torch.allclose(centering.center, centre)
    second = centering(logits, 0.04)
    assert torch.allclose(second, ((logits - centre) / 0.04).softmax(-1), atol=1e-6)
    assert torch.allclose(centering.center, 0.9 * centre + 0.1 * logits.mean(0))


def test_centre_stays_in_eval_mode(logits):
    centering = Centering(5).eval()
    centering(logits, 0.04)
    assert not centering.center.any()


def test_a_centre_of_another_type_moves_as_far(logits):
    centering = Centering(5).to(torch.bfloat16)
    centering(logits, 0.04)
    torch.testing.assert_close(centering.center.float(), 0.1 * logits.mean(0), rtol=0.01, atol=0.001)


def test_rows_of_weight_zero_do_not_move_the_centre(logits):
    weighted, plain = Centering(5), Centering(5)
    weight = torch.tensor([1, 0, 1, 1, 0, 0.0])
    weighted(logits, 0.1, weight)
    plain(logits[weight > 0], 0.1)
    assert torch.allclose(weighted.center, plain.center)
    weighted(logits, 0.1, torch.zeros(6))
    assert torch.allclose(weighted.center, plain.center)


def test_centering_takes_any_leading_dimensions_and_low_precision(logits):
    flat, shaped = Centering(5), Centering(5)
    expected = flat(logits, 0.1)
    assert torch.allclose(shaped(logits.view(2, 3, 5), 0.1).view(6, 5), expected)
    assert torch.allclose(shaped.center, flat.center)
    assert shaped(logits.bfloat16(), 0.1).dtype == torch.float32


def test_sinkhorn_rows_are_distributions_and_prototypes_are_balanced():
    logits = torch.randn(512, 16, generator=torch.Generator().manual_seed(1))
    probabilities = SinkhornKnopp(3)(logits, 1.0)
    assert torch.allclose(probabilities.sum(1), torch.ones(512), atol=1e-5)
    assert torch.allclose(probabilities.sum(0), torch.full((16,), 32.0), rtol=0.05)


def test_sinkhorn_is_the_official_recursion(logits):
    mass = (logits / 0.3).exp().T  # (K, B), as in the official code
    mass /= mass.sum()
    for _ in range(3):
        mass /= mass.sum(1, keepdim=True) * 5
        mass /= mass.sum(0, keepdim=True) * 6
    assert torch.allclose(SinkhornKnopp(3)(logits, 0.3), (mass * 6).T, atol=1e-5)


def test_sinkhorn_survives_logits_that_overflow_exp(logits):
    probabilities = SinkhornKnopp()(logits * 100, 0.04)
    assert torch.isfinite(probabilities).all()
    assert torch.allclose(probabilities.sum(1), torch.ones(6), atol=1e-4)


def test_sinkhorn_leaves_out_rows_of_weight_zero(logits):
    weight = torch.tensor([1, 1, 0, 1, 0, 1.0])
    probabilities = SinkhornKnopp()(logits, 0.3, weight)
    assert torch.allclose(probabilities[weight > 0], SinkhornKnopp()(logits[weight > 0], 0.3), atol=1e-5)
    assert not probabilities[weight == 0].any()
    assert not SinkhornKnopp()(logits, 0.3, torch.zeros(6)).any()


def test_targets_have_no_gradient(logits):
    logits = logits.clone().requires_grad_()
    assert not Centering(5)(logits, 0.1).requires_grad
    assert not SinkhornKnopp()(logits, 0.1).requires_grad


def test_normalised_patches_use_the_unbiased_variance():
    patches = torch.tensor([[[1.0, 2.0, 3.0, 6.0]]])
    mean, variance = 3.0, (4 + 1 + 0 + 9) / 3
    expected = (patches - mean) / (variance + 1e-6) ** 0.5
    assert torch.allclose(normalise_patches(patches), expected)


def test_normalised_patches_of_observed_pixels_alone():
    patches = torch.tensor([[[1.0, 2.0, 77.0, 6.0], [5.0, 5.0, 5.0, 5.0], [9.0, 77.0, 77.0, 77.0]]])
    observed = patches != 77
    out = normalise_patches(patches, observed)
    alone = normalise_patches(torch.tensor([[[1.0, 2.0, 6.0]]]))
    assert torch.allclose(out[0, 0, [0, 1, 3]], alone[0, 0])
    assert not out[~observed].any()
    assert not out[0, 1:].any()  # one value, one pixel: no spread to divide by


def test_normalised_patches_of_one_pixel_are_finite():
    assert normalise_patches(torch.randn(2, 3, 1)).abs().max() == 0


def test_centre_tends_to_the_mean_of_the_logits_in_a_stationary_state(logits):
    """c ← λ c + (1 − λ) E[h]: its distance to E[h] shrinks by λ a step, to noise of variance (1 − λ) / (1 + λ) · σ²."""
    centering, mean = Centering(5, momentum=0.9), logits.mean(0)
    for step in range(1, 51):
        centering(logits, 0.04)  # the same batch: no noise
        assert torch.allclose(centering.center - mean, 0.9**step * -mean, atol=1e-5)
    generator = torch.Generator().manual_seed(0)
    distances = []
    for step in range(600):
        centering(mean + torch.randn(4, 5, generator=generator), 0.04)
        if step >= 100:
            distances.append(centering.center - mean)
    assert torch.stack(distances).mean(0).abs().max() < 0.1
    assert torch.stack(distances).square().mean().item() == pytest.approx(0.1 / 1.9 / 4, rel=0.2)
