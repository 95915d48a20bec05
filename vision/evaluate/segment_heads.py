"""Segmentation heads on a vision transformer: linear (DINOv2) and a UPerNet-like pyramid (BEiT, iBOT)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision.evaluate.config import SegmentConfig
from vision.evaluate.gaps import split_gaps
from vision.nn.vit import VisionTransformer

POOLED = (1, 2, 3, 6)  # cells a side of the pooled context, UPerNet's


class LinearHead(nn.Module):
    """Batch norm and one weight per class and channel (DINOv2, ``eval/segmentation/models/decode_heads``)."""

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(dim)
        self.head = nn.Conv2d(dim, num_classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """The last of the maps (B, D, R, C) -> logits (B, classes, R, C)."""
        return self.head(self.norm(maps[-1]))


class UPerHead(nn.Module):
    """A feature pyramid over four blocks with pooled context on top (UPerNet, Xiao et al. 2018, §3).

    A ViT has one resolution: as in BEiT's ``semantic_segmentation`` the four maps are brought to 4, 2, 1 and ½
    times it first.
    """

    def __init__(self, dim: int, hidden_dim: int, num_classes: int) -> None:
        super().__init__()
        up = nn.ConvTranspose2d
        self.scales = nn.ModuleList(
            [
                nn.Sequential(up(dim, dim, 2, 2), nn.BatchNorm2d(dim), nn.GELU(), up(dim, dim, 2, 2)),
                up(dim, dim, 2, 2),
                nn.Identity(),
                nn.MaxPool2d(2, ceil_mode=True),
            ]
        )
        self.pooled = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(cells), _convolution(dim, hidden_dim, 1)) for cells in POOLED
        )
        self.context = _convolution(dim + len(POOLED) * hidden_dim, hidden_dim, 3)
        self.laterals = nn.ModuleList(_convolution(dim, hidden_dim, 1) for _ in range(3))
        self.smooth = nn.ModuleList(_convolution(hidden_dim, hidden_dim, 3) for _ in range(3))
        self.fuse = _convolution(4 * hidden_dim, hidden_dim, 3)
        self.head = nn.Conv2d(hidden_dim, num_classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Four maps (B, D, R, C), the earliest block first -> logits (B, classes, 4·R, 4·C)."""
        scaled = [scale(part) for scale, part in zip(self.scales, maps, strict=True)]
        top = scaled[-1]
        around = [resize(pool(top), top.shape[-2:]) for pool in self.pooled]
        levels = [self.context(torch.cat([top, *around], dim=1))]  # the coarsest first
        for lateral, part in zip(reversed(self.laterals), reversed(scaled[:-1]), strict=True):
            levels.append(lateral(part) + resize(levels[-1], part.shape[-2:]))
        smooth = [levels[0], *[layer(level) for layer, level in zip(self.smooth, levels[1:], strict=True)]]
        fine = smooth[-1].shape[-2:]
        return self.head(self.fuse(torch.cat([resize(level, fine) for level in smooth], dim=1)))


class Segmenter(nn.Module):
    """An encoder and a segmentation head. Images (B, C, H, W), NaN = not observed -> logits (B, classes, H, W).

    The linear head reads the last block's normed patches; the pyramid the patches after each quarter of the
    blocks, as they are. A frozen encoder stays in eval mode and gets no gradient.
    """

    def __init__(self, encoder: VisionTransformer, num_classes: int, config: SegmentConfig) -> None:
        super().__init__()
        depth, dim = encoder.config.depth, encoder.config.dim
        self.encoder = encoder
        self.is_frozen = config.is_encoder_frozen
        self.blocks = () if config.head == "linear" else tuple(-(-depth * quarter // 4) for quarter in (1, 2, 3, 4))
        is_linear = config.head == "linear"
        self.head = LinearHead(dim, num_classes) if is_linear else UPerHead(dim, config.hidden_dim, num_classes)
        encoder.requires_grad_(not self.is_frozen)

    def train(self, mode: bool = True) -> Segmenter:
        super().train(mode)
        self.encoder.train(mode and not self.is_frozen)
        return self

    def forward(self, images: Tensor, has_gaps: bool | None = None) -> Tensor:
        """``has_gaps`` as in :func:`vision.evaluate.gaps.split_gaps`."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.is_frozen):
            maps = self._maps(images, has_gaps)
        return resize(self.head(maps), images.shape[-2:])

    def _maps(self, images: Tensor, has_gaps: bool | None) -> list[Tensor]:
        """Maps (B, D, R, C) of the patches."""
        images, pixels, seen = split_gaps(images, self.encoder.config.patch_size, has_gaps)
        grid, tokens = self.encoder.grid(images), self.encoder.embed(images, pixels)
        encoded = self.encoder.encode([tokens], [grid], [seen], layers=self.blocks)[0]
        parts = [encoded.layers[number] for number in self.blocks] or [encoded.patches]
        return [part.transpose(1, 2).unflatten(2, (grid.rows, grid.columns)) for part in parts]


def resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Maps (B, C, h, w) -> (B, C, *size), bilinearly."""
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)


def _convolution(dim_in: int, dim_out: int, size: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(dim_in, dim_out, size, padding=size // 2, bias=False), nn.BatchNorm2d(dim_out), nn.ReLU()
    )
