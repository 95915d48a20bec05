"""What an axial transformer says of its last column, without computing what nobody asks for.

To predict the newest patch of each row, the last two blocks need not run in full: one that attends along columns
asks from the last column only, one that attends along rows from the asked rows only, and both take keys and values
from wherever they must. And where several ways of hiding the newest patches are tried on the same images, the first
block, in which a column sees itself alone, is the same for all columns that nobody hides. The numbers are those of
the whole pass, up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from vision.config import ViTConfig
from vision.nn.attention import AxialAttention, open_empty_rows
from vision.nn.block import Block
from vision.nn.grid import PatchGrid
from vision.nn.vit import VisionTransformer

SHORT = 16  # PyTorch's softmax on a CPU takes shorter rows number by number, three times slower


class Question(NamedTuple):
    """One way of hiding the newest patches, and the rows whose last patch is asked for."""

    hidden: Tensor  # (R, H) bool, True = hidden: patches of the last H columns; all before them are seen
    rows: Tensor | None  # (Q,) long; None = every row


def can_read_last_column(config: ViTConfig) -> bool:
    """Whether `read_last_column` knows this transformer: axial, two blocks or more, without CLS and rotation."""
    return (
        config.attention == "axial"
        and config.depth >= 2
        and config.scope == "window"
        and config.num_global_tokens == 0
        and "rotary" not in (config.row_position, config.column_position)
    )


def read_last_column(
    encoder: VisionTransformer,
    tokens: Tensor,
    grid: PatchGrid,
    valid: Tensor,
    mask_token: Tensor,
    questions: Sequence[Question],
) -> list[Tensor]:
    """Normed states (B, Q, D) of the last column's asked rows, for each question.

    Tokens (B, N, D) as embedded, nothing hidden; observed patches ``valid`` (B, N) bool; ``mask_token`` (1, D), or
    (B, N, D), one for each place. For an encoder in evaluation mode of which `can_read_last_column` is true; all
    questions hide the same number of columns.
    """
    shape = (grid.rows, grid.columns)
    cells = tokens.unflatten(1, shape).transpose(1, 2).contiguous()  # (B, C, R, D)
    seen = valid.unflatten(1, shape).transpose(1, 2)
    place = encoder.positions(torch.zeros_like(tokens[:1]), grid)[0].unflatten(0, shape).transpose(0, 1)
    num_seen = grid.columns - questions[0].hidden.shape[1]
    if mask_token.dim() == 3:
        mask_token = mask_token.unflatten(1, shape).transpose(1, 2)[:, num_seen:]
    first, *middle = [block for block in encoder.blocks if isinstance(block, Block)]
    shared = cells[:, :num_seen] + place[:num_seen]
    is_shared = len(middle) > 1  # else the first block is one of the last two
    if is_shared:
        shared = _run(first, shared, seen[:, :num_seen])
    answers = []
    for question in questions:
        newest = torch.where(question.hidden.T[..., None], mask_token, cells[:, num_seen:]) + place[num_seen:]
        if is_shared:
            newest = _run(first, newest, seen[:, num_seen:])
        states, observed = torch.cat([shared, newest], dim=1), seen
        blocks = middle if is_shared else [first, *middle]
        for block in blocks[:-2]:
            states = _run(block, states, observed)
        for block in blocks[-2:]:
            kept = _asked(block, question)
            states, observed = _run(block, states, observed, kept), observed[kept]
        answers.append(encoder.norm(states[:, -1]))
    return answers


def _asked(block: Block, question: Question) -> tuple[Any, ...]:
    """Index into (B, C, R, …) of what goes on from one of the last two blocks: nothing after looks elsewhere."""
    if _attention(block).axis == "columns":
        return slice(None), slice(-1, None)
    return slice(None), slice(None), slice(None) if question.rows is None else question.rows


def _attention(block: Block) -> AxialAttention:
    assert isinstance(block.attention, AxialAttention)
    return block.attention


def _run(block: Block, states: Tensor, seen: Tensor, asked: tuple[Any, ...] = ()) -> Tensor:
    """A block on states (B, C, R, D), observed (B, C, R) -> the ``asked`` ones; keys and values come from all."""
    attention, normed = _attention(block), block.norm1(states)
    weight, bias, dim = attention.qkv.weight, attention.qkv.bias, normed.shape[-1]
    query = F.linear(normed[asked], weight[:dim], bias[:dim])
    key, value = F.linear(normed, weight[dim:], bias[dim:]).chunk(2, dim=-1)
    attended = _attend(query, key, value, seen, attention.heads, attention.axis == "rows")
    states = states[asked] + block.scale1(attention.proj(attended))
    return states + block.scale2(block.mlp(block.norm2(states)))


def _attend(query: Tensor, key: Tensor, value: Tensor, visible: Tensor, heads: int, along_rows: bool) -> Tensor:
    """Attention of queries (B, C', R', D) on keys and values (B, C, R, D), visible (B, C, R), along one axis."""
    order = (0, 1, 3, 2, 4) if along_rows else (0, 2, 3, 1, 4)
    lines = [x.unflatten(3, (heads, -1)).permute(order) for x in (query, key, value)]  # (B, lines, heads, length, d)
    seen = open_empty_rows(visible if along_rows else visible.transpose(1, 2))[:, :, None, None]
    closed = torch.zeros(seen.shape, device=seen.device, dtype=query.dtype).masked_fill_(~seen, -torch.inf)
    shape, length = lines[0].shape, seen.shape[-1]
    if length >= SHORT or query.device.type != "cpu":
        query, key, value = (x.flatten(0, 1) for x in lines)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=closed.flatten(0, 1))
    else:
        query, key, value = (x.flatten(0, 2) for x in lines)
        closed = closed.expand(-1, -1, heads, 1, -1).flatten(0, 2)
        scores = torch.baddbmm(closed, query, key.transpose(1, 2), alpha=shape[-1] ** -0.5)
        weights = F.pad(scores, (0, SHORT - length), value=-torch.inf).softmax(-1)[..., :length]
        attended = weights @ value
    return attended.reshape(shape).permute((0, 1, 3, 2, 4) if along_rows else (0, 3, 1, 2, 4)).flatten(3)
