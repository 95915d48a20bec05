"""From pixels to tokens, and where a token is: patch projection and positions per axis."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision.config import ViTConfig
from vision.nn.grid import PatchGrid

SINCOS_BASE = 10_000.0  # MAE, ``util/pos_embed.py``


class PatchEmbed(nn.Module):
    """A linear projection of patches: the strided convolution of ViT, on any channel count and rectangle.

    Pixels that were not observed are set to 0 before it, whatever they hold (NaN included). With
    ``observed_channel`` the mask itself is one more channel. Keeps PyTorch's default initialisation, as DINO,
    iBOT and DINOv2 do.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        self.in_channels = config.in_channels
        self.observed_channel = config.observed_channel
        channels = config.in_channels + int(config.observed_channel)
        self.projection = nn.Linear(channels * config.patch_size[0] * config.patch_size[1], config.dim)

    def forward(self, images: Tensor, observed: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) of any floating type, observed pixels (B, H, W) bool or None for all -> tokens (B, N, D).

        Raises ValueError for images of another shape or type, or of other channels.
        """
        if images.ndim != 4 or not images.is_floating_point():
            given = f"{str(images.dtype).removeprefix('torch.')} of shape {tuple(images.shape)}"
            raise ValueError(f"images are {given}, expected floating point of shape (B, {self.in_channels}, H, W)")
        images = images.to(self.projection.weight.dtype)
        if images.shape[1] != self.in_channels:
            raise ValueError(f"images have {images.shape[1]} channels, this model takes {self.in_channels}")
        if observed is not None:
            images = torch.where(observed[:, None], images, torch.zeros((), dtype=images.dtype, device=images.device))
        if self.observed_channel:
            flag = torch.ones_like(images[:, :1]) if observed is None else observed[:, None].to(images.dtype)
            images = torch.cat([images, flag], dim=1)
        grid = PatchGrid.of(images.shape[2], images.shape[3], self.patch_size)
        return self.projection(grid.patchify(images))


class Positions(nn.Module):
    """The position of every patch, the sum of what its row and its column say; "none" and "rotary" add
    nothing.

    Two sin-cos axes share the channels as in MAE: the first half is the column's, the second the row's; a larger
    grid goes on counting (MAE resizes them as a table: :func:`vision.convert.resize.resize_positions`). A single
    sin-cos axis has all channels. "learned" is a table per axis whose first entries serve a smaller
    grid; "table" one vector per patch (ViT, DINO, DINOv2), resized bicubically to any other grid. (The official
    DINO and DINOv2 resize by a factor that is a little too large: an offset of .1 against rounding. Hugging
    Face's, like ours, do not.) With registers the resizing is smoothed against aliasing, as DINOv2 does there.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        kinds = (config.row_position, config.column_position)
        self.has_sincos_rows, self.has_sincos_columns = (kind == "sincos" for kind in kinds)
        num_sincos = kinds.count("sincos")
        self.sincos_dim = config.dim // num_sincos if num_sincos else 0  # channels of one axis
        self.rows = _table(config.max_rows, config.dim) if kinds[0] == "learned" else None
        self.columns = _table(config.max_columns, config.dim) if kinds[1] == "learned" else None
        whole = (config.max_rows, config.max_columns, config.dim)
        self.table = _table(*whole) if kinds[0] == "table" else None
        self.is_smoothed = config.num_registers > 0  # dinov2, hub/backbones.py: interpolate_antialias

    def forward(self, tokens: Tensor, grid: PatchGrid) -> Tensor:
        """Tokens (B, N, D) -> (B, N, D) with positions added. Raises ValueError beyond a learned table."""
        shape = (grid.rows, grid.columns, -1)
        parts = []
        if self.has_sincos_columns:
            parts.append(sincos(grid.columns, self.sincos_dim, tokens.device)[None].expand(shape))
        if self.has_sincos_rows:
            parts.append(sincos(grid.rows, self.sincos_dim, tokens.device)[:, None].expand(shape))
        if parts:
            table = torch.cat(parts, dim=-1).flatten(0, 1)
            tokens = tokens + (table if _is_mixed(tokens.device.type) else table.to(tokens.dtype))
        if self.rows is not None:
            tokens = tokens + _take(self.rows, grid.rows, "max_rows")[:, None].expand(shape).flatten(0, 1)
        if self.columns is not None:
            tokens = tokens + _take(self.columns, grid.columns, "max_columns")[None].expand(shape).flatten(0, 1)
        if self.table is not None:
            tokens = tokens + resize_table(self.table, grid, self.is_smoothed).flatten(0, 1)
        return tokens


def resize_table(table: Tensor, grid: PatchGrid, is_smoothed: bool) -> Tensor:
    """Positions (R, C, D) -> (grid.rows, grid.columns, D), bicubically; as they are where nothing changes.

    ``is_smoothed``: against aliasing, so that a smaller table is made of wider neighbourhoods.
    """
    size = (grid.rows, grid.columns)
    if table.shape[:2] == size:
        return table
    planes = table.permute(2, 0, 1)[None].float()  # (1, D, R, C)
    resized = F.interpolate(planes, size, mode="bicubic", align_corners=False, antialias=is_smoothed)
    return resized[0].permute(1, 2, 0).to(table.dtype)


def sincos(length: int, dim: int, device: torch.device) -> Tensor:
    """(length, dim): positions 0, 1, 2, … as ``dim / 2`` sines, then cosines (Vaswani et al. 2017)."""
    speed = SINCOS_BASE ** (-torch.arange(dim // 2, device=device, dtype=torch.float32) / (dim // 2))
    angle = torch.arange(length, device=device, dtype=torch.float32)[:, None] * speed
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def _is_mixed(device: str) -> bool:
    """Whether operations choose their precision: what blocks add up then stays float32, as in MAE's own code."""
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)  # "meta" knows none


def _table(*shape: int) -> nn.Parameter:
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=0.02))


def _take(table: Tensor, length: int, name: str) -> Tensor:
    if length > table.shape[0]:
        raise ValueError(f"grid has {length} patches along an axis, learned positions end at {name} = {table.shape[0]}")
    return table[:length]
