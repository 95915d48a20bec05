"""Sequences of several lengths end to end, so that norms, linears and MLPs run once over all tokens of a
step.

Idea of DINOv3's ``forward_list``: only attention needs to know where a sequence ends, and runs once per crop
size.
"""

from __future__ import annotations

import itertools
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


def narrow(segments: Sequence[Segment], chosen: Sequence[Tensor]) -> list[Segment]:
    """The segments of some of their sequences (B'_i,) each."""
    return [
        segment._replace(batch=len(rows), valid=None if segment.valid is None else segment.valid[rows])
        for segment, rows in zip(segments, chosen, strict=True)
    ]


def places_of(chosen: Sequence[Tensor], segments: Sequence[Segment]) -> Tensor:
    """Where the tokens of some sequences (B'_i,) of each segment stand among the flat ones, in their order."""
    starts = itertools.accumulate((segment.num_tokens for segment in segments), initial=0)
    parts = [
        (start + rows[:, None] * segment.length + torch.arange(segment.length, device=rows.device)).flatten()
        for rows, segment, start in zip(chosen, segments, starts, strict=False)
    ]
    return torch.cat(parts)


def cut_tokens(flat: Tensor, segments: Sequence[Segment], is_cut: Sequence[bool]) -> Tensor:
    """Flat tokens without all but the first of each sequence in the segments that are cut."""
    return pack([part[:, :1] if cut else part for part, cut in zip(split(flat, segments), is_cut, strict=True)])


def cut_segments(segments: Sequence[Segment], is_cut: Sequence[bool]) -> list[Segment]:
    """The segments of :func:`cut_tokens`; a sequence that is cut is one token."""
    one = PatchGrid(1, 1, 1, 1)
    return [Segment(s.batch, one, 0, None) if cut else s for s, cut in zip(segments, is_cut, strict=True)]
