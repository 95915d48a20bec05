"""Multi-head self-attention on packed tokens: joint, along one axis of the grid, or each patch with itself.

Patches that were not observed are never keys. As queries they flow along, because shapes are static; what
they give is finite and meaningless. Global tokens (CLS, registers) see every observed patch; in the causal
scope no patch sees them, for through them later columns would reach earlier ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision.config import ViTConfig
from vision.nn.grid import PatchGrid
from vision.nn.packed import Segment, pack, split
from vision.nn.relative import RelativePositionBias

Axis = Literal["rows", "columns"]
ROTARY_BASE = 100.0  # of angles per patch step, as RoPE-ViT (Heo et al. 2024) and DINOv3; 10000 is for long texts


class JointAttention(nn.Module):
    """Every token attends to all tokens of its sample; in the causal scope to this and earlier columns.

    The official BEiT has no bias on keys. Ours has one that changes nothing: it adds the same to every score of
    a query (with rotary positions it would not, and BEiT has none).
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.head_dim = config.head_dim
        self.is_causal = config.scope == "causal"
        self.rotary = (config.row_position == "rotary", config.column_position == "rotary")
        self.relative = RelativePositionBias(config) if config.relative_position == "block" else None
        self.qkv = nn.Linear(config.dim, 3 * config.dim)
        self.proj = nn.Linear(config.dim, config.dim)

    def forward(self, flat: Tensor, segments: Sequence[Segment], is_cut: Sequence[bool] | None = None) -> Tensor:
        """Flat packed tokens (T, D) -> (T, D), or fewer: of a segment that is cut, the first token alone asks."""
        qkv, cuts = split(self.qkv(flat), segments), is_cut or [False] * len(segments)
        return self.proj(pack([self._attend(*part) for part in zip(qkv, segments, cuts, strict=True)]))

    def weights(self, flat: Tensor, segments: Sequence[Segment]) -> list[Tensor]:
        """Flat packed tokens (T, D) -> (B, heads, L, L) per segment: the share of each key (last) in what a query
        gets; to look at, for :meth:`forward` never forms them.
        """
        shares = []
        for qkv, segment in zip(split(self.qkv(flat), segments), segments, strict=True):
            query, key, _ = self._query_key_value(qkv, segment)
            scores = query @ key.transpose(-2, -1) / math.sqrt(self.head_dim)
            mask = self._mask(segment, scores)
            if mask is not None:
                scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
            shares.append(scores.softmax(dim=-1))
        return shares

    def _attend(self, qkv: Tensor, segment: Segment, is_cut: bool) -> Tensor:
        query, key, value = self._query_key_value(qkv, segment)
        mask = self._mask(segment, query)
        if is_cut:
            query, mask = query[:, :, :1], None if mask is None else mask[..., :1, :]
        attended = attend(query, key, value, mask).transpose(1, 2)
        if torch.compiler.is_exporting():  # where a bias is added, ONNX's attention leaves them in another order
            attended = attended.clone(memory_format=torch.contiguous_format)
        return attended.flatten(2)  # (B, L, D)

    def _query_key_value(self, qkv: Tensor, segment: Segment) -> tuple[Tensor, Tensor, Tensor]:
        """(B, L, 3·D) -> three of (B, heads, L, d)."""
        parts = qkv.unflatten(2, (3, self.heads, self.head_dim)).permute(2, 0, 3, 1, 4)  # (3, B, heads, L, d)
        query, key, value = parts.unbind(0)
        if any(self.rotary):
            angles = rotary_angles(segment.grid, self.head_dim, *self.rotary, device=qkv.device)
            query, key = (rotate(x, angles, segment.num_global_tokens) for x in (query, key))
        return query, key, value

    def _mask(self, segment: Segment, like: Tensor) -> Tensor | None:
        """Who may attend (bool), or what is added to the scores, of the dtype of ``like``; None = neither."""
        visible, bias = self._visible(segment, like.device), segment.bias
        if self.relative is not None:
            bias = self.relative(segment.grid, segment.num_global_tokens)
        if bias is None:
            return visible
        bias = bias[None].to(like.dtype)  # (1, heads, L, L)
        return bias if visible is None else bias.masked_fill(~visible, -math.inf)

    def _visible(self, segment: Segment, device: torch.device) -> Tensor | None:
        """(1 or B, 1, 1 or L, L) bool, True = may attend; None when everything may."""
        keys = key_mask(segment)
        visible = None if keys is None else keys[:, None, None]  # (B, 1, 1, L)
        if self.is_causal:
            causal = causal_mask(segment.grid, segment.num_global_tokens, device)
            visible = causal if visible is None else visible & causal
        return None if visible is None else open_empty_rows(visible)


class AxialAttention(nn.Module):
    """Patches attend along one axis of the grid and to the global tokens; global tokens attend to everything.

    Axial attention of Ho et al. 2019, at rows · columns · (rows + columns) instead of (rows · columns)². Axis
    "rows": all rows of one column attend to each other; axis "columns": all columns of one row, and in the
    causal scope only this and earlier ones.
    """

    def __init__(self, config: ViTConfig, axis: Axis) -> None:
        super().__init__()
        self.heads = config.heads
        self.head_dim = config.head_dim
        self.axis: Axis = axis
        self.is_causal_scope = config.scope == "causal"
        position = config.row_position if axis == "rows" else config.column_position
        self.rotary = (axis == "rows" and position == "rotary", axis == "columns" and position == "rotary")
        self.qkv = nn.Linear(config.dim, 3 * config.dim)
        self.proj = nn.Linear(config.dim, config.dim)

    def forward(self, flat: Tensor, segments: Sequence[Segment]) -> Tensor:
        """Flat packed tokens (T, D) -> (T, D)."""
        qkv = split(self.qkv(flat), segments)
        return self.proj(pack([self._attend(part, segment) for part, segment in zip(qkv, segments, strict=True)]))

    def _attend(self, qkv: Tensor, segment: Segment) -> Tensor:
        heads = qkv.unflatten(2, (3, self.heads, self.head_dim))  # (B, G + N, 3, heads, d)
        if any(self.rotary):
            angles = rotary_angles(segment.grid, self.head_dim, *self.rotary, device=qkv.device)
            query_key = rotate(heads[:, :, :2].permute(0, 2, 3, 1, 4), angles, segment.num_global_tokens)
            heads = torch.cat([query_key.permute(0, 3, 1, 2, 4), heads[:, :, 2:]], dim=2)
        patches = self._along_lines(heads, segment)
        if segment.num_global_tokens == 0:
            return patches
        return torch.cat([self._globally(heads, segment), patches], dim=1)

    def _globally(self, heads: Tensor, segment: Segment) -> Tensor:
        """The global tokens as queries on all observed tokens -> (B, G, D)."""
        query, key, value = heads.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, heads, G + N, d)
        keys = key_mask(segment)
        mask = None if keys is None else keys[:, None, None]
        attended = attend(query[:, :, : segment.num_global_tokens], key, value, mask)
        return attended.transpose(1, 2).flatten(2)

    def _along_lines(self, heads: Tensor, segment: Segment) -> Tensor:
        """The patches as queries on their line -> (B, N, D)."""
        batch, num_global, grid = segment.batch, segment.num_global_tokens, segment.grid
        cells = heads[:, num_global:].unflatten(1, (grid.rows, grid.columns))  # (B, R, C, 3, heads, d)
        along_rows = self.axis == "rows"
        order = (3, 0, 2, 4, 1, 5) if along_rows else (3, 0, 1, 4, 2, 5)
        lines = cells.permute(order).flatten(1, 2)  # (3, B·lines, heads, length, d)
        query, key, value = lines.unbind(0)
        num_lines, length = (grid.columns, grid.rows) if along_rows else (grid.rows, grid.columns)
        sees_global = num_global > 0 and not self.is_causal_scope
        if sees_global:
            shared = heads[:, :num_global, 1:].permute(2, 0, 3, 1, 4)  # (2, B, heads, G, d)
            shared = shared.unsqueeze(2).expand(-1, -1, num_lines, -1, -1, -1).flatten(1, 2)
            key, value = torch.cat([shared[0], key], dim=2), torch.cat([shared[1], value], dim=2)
        mask = self._line_mask(segment, length, num_global if sees_global else 0, heads.device)
        attended = attend(query, key, value, mask)  # (B·lines, heads, length, d)
        cells = attended.unflatten(0, (batch, num_lines))
        cells = cells.permute((0, 3, 1, 2, 4) if along_rows else (0, 1, 3, 2, 4))  # (B, R, C, heads, d)
        return cells.flatten(3).flatten(1, 2)

    def _line_mask(self, segment: Segment, length: int, num_shared: int, device: torch.device) -> Tensor | None:
        """(1 or B·lines, 1, 1 or length, G + length) bool, True = may attend; None when everything may."""
        visible = None
        if segment.valid is not None:
            cells = segment.valid.unflatten(1, (segment.grid.rows, segment.grid.columns))
            cells = cells.transpose(1, 2) if self.axis == "rows" else cells
            visible = cells.flatten(0, 1)[:, None, None]  # (B·lines, 1, 1, length)
        if self.is_causal_scope and self.axis == "columns":
            causal = torch.ones(length, length, dtype=torch.bool, device=device).tril()[None, None]
            visible = causal if visible is None else visible & causal
        if visible is None:
            return None
        return open_empty_rows(F.pad(visible, (num_shared, 0), value=True))


class OwnAttention(nn.Module):
    """Scope "patch": a token sees itself alone, so attention gives back its own value, and asks nothing."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.value = nn.Linear(config.dim, config.dim)
        self.proj = nn.Linear(config.dim, config.dim)

    def forward(self, flat: Tensor, segments: Sequence[Segment]) -> Tensor:
        """Flat packed tokens (T, D) -> (T, D)."""
        return self.proj(self.value(flat))


def build_attention(config: ViTConfig, index: int) -> nn.Module:
    """The attention of block ``index``, counted from 0: axial blocks alternate, rows first."""
    if config.scope == "patch":
        return OwnAttention(config)
    if config.attention == "joint":
        return JointAttention(config)
    return AxialAttention(config, "rows" if index % 2 == 0 else "columns")


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Scaled dot-product attention, (..., L, d); the mask is bool, True = may attend, or added to the scores.

    On a CPU in fp32 even where all else is bf16: PyTorch's gradient of the bf16 kernel is four times slower there.
    """
    if query.device.type != "cpu" or query.dtype != torch.bfloat16:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    mask = mask if mask is None or mask.dtype == torch.bool else mask.float()
    with torch.autocast("cpu", enabled=False):
        attended = F.scaled_dot_product_attention(query.float(), key.float(), value.float(), attn_mask=mask)
    return attended.to(query.dtype)


def key_mask(segment: Segment) -> Tensor | None:
    """(B, G + N) bool, True = may be attended to; None when every token may."""
    return None if segment.valid is None else F.pad(segment.valid, (segment.num_global_tokens, 0), value=True)


def causal_mask(grid: PatchGrid, num_global_tokens: int, device: torch.device) -> Tensor:
    """(1, 1, L, L) bool: a patch sees this and earlier columns; global tokens see all, none see them."""
    column = torch.arange(grid.columns, device=device).repeat(grid.rows)
    patches = column[:, None] >= column[None, :]
    to_patches = F.pad(patches, (0, 0, num_global_tokens, 0), value=True)  # (G + N, N)
    is_global = torch.arange(num_global_tokens + grid.num_patches, device=device) < num_global_tokens
    return torch.cat([is_global[:, None].expand(-1, num_global_tokens), to_patches], dim=1)[None, None]


def open_empty_rows(visible: Tensor) -> Tensor:
    """Let a query without any key (not observed itself) see all: a softmax over nothing is NaN.

    Some attention kernels give zeros there, but that is not promised on every device.
    """
    return visible | ~visible.any(dim=-1, keepdim=True)


def rotary_angles(grid: PatchGrid, head_dim: int, rows: bool, columns: bool, *, device: torch.device) -> Tensor:
    """(N, head_dim / 2) angles by which pairs of channels turn; both axes share the channels half and half.

    Integer patch positions, so that a turn depends on the distance in patches and any grid size is allowed.
    """
    pairs = head_dim // 2 // (int(rows) + int(columns))
    speed = ROTARY_BASE ** (-torch.arange(pairs, device=device, dtype=torch.float32) / pairs)
    along_rows = torch.arange(grid.rows, device=device, dtype=torch.float32)[:, None, None] * speed
    along_columns = torch.arange(grid.columns, device=device, dtype=torch.float32)[None, :, None] * speed
    shape = (grid.rows, grid.columns, pairs)
    turns = [turn.expand(shape) for turn, is_used in ((along_rows, rows), (along_columns, columns)) if is_used]
    return torch.cat(turns, dim=-1).flatten(0, 1)


def rotate(x: Tensor, angles: Tensor, num_global_tokens: int) -> Tensor:
    """Turn the channel pairs (i, i + d/2) of the patches in (..., G + N, d); global tokens stay."""
    sine, cosine = angles.sin(), angles.cos()
    prefix, patches = x[..., :num_global_tokens, :], x[..., num_global_tokens:, :]
    first, second = patches.float().chunk(2, dim=-1)
    turned = torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1).to(x.dtype)
    return torch.cat([prefix, turned], dim=-2) if num_global_tokens else turned
