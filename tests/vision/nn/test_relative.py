"""Relative position bias against the definition, offset by offset, and what it may not change."""

import dataclasses
import math

import pytest
import torch

from vision.config import ConfigError, ViTConfig
from vision.nn.attention import JointAttention
from vision.nn.grid import PatchGrid
from vision.nn.packed import Segment
from vision.nn.relative import RelativePositionBias, with_a_table_per_block
from vision.nn.vit import VisionTransformer

CONFIG = ViTConfig(
    patch_size=(1, 5), in_channels=2, dim=32, heads=4, depth=3, relative_position="shared",
    row_position="none", column_position="none", max_rows=3, max_columns=4,
)  # fmt: skip


def _vit(**changes):
    torch.manual_seed(0)
    vit = VisionTransformer(dataclasses.replace(CONFIG, **changes))
    for parameter in vit.parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.3)
    return vit.eval()


@pytest.mark.parametrize("num_global", [0, 1, 2])
@pytest.mark.parametrize("grid", [PatchGrid(3, 4, 1, 1), PatchGrid(2, 3, 1, 1), PatchGrid(1, 1, 1, 1)])
def test_every_score_reads_the_entry_of_its_offset(grid, num_global):
    bias = RelativePositionBias(CONFIG)
    assert bias.table.shape == (5 * 7 + 3, 4)
    assert not bias.table.any()
    torch.nn.init.normal_(bias.table)
    result = bias(grid, num_global)
    length = num_global + grid.num_patches
    assert result.shape == (4, length, length)
    for query in range(length):
        for key in range(length):
            if query < num_global:
                entry = 37 if key < num_global else 35
            elif key < num_global:
                entry = 36
            else:
                q_row, q_column = divmod(query - num_global, grid.columns)
                k_row, k_column = divmod(key - num_global, grid.columns)
                entry = (q_row - k_row + 2) * 7 + (q_column - k_column + 3)
            assert torch.equal(result[:, query, key], bias.table[entry])


def test_a_grid_beyond_the_table_is_refused():
    with pytest.raises(ValueError, match=r"grid has 4 x 4 patches, relative positions end at max_rows = 3"):
        RelativePositionBias(CONFIG)(PatchGrid(4, 4, 1, 1), 1)


@pytest.mark.parametrize("scope", ["window", "causal"])
def test_the_bias_is_added_to_the_scores_of_observed_keys(scope):
    torch.manual_seed(0)
    attention = JointAttention(dataclasses.replace(CONFIG, relative_position="block", scope=scope))
    assert attention.relative is not None
    torch.nn.init.normal_(attention.relative.table)
    grid, valid = PatchGrid(2, 3, 1, 1), torch.tensor([[True, False, True, True, True, False]])
    tokens = torch.randn(1, 7, 32)
    result = attention(tokens[0], [Segment(1, grid, 1, valid)])
    query, key, value = attention.qkv(tokens).view(1, 7, 3, 4, 8).permute(2, 0, 3, 1, 4)
    scores = query @ key.transpose(-1, -2) / math.sqrt(8) + attention.relative(grid, 1)
    hides = torch.zeros(7, 7, dtype=torch.bool)
    hides[:, 1:] = ~valid[0]
    if scope == "causal":
        column = torch.tensor([0, 1, 2, 0, 1, 2])
        hides[1:, 0] = True
        hides[1:, 1:] |= column[:, None] < column[None, :]
    expected = attention.proj((scores.masked_fill(hides, -math.inf).softmax(-1) @ value).transpose(1, 2).flatten(2))
    seen = torch.cat([torch.ones(1, dtype=torch.bool), valid[0]])
    assert torch.allclose(result[seen], expected[0, seen], atol=1e-5)
    assert torch.isfinite(result).all()


def test_a_bias_on_keys_changes_nothing():
    vit, images = _vit(), torch.randn(2, 2, 3, 20)
    before = vit(images)
    for block in vit.blocks:
        block.attention.qkv.bias.data[32:64].normal_()
    after = vit(images)
    assert torch.allclose(before.patches, after.patches, atol=1e-5)
    assert torch.allclose(before.cls, after.cls, atol=1e-5)


def test_without_other_positions_the_table_alone_tells_patches_apart():
    images = torch.randn(1, 2, 3, 20)
    swapped = images[:, :, [1, 0, 2]]
    rows = [1, 0, 2]
    for is_zero in (True, False):
        vit = _vit()
        if is_zero:
            vit.relative.table.data.zero_()
        plain, other = (vit(x).patches.view(3, 4, 32) for x in (images, swapped))
        assert torch.allclose(other, plain[rows], atol=1e-5) == is_zero


def test_copies_in_every_block_are_the_shared_table_and_fresh_ones_are_not():
    shared, images = _vit(), torch.randn(2, 2, 3, 20)
    own = _vit(relative_position="block")
    own.load_state_dict(with_a_table_per_block(shared.state_dict(), CONFIG.depth))
    assert torch.equal(own(images).patches, shared(images).patches)
    own.blocks[1].attention.relative.table.data.zero_()
    assert not torch.allclose(own(images).patches, shared(images).patches, atol=1e-2)


@pytest.mark.parametrize("kind", ["shared", "block"])
def test_packed_crops_equal_separate_ones_and_tables_learn(kind):
    vit = _vit(relative_position=kind, num_registers=1)
    crops = [torch.randn(2, 2, 3, 20), torch.randn(3, 2, 2, 15)]
    grids = [vit.grid(crop) for crop in crops]
    packed = vit.encode([vit.embed(crop) for crop in crops], grids)
    for crop, result in zip(crops, packed, strict=True):
        assert torch.allclose(result.patches, vit(crop).patches, atol=1e-5)
    packed[0].patches.square().sum().backward()
    tables = [p for name, p in vit.named_parameters() if "relative" in name]
    assert len(tables) == (1 if kind == "shared" else 3)
    assert all(table.grad is not None and table.grad.any() for table in tables)


def test_it_compiles_to_one_graph():
    torch._dynamo.reset()
    vit, images, valid = _vit(), torch.randn(2, 2, 3, 20), torch.rand(2, 3, 20) > 0.3
    compiled = torch.compile(lambda x, v: vit(x, v).patches, fullgraph=True, backend="eager")
    assert torch.allclose(compiled(images, valid), vit(images, valid).patches, atol=1e-6)


@pytest.mark.parametrize("changes", [{"attention": "axial"}, {"scope": "patch", "has_cls": False}])
def test_layouts_without_a_full_table_of_scores_are_refused(changes):
    with pytest.raises(ConfigError, match="relative_position is 'shared', expected 'none' unless"):
        dataclasses.replace(CONFIG, **changes)
