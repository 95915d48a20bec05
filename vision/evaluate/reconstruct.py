"""What a masked model sees, what it makes of it, and what was there: pictures for MAE, SimMIM and dVAE."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vision.evaluate.pictures import Picture, montage, to_pictures
from vision.nn.grid import PatchGrid
from vision.targets import VARIANCE_EPS


def fill_in(
    images: Tensor, predicted: Tensor, index: Tensor, grid: PatchGrid, *, is_normalised: bool = False
) -> Tensor:
    """Images (B, C, H, W), NaN = not observed, with predicted patches (R, P) at their places ``index`` (R,) in B·N.

    What was not observed stays NaN.

    ``is_normalised``: what was predicted is a patch with mean 0 and variance 1 (MAE's normalised pixels); it gets the
    mean and the spread of the true patch, for the model never says them. Without that the picture is noise.
    """
    patches = grid.patchify(images)
    predicted = predicted.to(patches.dtype)
    if is_normalised:
        truth = patches.flatten(0, 1)[index]
        mean = truth.nanmean(dim=-1, keepdim=True)
        freedom = (~truth.isnan()).sum(dim=-1, keepdim=True).sub(1).clamp(min=1)
        variance = (truth - mean).square().nansum(dim=-1, keepdim=True) / freedom
        predicted = predicted * (variance + VARIANCE_EPS).sqrt() + mean
    filled = grid.unpatchify(patches.flatten(0, 1).index_copy(0, index, predicted).view_as(patches), images.shape[1])
    return filled.masked_fill(images.isnan(), torch.nan)


def hide(images: Tensor, hidden: Tensor, grid: PatchGrid) -> Tensor:
    """Images (B, C, H, W) whose hidden patches (B, N) bool, True = hidden, are NaN: grey in a picture."""
    patches = grid.patchify(images).masked_fill(hidden.unsqueeze(-1), torch.nan)
    return grid.unpatchify(patches, images.shape[1])


def reconstruction_picture(
    images: Tensor,
    rebuilt: Tensor,
    hidden: Tensor | None,
    grid: PatchGrid,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Picture:
    """A row per image: what the model saw, what it rebuilt, the original.

    Parameters
    ----------
    images, rebuilt : (B, C, H, W), normalised as in training; ``rebuilt`` from :func:`fill_in`, or a tokenizer's.
    hidden : (B, N) bool, True = hidden; None = nothing (dVAE), and the first column is left out.
    mean, std : undo the normalisation, see :func:`~vision.evaluate.pictures.to_pictures`; without them each picture
        is stretched by itself.
    """
    columns = [to_pictures(rebuilt, mean, std), to_pictures(images, mean, std)]
    if hidden is not None:
        columns.insert(0, to_pictures(hide(images, hidden, grid), mean, std))
    return montage(list(zip(*columns, strict=True)))
