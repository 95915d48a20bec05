"""Blocks: residual form, stochastic depth per sequence, LayerScale."""

import pytest
import torch
from torch.nn import functional as F

from vision.config import ViTConfig
from vision.nn.block import Block, DropPath, SwiGLU
from vision.nn.grid import PatchGrid
from vision.nn.packed import Segment, pack, split

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
    drop = DropPath(0.1).train()
    branch = torch.ones(300 * 2 + 700 * 3, 4)
    assert drop.choose(SEGMENTS, branch.device) is None
    kept = drop(torch.zeros_like(branch), branch, SEGMENTS, None)
    first, second = kept[:600].view(300, 2, 4), kept[600:].view(700, 3, 4)
    for part in (first, second):
        per_sequence = part.flatten(1)
        assert torch.equal(per_sequence.min(1).values, per_sequence.max(1).values)
        values = per_sequence[:, 0].unique()
        assert torch.allclose(values, torch.tensor([0.0, 1 / 0.9]))
    assert float(kept.mean()) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_drop_path_keeps_the_scale_of_a_branch_in_bfloat16(rate):
    drop, flat = DropPath(rate).train(), torch.zeros(300 * 2 + 700 * 3, 4)
    chosen = drop.choose(SEGMENTS, flat.device)
    counts = (300, 700) if chosen is None else [len(rows) for rows in chosen]
    kept = drop(flat, torch.ones(2 * counts[0] + 3 * counts[1], 4, dtype=torch.bfloat16), SEGMENTS, chosen)
    for part, batch, count in zip((kept[:600], kept[600:]), (300, 700), counts, strict=True):
        assert torch.allclose(part[part > 0], torch.tensor(1 / (1 - rate) if chosen is None else batch / count))
    assert kept.dtype == flat.dtype


@pytest.mark.parametrize("is_cut", [None, [False, True]])
def test_above_a_tenth_the_branch_is_computed_for_what_keeps_it(is_cut):
    valid = torch.rand(6, 4, generator=torch.Generator().manual_seed(0)) > 0.3
    segments = [Segment(5, PatchGrid(1, 2, 1, 1), 1, None), Segment(6, PatchGrid(2, 2, 1, 1), 1, valid)]
    block = Block(_config(dim=16, has_cls=True, drop_path=0.4), index=4).train()
    flat, seen = torch.randn(5 * 3 + 6 * 5, 16), []
    for layer in (block.norm1, block.norm2):
        layer.register_forward_pre_hook(lambda layer, given: seen.append(len(given[0])))
    torch.manual_seed(0)
    found = block(flat, segments, is_cut)
    assert seen == [3 * 3 + 3 * 5, 3 * 3 + 3 * (5 if is_cut is None else 1)]  # int(.6 * 5) and int(.6 * 6) sequences
    torch.manual_seed(0)
    draws = [[torch.randperm(batch)[:3] for batch in (5, 6)] for _ in range(2)]
    expected = []
    for number, (part, segment) in enumerate(zip(split(flat, segments), segments, strict=True)):
        factors = torch.zeros(2, segment.batch, 1, 1)
        for draw, factor in zip(draws, factors, strict=True):
            factor[draw[number]] = segment.batch / 3
        with torch.no_grad():
            middle = part + factors[0] * block.attention(block.norm1(part.flatten(0, 1)), [segment]).view_as(part)
            whole = middle + factors[1] * block.mlp(block.norm2(middle))
        expected.append(whole if is_cut is None or not is_cut[number] else whole[:, :1])
    torch.testing.assert_close(found, pack(expected))


def test_one_sequence_keeps_the_branch_whatever_the_rate():
    chosen = DropPath(0.9).train().choose([Segment(3, PatchGrid(1, 1, 1, 1), 0, None)], torch.device("cpu"))
    assert [len(rows) for rows in chosen] == [1]


def test_drop_path_is_off_in_eval_mode_and_at_rate_zero():
    branch = torch.randn(300 * 2 + 700 * 3, 4)
    for drop in (DropPath(0.9).eval(), DropPath(0.0).train()):
        chosen = drop.choose(SEGMENTS, branch.device)
        assert chosen is None
        assert torch.equal(drop(torch.ones_like(branch), branch, SEGMENTS, chosen), 1.0 + branch)


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
