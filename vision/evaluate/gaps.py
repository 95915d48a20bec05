"""Gaps: what was not observed is NaN in images until a network reads them, and takes no part from there on."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from vision.nn.grid import PatchGrid


class Observed(NamedTuple):
    """Images as networks take them."""

    images: Tensor  # (B, C, H, W), 0 where not observed
    pixels: Tensor | None  # (B, H, W) bool, True = observed; None = all
    patches: Tensor | None  # (B, N) bool, True = a pixel of it was observed; None = all


def split_gaps(images: Tensor, patch_size: tuple[int, int], has_gaps: bool | None = None) -> Observed:
    """Images (B, C, H, W) and what of them was observed: a pixel that is NaN in any channel was not.

    ``has_gaps`` : False = no pixel is NaN; None = look, for which the host waits for the device.
    """
    if has_gaps is None:
        has_gaps = bool(images.isnan().any())
    if not has_gaps:
        return Observed(images, None, None)
    pixels = ~images.isnan().any(dim=1)
    grid = PatchGrid.of(images.shape[-2], images.shape[-1], patch_size)
    return Observed(torch.where(pixels[:, None], images, 0.0), pixels, grid.pool_any(pixels))


def mean_patch(states: Tensor, seen: Tensor | None) -> Tensor:
    """States (B, N, D) of patches -> their mean (B, D) over those that were observed, ``seen`` (B, N) or None = all."""
    if seen is None:
        return states.mean(dim=1)
    total = torch.where(seen.unsqueeze(-1), states, 0.0).sum(dim=1)
    return total / seen.sum(dim=1, keepdim=True).clamp(min=1)


def nan_if_unseen(features: Tensor, seen: Tensor | None) -> Tensor:
    """Features (B, F), NaN of an image without any observed patch, ``seen`` (B, N) or None = all."""
    return features if seen is None else features.masked_fill(~seen.any(dim=1, keepdim=True), torch.nan)
