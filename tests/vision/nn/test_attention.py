"""Attention against a naive double loop, for every layout, scope, validity and position."""

import math

import pytest
import torch

from vision.config import ViTConfig
from vision.nn.attention import (
    AxialAttention,
    JointAttention,
    OwnAttention,
    build_attention,
    open_empty_rows,
    rotary_angles,
    rotate,
)
from vision.nn.grid import PatchGrid
from vision.nn.packed import Segment

GRID = PatchGrid(3, 4, 1, 1)
BATCH = 2


def _config(**options):
    positions = {"row_position": "none", "column_position": "none"}
    return ViTConfig(**{"dim": 16, "heads": 2, "depth": 2, **positions, **options})


def _may_attend(kind, scope, num_global, query, key, valid):
    """Whether token ``query`` of a sample sees token ``key``; tokens are G global ones, then the patches."""
    if key >= num_global and not valid[key - num_global]:
        return False
    if query < num_global:
        return True
    if key < num_global:
        return scope != "causal"
    q_row, q_column = divmod(query - num_global, GRID.columns)
    k_row, k_column = divmod(key - num_global, GRID.columns)
    if kind == "rows":
        return q_column == k_column
    if kind == "columns" and q_row != k_row:
        return False
    return scope != "causal" or k_column <= q_column


def _naive(attention, tokens, kind, scope, num_global, valid, rotary):
    batch, length, dim = tokens.shape
    heads, size = attention.heads, attention.head_dim
    query, key, value = attention.qkv(tokens).view(batch, length, 3, heads, size).unbind(2)
    if rotary is not None:
        query, key = (rotate(x.transpose(1, 2), rotary, num_global).transpose(1, 2) for x in (query, key))
    out = torch.zeros(batch, length, heads, size)
    for b in range(batch):
        for q in range(length):
            seen = [k for k in range(length) if _may_attend(kind, scope, num_global, q, k, valid[b])]
            for h in range(heads):
                if seen:
                    scores = torch.stack([query[b, q, h] @ key[b, k, h] / math.sqrt(size) for k in seen])
                    out[b, q, h] = scores.softmax(0) @ torch.stack([value[b, k, h] for k in seen])
    return attention.proj(out.view(batch, length, dim))


@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize("num_global", [0, 2])
@pytest.mark.parametrize("scope", ["window", "causal"])
@pytest.mark.parametrize("kind", ["joint", "rows", "columns"])
def test_attention_is_the_naive_loop(kind, scope, num_global, rotary):
    torch.manual_seed(0)
    position = "rotary" if rotary else "none"
    config = _config(scope=scope, row_position=position, column_position=position)
    attention = JointAttention(config) if kind == "joint" else AxialAttention(config, kind)
    tokens = torch.randn(BATCH, num_global + GRID.num_patches, 16)
    turned = (kind in ("joint", "rows"), kind in ("joint", "columns"))
    angles = rotary_angles(GRID, 8, *turned, device=tokens.device) if rotary else None
    some = torch.rand(BATCH, GRID.num_patches) > 0.4
    some[1, 1::4] = False  # a column of which nothing was observed
    everything = torch.ones(BATCH, GRID.num_patches, dtype=torch.bool)
    for valid in (None, some, everything):
        segment = Segment(BATCH, GRID, num_global, valid)
        result = attention(tokens.flatten(0, 1), [segment]).view_as(tokens)
        known = everything if valid is None else valid
        expected = _naive(attention, tokens, kind, scope, num_global, known, angles)
        counted = torch.cat([torch.ones(BATCH, num_global, dtype=torch.bool), known], dim=1)
        assert torch.isfinite(result).all()
        assert torch.allclose(result[counted], expected[counted], atol=1e-5)


def test_own_attention_gives_back_a_function_of_each_token_alone():
    attention = OwnAttention(_config(scope="patch", has_cls=False))
    tokens = torch.randn(10, 16)
    together = attention(tokens, [Segment(1, PatchGrid(2, 5, 1, 1), 0, None)])
    assert torch.allclose(together, attention.proj(attention.value(tokens)))


def test_axial_blocks_alternate_between_rows_and_columns():
    config = _config(attention="axial", depth=4)
    assert [build_attention(config, i).axis for i in range(4)] == ["rows", "columns", "rows", "columns"]
    assert isinstance(build_attention(_config(attention="joint"), 1), JointAttention)
    assert isinstance(build_attention(_config(attention="axial", scope="patch", has_cls=False), 1), OwnAttention)


@pytest.mark.parametrize(("rows", "columns"), [(True, True), (True, False), (False, True)])
def test_rotary_scores_depend_on_the_distance_alone(rows, columns):
    grid = PatchGrid(4, 5, 1, 1)
    angles = rotary_angles(grid, 16, rows, columns, device=torch.device("cpu"))
    assert angles.shape == (20, 8)
    one, other = torch.randn(16), torch.randn(16)
    query, key = rotate(one.expand(20, 16), angles, 0), rotate(other.expand(20, 16), angles, 0)
    scores = (query @ key.T).view(4, 5, 4, 5)
    assert torch.allclose(scores[0, 0, 1, 2], scores[2, 1, 3, 3], atol=1e-4)
    assert torch.allclose(query.norm(dim=1), one.norm().expand(20), atol=1e-5)
    assert torch.allclose(scores[0, 0, 1, 0], scores[0, 0, 0, 0], atol=1e-4) == (not rows)
    assert torch.allclose(scores[0, 0, 0, 1], scores[0, 0, 0, 0], atol=1e-4) == (not columns)


def test_rotary_leaves_global_tokens():
    angles = rotary_angles(PatchGrid(2, 2, 1, 1), 8, True, True, device=torch.device("cpu"))
    tokens = torch.randn(3, 2 + 4, 8)
    assert torch.equal(rotate(tokens, angles, 2)[:, :2], tokens[:, :2])


def test_a_query_without_any_key_is_opened_and_no_other():
    visible = torch.tensor([[True, False], [False, False]])
    assert open_empty_rows(visible).tolist() == [[True, False], [True, True]]


LOOKS = [{}, {"scope": "causal"}, {"relative_position": "block"}, {"row_position": "rotary"}]


@pytest.mark.parametrize("options", LOOKS)
def test_the_weights_that_are_looked_at_are_those_that_are_used(options):
    torch.manual_seed(0)
    attention = JointAttention(_config(max_rows=3, max_columns=4, **options))
    if attention.relative is not None:
        torch.nn.init.normal_(attention.relative.table)
    valid = torch.rand(BATCH, GRID.num_patches) > 0.3
    segment = Segment(BATCH, GRID, 1, valid)
    flat = torch.randn(segment.num_tokens, 16) * 3
    (weights,) = attention.weights(flat, [segment])
    assert torch.allclose(weights.sum(dim=-1), torch.ones(BATCH, 2, 13), atol=1e-5)
    value = attention.qkv(flat)[:, 32:].view(BATCH, 13, 2, 8).transpose(1, 2)
    mixed = attention.proj((weights @ value).transpose(1, 2).flatten(2)).flatten(0, 1)
    assert torch.allclose(mixed, attention(flat, [segment]), atol=1e-5)
