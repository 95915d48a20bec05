"""The vision transformer: embed, then encode. It knows no masks: a mask token belongs to its method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vision.config import ViTConfig
from vision.nn.block import Block
from vision.nn.embed import PatchEmbed, Positions
from vision.nn.grid import PatchGrid
from vision.nn.packed import Segment, cut_segments, pack, split
from vision.nn.relative import RelativePositionBias


class Encoded(NamedTuple):
    """What the transformer says about one segment of B images."""

    cls: Tensor | None  # (B, D) after the final norm, if there is one; None without a CLS token
    patches: Tensor  # (B, N, D) after the final norm
    layers: dict[int, Tensor]  # block number, counted from 1 -> patch states (B, N, D) after it, not normed
    cls_raw: Tensor | None  # (B, D) CLS after the last block, before the final norm
    cls_layers: dict[int, Tensor]  # as layers: block number -> CLS (B, D) after it; empty without a CLS token


class VisionTransformer(nn.Module):
    """A pre-norm ViT (Dosovitskiy et al. 2021) on rectangular grids, with joint or axial attention.

    Differences from the usual one: any grid size and several at once, packed end to end; positions are added
    in :meth:`encode`, so a method may put its mask token in place before; patches that were not observed are
    never attended to; global tokens (CLS, registers) carry no position.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        self.positions = Positions(config)
        self.relative = RelativePositionBias(config) if config.relative_position == "shared" else None
        self.cls_token = nn.Parameter(torch.empty(1, config.dim)) if config.has_cls else None
        self.registers = nn.Parameter(torch.empty(config.num_registers, config.dim)) if config.num_registers else None
        self.blocks = nn.ModuleList(Block(config, index) for index in range(config.depth))
        self.norm = nn.LayerNorm(config.dim, eps=config.norm_eps) if config.final_norm else nn.Identity()
        self.blocks.apply(init_weights)
        if self.cls_token is not None:
            nn.init.trunc_normal_(self.cls_token, std=0.02)
        if self.registers is not None:
            nn.init.normal_(self.registers, std=1e-6)  # DINOv2 with registers

    def grid(self, images: Tensor) -> PatchGrid:
        """The patch grid of images (..., H, W). Raises ValueError if patches do not fill them."""
        return PatchGrid.of(images.shape[-2], images.shape[-1], self.config.patch_size)

    def embed(self, images: Tensor, valid: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W), observed pixels (B, H, W) bool or None -> tokens (B, N, D), not placed yet."""
        return self.patch_embed(images, valid)

    def segment(self, batch: int, grid: PatchGrid, valid: Tensor | None) -> Segment:
        """``batch`` sequences on ``grid`` as the blocks read them; ``valid``: observed patches (B, N) or None."""
        num_global = self.config.num_global_tokens
        bias = None if self.relative is None else self.relative(grid, num_global)
        return Segment(batch, grid, num_global, valid, bias)

    def encode(
        self,
        tokens: Sequence[Tensor],
        grids: Sequence[PatchGrid],
        valid: Sequence[Tensor | None] | None = None,
        layers: Sequence[int] = (),
        only_cls: Sequence[bool] | None = None,
    ) -> list[Encoded]:
        """Tokens (B_i, N_i, D) of each segment -> what the blocks make of them, per segment.

        ``valid`` holds observed patches (B_i, N_i) bool, or None for all; ``layers`` the blocks, counted from
        1, whose patch states are wanted as well. Of a segment that is ``only_cls`` nothing but CLS is asked for: the
        last block does not work on its patches, of which there may then be none.
        """
        observed = [None] * len(tokens) if valid is None else valid
        segments = [
            self.segment(part.shape[0], grid, seen) for part, grid, seen in zip(tokens, grids, observed, strict=True)
        ]
        placed = [self.positions(part, grid) for part, grid in zip(tokens, grids, strict=True)]
        is_cut = only_cls if self.config.has_cls and self.config.attention == "joint" else None
        return self._through_blocks(placed, segments, layers, is_cut)

    def encode_kept(self, tokens: Tensor, grid: PatchGrid, kept: Tensor, valid: Tensor | None = None) -> Encoded:
        """Tokens (B, N, D) take their places on ``grid``, then all but ``kept`` (B, K) long are dropped (MAE, §3).

        ``valid`` (B, N) bool as in :meth:`encode`. The patches come back as (B, K, D), in the order of ``kept``.
        For joint attention of scope "window" whose positions are added to tokens: anything else needs the
        whole grid, and who drops patches refuses it.
        """
        placed = self.positions(tokens, grid).gather(1, kept.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))
        row = PatchGrid(1, kept.shape[1], grid.patch_height, grid.patch_width)
        seen = None if valid is None else valid.gather(1, kept)
        segment = Segment(kept.shape[0], row, self.config.num_global_tokens, seen)
        return self._through_blocks([placed], [segment], ())[0]

    def _through_blocks(
        self,
        placed: Sequence[Tensor],
        segments: Sequence[Segment],
        layers: Sequence[int],
        is_cut: Sequence[bool] | None = None,
    ) -> list[Encoded]:
        """Tokens that have their positions, per segment (B_i, N_i, D) -> what the blocks make of them."""
        num_global = self.config.num_global_tokens
        flat = pack([self._with_global(part) for part in placed])
        states: dict[int, list[Tensor]] = {}
        for number, block in enumerate(self.blocks, start=1):
            if is_cut is not None and number == len(self.blocks):
                flat, segments = block(flat, segments, is_cut), cut_segments(segments, is_cut)
            else:
                flat = block(flat, segments)
            if number in layers:
                states[number] = split(flat, segments)
        raw, normed = split(flat, segments), split(self.norm(flat), segments)
        has_cls = self.config.has_cls
        return [
            Encoded(
                cls=normed[i][:, 0] if has_cls else None,
                patches=normed[i][:, num_global:],
                layers={number: parts[i][:, num_global:] for number, parts in states.items()},
                cls_raw=raw[i][:, 0] if has_cls else None,
                cls_layers={number: parts[i][:, 0] for number, parts in states.items()} if has_cls else {},
            )
            for i in range(len(segments))
        ]

    def forward(self, images: Tensor, valid: Tensor | None = None, *, only_cls: bool = False) -> Encoded:
        """Images (B, C, H, W), observed pixels (B, H, W) bool or None -> their encoding, nothing hidden.

        ``only_cls`` as in :meth:`encode`.
        """
        grid = self.grid(images)
        seen = None if valid is None else grid.pool_any(valid)
        return self.encode([self.embed(images, valid)], [grid], [seen], only_cls=[True] if only_cls else None)[0]

    def _with_global(self, tokens: Tensor) -> Tensor:
        """Put CLS, then registers, before the patches: (B, N, D) -> (B, G + N, D), in the type of the weights.

        Under autocast the projection gives bfloat16 and a position need not be added: what blocks add up is then
        float32 all the same, as in the official codes, where CLS, of that type, is joined to the patches.
        """
        tokens = tokens.to(self.patch_embed.projection.weight.dtype)
        prefix = [part for part in (self.cls_token, self.registers) if part is not None]
        expanded = [part.expand(tokens.shape[0], -1, -1) for part in prefix]
        return torch.cat([*expanded, tokens], dim=1) if expanded else tokens


def init_weights(module: nn.Module) -> None:
    """Linear weights from a normal of std .02 cut at ±2 (absolute, as in DINO, iBOT and DINOv2), biases 0."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
