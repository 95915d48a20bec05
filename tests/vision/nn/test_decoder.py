"""TokenDecoder: shapes, scopes, validity."""

import pytest
import torch

from vision.config import ViTConfig
from vision.nn.decoder import TokenDecoder
from vision.nn.grid import PatchGrid

GRID = PatchGrid(3, 4, 2, 5)


def _decoder(**options):
    torch.manual_seed(0)
    return TokenDecoder(ViTConfig(dim=16, heads=2, has_cls=False, **options), 8, depth=2, out_dim=30).eval()


@pytest.mark.parametrize("attention", ["joint", "axial"])
def test_a_prediction_for_every_patch_of_a_rectangle(attention):
    decoder = _decoder(attention=attention)
    assert decoder(torch.randn(2, 12, 8), GRID).shape == (2, 12, 30)
    assert decoder(torch.randn(1, 2, 8), PatchGrid(1, 2, 1, 1)).shape == (1, 2, 30)


def test_in_the_patch_scope_without_positions_it_is_a_function_of_each_vector():
    decoder = _decoder(scope="patch", row_position="none", column_position="none")
    vectors = torch.randn(2, 12, 8)
    order = torch.randperm(12)
    assert torch.allclose(decoder(vectors[:, order], GRID), decoder(vectors, GRID)[:, order], atol=1e-6)


def test_in_the_causal_scope_later_columns_change_nothing():
    decoder = _decoder(scope="causal", attention="axial")
    vectors = torch.randn(1, 12, 8)
    later = vectors.clone().view(1, 3, 4, 8)
    later[:, :, 2:] += 1
    first, second = decoder(vectors, GRID).view(3, 4, 30), decoder(later.view(1, 12, 8), GRID).view(3, 4, 30)
    assert torch.equal(first[:, :2], second[:, :2])
    assert not torch.allclose(first[:, 2:], second[:, 2:], atol=1e-4)


def test_vectors_of_unobserved_patches_do_not_matter():
    decoder = _decoder()
    vectors, valid = torch.randn(2, 12, 8), torch.rand(2, 12) > 0.4
    other = torch.where(valid[..., None], vectors, torch.full_like(vectors, torch.nan))
    assert torch.equal(decoder(vectors, GRID, valid), decoder(other, GRID, valid))


def test_every_parameter_gets_a_gradient():
    decoder = _decoder(row_position="learned", column_position="learned", max_rows=3, max_columns=4)
    decoder(torch.randn(2, 12, 8), GRID).square().sum().backward()
    assert [name for name, p in decoder.named_parameters() if p.grad is None or not p.grad.any()] == []
