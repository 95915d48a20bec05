"""Nearest codes, the loss that teaches them, and how often each is used."""

import math

import pytest
import torch

from vision.config import ViTConfig
from vision.nn.nearest_code import NearestCodeTokenizer, codebook_loss
from vision.nn.usage import CodeUsage


@pytest.fixture
def tokenizer():
    torch.manual_seed(0)
    encoder = ViTConfig(patch_size=(1, 5), in_channels=2, dim=32, heads=4, depth=1)
    tokenizer = NearestCodeTokenizer(encoder, 12, 6).eval()
    tokenizer.codebook.data *= torch.rand(12, 1) + 0.5  # rows of unequal length: not the largest cosine
    return tokenizer


def test_a_code_is_the_row_at_the_smallest_distance(tokenizer):
    images = torch.randn(3, 2, 4, 15)
    features, codes = tokenizer.features(images).detach(), tokenizer.codes(images)
    assert codes.shape == (3, 12)
    assert (tokenizer.num_codes, tokenizer.patch_size) == (12, (1, 5))
    for b in range(3):
        for n in range(12):
            distances = [float((features[b, n] - row).norm()) for row in tokenizer.codebook.detach()]
            assert int(codes[b, n]) == distances.index(min(distances))
    assert torch.allclose(features.norm(dim=-1), torch.ones(3, 12), atol=1e-5)


def test_logits_are_minus_squared_distances_over_the_temperature(tokenizer):
    features = torch.randn(2, 6)
    logits = tokenizer.logits(features, 0.5)
    expected = -(features[:, None] - tokenizer.codebook[None]).square().sum(-1) / 0.5
    assert torch.allclose(logits, expected, atol=1e-4)
    assert torch.equal(logits.argmax(-1), tokenizer.nearest(features))


def test_codebook_loss_is_the_formula_and_each_side_gets_its_own_gradient():
    z, e = torch.randn(4, 6).requires_grad_(), torch.randn(4, 6).requires_grad_()
    loss = codebook_loss(z, e, beta=0.25)
    squares = (z - e).square().sum(-1)
    assert torch.allclose(loss, 1.25 * squares)
    loss.sum().backward()
    assert torch.allclose(z.grad, 2 * (z - e).detach())
    assert torch.allclose(e.grad, -0.25 * 2 * (z - e).detach())


def test_patches_that_were_not_observed_have_no_say(tokenizer):
    images, valid = torch.randn(2, 2, 4, 15), torch.ones(2, 4, 15, dtype=torch.bool)
    valid[:, 1] = False
    other = images.masked_fill(~valid[:, None], torch.nan)
    seen = tokenizer.encoder.grid(images).pool_any(valid)
    assert torch.equal(tokenizer.codes(images, valid)[seen], tokenizer.codes(other, valid)[seen])


def test_usage_counts_what_counts():
    usage = CodeUsage(4)
    assert float(usage.share_used()) == 0.0
    usage.update(torch.tensor([[0, 1], [1, 3]]), torch.tensor([[1.0, 1.0], [1.0, 0.0]]))
    assert usage.unused_for.tolist() == [0, 0, 1, 1]
    assert torch.allclose(usage.frequencies, torch.tensor([0.01, 0.02, 0.0, 0.0]))
    assert float(usage.share_used()) == 0.5
    assert float(usage.perplexity()) == pytest.approx(math.exp(-(math.log(1 / 3) + 2 * math.log(2 / 3)) / 3), rel=1e-5)
    usage.update(torch.tensor([2, 2]))
    assert float(usage.share_used(within=1)) == 0.25
    assert int(usage.updates) == 2
