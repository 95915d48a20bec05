"""DINOHead: prototypes of unit length, their initialisation, their logits."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vision.nn.heads import DINOHead


@pytest.fixture
def head():
    torch.manual_seed(0)
    return DINOHead(24, num_prototypes=50, hidden_dim=32, bottleneck_dim=16)


def test_logits_are_cosines_when_the_norm_is_frozen(head):
    head.last_layer.weight_v.data *= 7.0
    logits = head(torch.randn(3, 5, 24) * 100)
    assert logits.shape == (3, 5, 50)
    assert float(logits.detach().abs().max()) <= 1 + 1e-5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_head_of_another_type_says_the_same(head, dtype):
    tokens = torch.randn(5, 24)
    expected = head(tokens)
    logits = head.to(dtype)(tokens.to(dtype))
    assert logits.dtype == dtype
    torch.testing.assert_close(logits.float(), expected, rtol=0, atol=0.02)


def test_the_norm_is_frozen_or_not_as_asked(head):
    assert not head.last_layer.weight_g.requires_grad
    assert torch.equal(head.last_layer.weight_g, torch.ones(50, 1))
    free = DINOHead(24, 50, hidden_dim=32, bottleneck_dim=16, norm_last_layer=False)
    assert free.last_layer.weight_g.requires_grad


def test_prototypes_keep_the_default_initialisation_and_the_mlp_does_not():
    torch.manual_seed(0)
    wide = DINOHead(256, num_prototypes=400, hidden_dim=256, bottleneck_dim=64)
    bound = 1 / math.sqrt(64)  # nn.Linear draws from U(-1 / sqrt(in), 1 / sqrt(in))
    prototypes = wide.last_layer.weight_v.detach()
    assert float(prototypes.abs().max()) <= bound
    assert float(prototypes.std()) == pytest.approx(bound / math.sqrt(3), rel=0.02)
    first = wide.mlp[0]
    assert isinstance(first, nn.Linear)
    assert float(first.weight.detach().std()) == pytest.approx(0.02, rel=0.02)
    assert not first.bias.detach().any()


def test_head_is_the_formula_with_torch_weight_norm(head):
    last = nn.utils.parametrizations.weight_norm(nn.Linear(16, 50, bias=False))
    last.parametrizations.weight.original0.data.fill_(1.0)
    last.parametrizations.weight.original1.data.copy_(head.last_layer.weight_v)
    tokens = torch.randn(6, 24)
    assert torch.allclose(head(tokens), last(F.normalize(head.mlp(tokens), dim=-1)), atol=1e-6)


@pytest.mark.parametrize(("layers", "linears"), [(1, 1), (2, 2), (3, 3)])
def test_number_of_layers(layers, linears):
    head = DINOHead(24, 50, hidden_dim=32, bottleneck_dim=16, layers=layers)
    assert sum(isinstance(module, nn.Linear) for module in head.mlp) == linears
    assert isinstance(head.mlp[-1], nn.Linear)  # no activation before the bottleneck's unit length
    assert head(torch.randn(2, 24)).shape == (2, 50)


def test_head_on_gathered_tokens_is_the_gathered_head(head):
    tokens, index = torch.randn(7, 24), torch.tensor([5, 0, 5])
    assert torch.allclose(head(tokens[index]), head(tokens)[index], atol=1e-6)


def test_loss_of_a_fresh_head_is_about_ln_k():
    torch.manual_seed(0)
    head = DINOHead(24, num_prototypes=2048, hidden_dim=64, bottleneck_dim=256)
    teacher, student = (head(torch.randn(64, 24)).detach() for _ in range(2))
    entropy = -((teacher / 0.1).softmax(-1) * (student / 0.1).log_softmax(-1)).sum(-1).mean()
    assert float(entropy) == pytest.approx(math.log(2048), rel=0.05)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_in_half_precision_lengths_are_float32_and_zero_tokens_finite(head, dtype):
    """The epsilon is 1e-6 after layers in float16, 1e-12 otherwise (DINOv2, ``DINOHead``)."""
    with torch.no_grad():
        head.mlp[-1].weight.mul_(1e-4)  # of a length between the two
        tokens = torch.randn(3, 24)
        plain = head.bottleneck(tokens * 1e-3)
        with torch.autocast("cpu", dtype=dtype):
            unit = head.bottleneck(tokens * 1e-3)
            assert torch.isfinite(head(torch.zeros(2, 24))).all()
    assert unit.dtype == torch.float32
    assert torch.allclose(plain.norm(dim=-1), torch.ones(3))
    assert bool((unit.norm(dim=-1) < 0.9).all()) == (dtype == torch.float16)


def test_zero_tokens_have_finite_logits_and_gradients(head):
    tokens = torch.zeros(2, 24, requires_grad=True)
    head(tokens).sum().backward()
    assert tokens.grad is not None
    assert torch.isfinite(tokens.grad).all()
