"""The discrete VAE's parts: draws, divergence, densities, and images back from codes."""

import math

import pytest
import torch
from torch.nn import functional as F

from vision.config import DVAEConfig, ViTConfig
from vision.nn.dvae import DiscreteVAE, divergence_from_uniform, relaxed_one_hot, straight_through
from vision.nn.likelihood import LIKELIHOODS, Laplace, LogitLaplace, Squared


def _vae(patch_size=(1, 5), likelihood="laplace", **options):
    torch.manual_seed(0)
    encoder = ViTConfig(patch_size=patch_size, in_channels=2, dim=32, heads=4, depth=2, **options)
    return DiscreteVAE(encoder, DVAEConfig(num_codes=16, code_dim=8, decoder_depth=1, likelihood=likelihood)).eval()


def test_a_relaxed_draw_lies_on_the_simplex_and_sharpens_as_the_temperature_falls():
    torch.manual_seed(0)
    logits = torch.randn(2000, 5)
    soft, sharp = relaxed_one_hot(logits, torch.tensor(1.0)), relaxed_one_hot(logits, torch.tensor(1 / 16))
    for draw in (soft, sharp):
        assert torch.allclose(draw.sum(-1), torch.ones(2000), atol=1e-5)
        assert (draw >= 0).all()
    assert soft.amax(-1).mean() < 0.8
    assert sharp.amax(-1).mean() > 0.95


def test_the_largest_entry_of_a_draw_follows_the_softmax():
    torch.manual_seed(0)
    logits = torch.tensor([1.0, 0.0, -1.0, 0.5])
    draws = relaxed_one_hot(logits.expand(40_000, 4), torch.tensor(0.5)).argmax(-1)
    assert torch.allclose(torch.bincount(draws) / 40_000, logits.softmax(-1), atol=0.01)


def test_a_draw_is_that_of_torch():
    logits = torch.randn(50, 9)
    torch.manual_seed(1)
    expected = F.gumbel_softmax(logits, tau=0.7)
    torch.manual_seed(1)
    assert torch.equal(relaxed_one_hot(logits, torch.tensor(0.7)), expected)


def test_the_expected_draw_has_the_gradient_of_the_relaxation():
    """Against the formula softmax((logits + g) / τ) with the same noise, by finite differences."""
    logits = torch.randn(4, dtype=torch.float64)
    upstream = torch.randn(4, dtype=torch.float64)

    def value(x):
        torch.manual_seed(3)
        return relaxed_one_hot(x, torch.tensor(0.7)) @ upstream

    variable = logits.clone().requires_grad_()
    value(variable).backward()
    for k in range(4):
        step = torch.zeros(4, dtype=torch.float64)
        step[k] = 1e-6
        slope = (value(logits + step) - value(logits - step)) / 2e-6
        assert float(variable.grad[k]) == pytest.approx(float(slope), rel=1e-5)


def test_straight_through_is_one_hot_forwards_and_soft_backwards():
    soft = torch.randn(3, 7, 5).softmax(-1).requires_grad_()
    hard = straight_through(soft)
    assert torch.equal(hard.detach().round(), F.one_hot(soft.argmax(-1), 5).float())
    assert torch.allclose(hard.sum(-1), torch.ones(3, 7))
    upstream = torch.randn(3, 7, 5)
    (hard * upstream).sum().backward()
    assert torch.equal(soft.grad, upstream)


def test_divergence_from_uniform_is_the_naive_sum():
    logits = torch.randn(2, 3, 6) * 2
    result = divergence_from_uniform(logits)
    for b in range(2):
        for n in range(3):
            q = logits[b, n].softmax(-1)
            expected = sum(float(q[k] * torch.log(q[k] / (1 / 6))) for k in range(6))
            assert float(result[b, n]) == pytest.approx(expected, abs=1e-5)
    assert float(divergence_from_uniform(torch.zeros(6))) == pytest.approx(0.0, abs=1e-6)
    assert float(divergence_from_uniform(torch.tensor([50.0, 0, 0, 0]))) == pytest.approx(math.log(4), abs=1e-5)


def test_laplace_is_the_density_of_torch():
    predicted, pixels = torch.randn(2, 3, 8), torch.randn(2, 3, 4)
    centre, log_scale = predicted[..., :4], predicted[..., 4:]
    expected = -torch.distributions.Laplace(centre, log_scale.exp()).log_prob(pixels)
    assert torch.allclose(Laplace().negative_log(predicted, pixels), expected, atol=1e-5)
    assert torch.equal(Laplace().mean(predicted), centre)
    flat = Laplace().negative_log(torch.tensor([[[0.0, -1e9]]]), torch.zeros(1, 1, 1))
    assert float(flat) == pytest.approx(math.log(2) - 5)


def test_logit_laplace_is_the_papers_density_of_pixels_in_0_1():
    """f(x) = exp(−|logit x − μ| / b) / (2 b x (1 − x)) on (0, 1), which integrates to 1, of x squeezed by ε = .1."""
    mean, log_scale = 0.3, -0.5
    x = torch.linspace(1e-6, 1 - 1e-6, 200_001, dtype=torch.float64)
    pixels = (x - 0.1) / 0.8
    numbers = torch.tensor([[mean]]).expand(1, len(x)), torch.tensor([[log_scale]]).expand(1, len(x))
    density = (-LogitLaplace().negative_log(torch.cat(numbers, 1).double()[None], pixels[None, None])).exp()
    assert float(torch.trapezoid(density.flatten(), x)) == pytest.approx(1.0, abs=1e-3)
    extremes = LogitLaplace().negative_log(torch.zeros(1, 1, 4), torch.tensor([[[0.0, 1.0]]]))
    assert torch.isfinite(extremes).all()
    centre = math.log(0.7 / 0.3)  # logit of .7, which stands for a pixel of (.7 − .1) / .8
    assert float(LogitLaplace().mean(torch.tensor([[[centre, 0.0]]]))) == pytest.approx(0.75, abs=1e-6)
    assert float(LogitLaplace().mean(torch.tensor([[[9.0, 0.0]]]))) == 1.0


def test_squared_is_squared():
    assert torch.equal(Squared().negative_log(torch.ones(1, 1, 2), torch.tensor([[[3.0, 1.0]]])).flatten(),
                       torch.tensor([4.0, 0.0]))  # fmt: skip


@pytest.mark.parametrize("likelihood", sorted(LIKELIHOODS))
@pytest.mark.parametrize(("patch_size", "image"), [((1, 5), (3, 20)), ((16, 16), (32, 48)), ((2, 3), (2, 3))])
def test_any_patch_and_image_has_codes_and_comes_back(likelihood, patch_size, image):
    vae, images = _vae(patch_size, likelihood), torch.rand(2, 2, *image)
    num_patches = image[0] * image[1] // (patch_size[0] * patch_size[1])
    codes = vae.codes(images)
    assert codes.shape == (2, num_patches)
    assert codes.dtype == torch.long
    assert torch.equal(codes, vae.encode(images).argmax(-1))
    assert vae.encode(images).shape == (2, num_patches, vae.num_codes)
    assert vae.reconstruct(images).shape == images.shape
    assert (vae.num_codes, vae.patch_size) == (16, patch_size)


def test_pixels_that_were_not_observed_have_no_say():
    vae, images = _vae(), torch.randn(2, 2, 3, 20)
    valid = torch.rand(2, 3, 20) > 0.4
    valid[:, 1] = False
    other = images.masked_fill(~valid[:, None], torch.nan)
    seen = vae.encoder.grid(images).pool_any(valid)
    assert torch.equal(vae.codes(images, valid)[seen], vae.codes(other, valid)[seen])
    rows = [0, 2]
    assert torch.equal(vae.reconstruct(images, valid)[:, :, rows], vae.reconstruct(other, valid)[:, :, rows])


def test_the_decoder_has_the_encoders_positions_relative_ones_too():
    nothing_else = {"row_position": "none", "column_position": "none"}
    vae = _vae(relative_position="shared", **nothing_else)
    assert vae.decoder.vit.relative is not None
    vectors, grid = torch.randn(1, 12, 8), vae.encoder.grid(torch.randn(1, 2, 3, 20))
    torch.nn.init.normal_(vae.decoder.vit.relative.table)
    order = torch.randperm(12)
    assert not torch.allclose(vae.decode(vectors[:, order], grid), vae.decode(vectors, grid)[:, order], atol=1e-4)


def test_in_the_patch_scope_code_and_picture_are_functions_of_the_patch_alone():
    positions = {"row_position": "none", "column_position": "none"}
    vae, images = _vae(scope="patch", has_cls=False, **positions), torch.randn(1, 2, 2, 15)
    parts = [images[:, :, r : r + 1, c : c + 5] for r in range(2) for c in (0, 5, 10)]
    assert vae.codes(images).flatten().tolist() == [int(vae.codes(part)) for part in parts]
    assert torch.allclose(vae.reconstruct(images)[:, :, :1, :5], vae.reconstruct(parts[0]), atol=1e-5)
