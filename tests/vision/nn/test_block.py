"""Blocks: residual form, stochastic depth per sequence, LayerScale."""

import pytest
import torch
from torch.nn import functional as F

from vision.config import ViTConfig
from vision.nn.block import Block, DropPath, SwiGLU
from vision.nn.grid import PatchGrid
from vision.nn.packed import Segment

SEGMENTS = [Segment(300, PatchGrid(1, 2, 1, 1), 0, None), Segment(700, PatchGrid(1, 3, 1, 1), 0, None)]


def _config(**options):
    return ViTConfig(**{"dim": 16, "heads": 2, "depth": 5, "has_cls": False, **options})


def test_block_is_the_pre_norm_formula():
    block = Block(_config(layer_scale=0.1), index=0)
    segments = [Segment(2, PatchGrid(2, 2, 1, 1), 0, None)]
    flat = torch.randn(8, 16)
    middle = flat + 0.1 * block.attention(block.norm1(flat), segments)
    expected = middle + 0.1 * block.mlp(block.norm2(middle))
    assert torch.allclose(block(flat, segments), expected, atol=1e-6)


def test_norms_have_the_epsilon_of_vision_transformers():
    block = Block(_config(), index=0)
    assert block.norm1.eps == block.norm2.eps == 1e-6


def test_drop_path_drops_whole_sequences_and_keeps_the_expectation():
    torch.manual_seed(0)
    drop = DropPath(0.4).train()
    kept = drop(torch.ones(300 * 2 + 700 * 3, 4), SEGMENTS)
    first, second = kept[:600].view(300, 2, 4), kept[600:].view(700, 3, 4)
    for part in (first, second):
        per_sequence = part.flatten(1)
        assert torch.equal(per_sequence.min(1).values, per_sequence.max(1).values)
        values = per_sequence[:, 0].unique()
        assert torch.allclose(values, torch.tensor([0.0, 1 / 0.6]))
    assert float(kept.mean()) == pytest.approx(1.0, abs=0.06)


def test_drop_path_is_off_in_eval_mode_and_at_rate_zero():
    branch = torch.ones(300 * 2 + 700 * 3, 4)
    assert DropPath(0.9).eval()(branch, SEGMENTS) is branch
    assert DropPath(0.0).train()(branch, SEGMENTS) is branch


def test_drop_path_rises_linearly_over_depth_unless_given():
    config = _config(drop_path=0.2)
    assert [round(Block(config, i).drop1.rate, 3) for i in range(5)] == [0.0, 0.05, 0.1, 0.15, 0.2]
    assert Block(config, 4, drop_path=0.07).drop2.rate == 0.07
    assert Block(_config(depth=1, drop_path=0.2), 0).drop1.rate == 0.0


def test_drop_path_is_the_same_in_all_blocks_when_uniform():
    config = _config(drop_path=0.3, drop_path_shape="uniform")
    assert [Block(config, i).drop1.rate for i in range(5)] == [0.3] * 5


def test_swiglu_is_the_formula_with_two_thirds_of_the_hidden_width():
    block = Block(_config(mlp="swiglu", mlp_ratio=5.0), index=0)  # 2/3 of 80 is 53, the next multiple of 8 is 56
    assert isinstance(block.mlp, SwiGLU)
    first, last = block.mlp[0], block.mlp[2]
    assert (first.weight.shape, last.weight.shape) == ((112, 16), (16, 56))
    x = torch.randn(3, 16)
    gate, value = first.weight[:56] @ x.T, first.weight[56:] @ x.T
    gate, value = gate.T + first.bias[:56], value.T + first.bias[56:]
    assert torch.allclose(block.mlp(x), F.linear(gate * torch.sigmoid(gate) * value, last.weight, last.bias), atol=1e-6)
