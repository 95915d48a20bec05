"""A pre-norm transformer block on packed tokens (Dosovitskiy et al. 2021): stochastic depth, LayerScale."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision.config import ViTConfig
from vision.nn.attention import build_attention
from vision.nn.packed import Segment, cut_segments, cut_tokens, narrow, places_of

FACTOR = torch.float32  # a branch in bfloat16 would round its own scale, the same way at every step
MOST_DRAWN_EACH = 0.1  # rate of stochastic depth; above it the work saved is worth the copies (DINOv2)


class MLP(nn.Sequential):
    """Linear, GELU (erf), Linear on (..., D)."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__(nn.Linear(dim, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, dim))


class SwiGLU(nn.Sequential):
    """Linear to twice the hidden width, SiLU of one half times the other, Linear (Shazeer 2020; DINOv2)."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__(nn.Linear(dim, 2 * hidden_dim), Gate(), nn.Linear(hidden_dim, dim))


class Gate(nn.Module):
    """(..., 2·H) -> (..., H): the first half through SiLU opens the second."""

    def forward(self, x: Tensor) -> Tensor:
        gate, value = x.chunk(2, dim=-1)
        return F.silu(gate) * value


class LayerScale(nn.Module):
    """A learned factor per channel on a residual branch (CaiT, Touvron et al. 2021)."""

    def __init__(self, dim: int, initial: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), initial))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class DropPath(nn.Module):
    """Stochastic depth (Huang et al. 2016), in training only: drop the branch of whole sequences, scale the rest up.

    Up to a rate of .1 each sequence is drawn for itself. Above it so many of each segment keep the branch, at least
    one, and it is computed for these alone (DINOv2, ``layers/block.py``: drop_add_residual_stochastic_depth).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def choose(self, segments: Sequence[Segment], device: torch.device) -> list[Tensor] | None:
        """The sequences (B',) of each segment that the branch is computed for; None = all."""
        if not self.training or self.rate <= MOST_DRAWN_EACH:
            return None
        numbers = [max(int(segment.batch * (1.0 - self.rate)), 1) for segment in segments]
        return [torch.randperm(s.batch, device=device)[:number] for s, number in zip(segments, numbers, strict=True)]

    def forward(
        self, flat: Tensor, branch: Tensor, segments: Sequence[Segment], chosen: Sequence[Tensor] | None
    ) -> Tensor:
        """Flat packed tokens (T, D) and the branch of them, or of those chosen (T', D) -> their sum (T, D)."""
        if not self.training or self.rate == 0.0:
            return flat + branch
        if chosen is not None:
            counts = [(len(rows), segment) for rows, segment in zip(chosen, segments, strict=True)]
            factors = [flat.new_full((n * segment.length,), segment.batch / n, dtype=FACTOR) for n, segment in counts]
            scaled = branch * torch.cat(factors)[:, None]
            return flat.index_add(0, places_of(chosen, segments), scaled.to(flat.dtype))
        kept = 1.0 - self.rate
        num_sequences = sum(segment.batch for segment in segments)
        drawn = flat.new_empty(num_sequences, dtype=FACTOR).bernoulli_(kept).div_(kept)
        factors = drawn.split([segment.batch for segment in segments])
        per_token = [f[:, None].expand(-1, s.length).flatten() for f, s in zip(factors, segments, strict=True)]
        return flat + (branch * torch.cat(per_token)[:, None]).to(flat.dtype)


class Block(nn.Module):
    """``x + attention(norm(x))``, then ``x + mlp(norm(x))``; all but attention runs once over all."""

    def __init__(self, config: ViTConfig, index: int, drop_path: float | None = None) -> None:
        """``index`` counts blocks from 0: it picks the axis of axial attention and, where ``drop_path`` is
        not given, the rate: ``config.drop_path``, or a share of it on the line from 0 in the first block.
        """
        super().__init__()
        share = index / max(config.depth - 1, 1) if config.drop_path_shape == "linear" else 1.0
        rate = config.drop_path * share if drop_path is None else drop_path
        self.norm1 = nn.LayerNorm(config.dim, eps=config.norm_eps)
        self.attention = build_attention(config, index)
        self.scale1 = nn.Identity() if config.layer_scale is None else LayerScale(config.dim, config.layer_scale)
        self.drop1 = DropPath(rate)
        self.norm2 = nn.LayerNorm(config.dim, eps=config.norm_eps)
        self.mlp = (MLP if config.mlp == "gelu" else SwiGLU)(config.dim, config.mlp_dim)
        self.scale2 = nn.Identity() if config.layer_scale is None else LayerScale(config.dim, config.layer_scale)
        self.drop2 = DropPath(rate)

    def forward(self, flat: Tensor, segments: Sequence[Segment], is_cut: Sequence[bool] | None = None) -> Tensor:
        """Flat packed tokens (T, D) of all segments -> (T, D); of those that are cut the first token of each sequence
        alone, which only joint attention can do.
        """
        chosen = self.drop1.choose(segments, flat.device)
        some, parts = (flat, segments) if chosen is None else (_take(flat, segments, chosen), narrow(segments, chosen))
        attended = self.attention(self.norm1(some), parts, *([] if is_cut is None else [is_cut]))
        if is_cut is not None:
            flat, segments = cut_tokens(flat, segments, is_cut), cut_segments(segments, is_cut)
        flat = self.drop1(flat, self.scale1(attended), segments, chosen)
        chosen = self.drop2.choose(segments, flat.device)
        some = flat if chosen is None else _take(flat, segments, chosen)
        return self.drop2(flat, self.scale2(self.mlp(self.norm2(some))), segments, chosen)


def _take(flat: Tensor, segments: Sequence[Segment], chosen: Sequence[Tensor]) -> Tensor:
    return flat.index_select(0, places_of(chosen, segments))
