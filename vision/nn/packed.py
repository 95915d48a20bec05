"""Sequences of several lengths end to end, so that norms, linears and MLPs run once over all tokens of a
step.

Idea of DINOv3's ``forward_list``: only attention needs to know where a sequence ends, and runs once per crop
size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vision.nn.grid import PatchGrid


class Segment(NamedTuple):
    """``batch`` sequences of one crop size: G global tokens, then the N patches of ``grid``, row by row."""

    batch: int
    grid: PatchGrid
    num_global_tokens: int
    valid: Tensor | None  # (B, N) bool, True = observed: may be attended to; None = every patch may
    bias: Tensor | None = None  # (heads, L, L) added to the scores of joint attention in every block

    @property
    def length(self) -> int:
        """Tokens of one sequence, G + N."""
        return self.num_global_tokens + self.grid.num_patches

    @property
    def num_tokens(self) -> int:
        return self.batch * self.length


def pack(tokens: Sequence[Tensor]) -> Tensor:
    """Tokens (B_i, L_i, D) of every segment -> flat (sum of B_i·L_i, D)."""
    flat = [item.flatten(0, 1) for item in tokens]
    return flat[0] if len(flat) == 1 else torch.cat(flat)


def split(flat: Tensor, segments: Sequence[Segment]) -> list[Tensor]:
    """Flat (sum of B_i·L_i, ...) -> per segment (B_i, L_i, ...), as views: the inverse of :func:`pack`."""
    parts = flat.split([segment.num_tokens for segment in segments])
    return [part.unflatten(0, (segment.batch, segment.length)) for part, segment in zip(parts, segments, strict=True)]
