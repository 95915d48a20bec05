"""What the loader gives and every method takes: views of a batch, what is hidden, what was observed."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

ROUND = 64  # the number of rows of a mask is a multiple of it where it varies, so that few shapes occur


class Mask(NamedTuple):
    """The hidden patches of B images in one list of R rows, as many as this batch hides, up to a round number."""

    hidden: Tensor  # (B, N) bool, True = hidden
    # (R,) long, places in B·N in their order; rows that are left over point at patches that are not hidden
    index: Tensor  # pyright: ignore[reportIncompatibleMethodOverride]
    weight: Tensor  # (R,) float32: 1 = counts in the loss, 0 = left over, or the patch was not observed
    num_masked: int  # M, the most patches that an image of any batch hides

    @classmethod
    def from_hidden(cls, hidden: Tensor, num_masked: int, patch_valid: Tensor | None = None) -> Mask:
        """List ``hidden`` (B, N), at most ``num_masked`` = M per image; runs in the loader, on the CPU.

        There are one row or more, and B·M where every image hides M. ``patch_valid`` (B, N), True = observed, gives
        hidden patches that were not observed the weight 0. Raises ValueError when an image hides more than M patches.
        """
        most = int(hidden.sum(dim=1).max()) if hidden.numel() else 0
        if most > num_masked or num_masked > hidden.shape[1]:
            expected = f"{most} (hidden in one image) to {hidden.shape[1]} (all patches)"
            raise ValueError(f"num_masked is {num_masked}, expected {expected}")
        rounded = -(-int(hidden.sum()) // ROUND) * ROUND
        num_rows = max(1, min(max(rounded, ROUND), len(hidden) * num_masked))
        index = hidden.flatten().to(torch.uint8).argsort(descending=True, stable=True)[:num_rows]
        counted = hidden if patch_valid is None else hidden & patch_valid
        return cls(hidden, index, counted.flatten()[index].to(torch.float32), num_masked)

    def share(self) -> Tensor:
        """(R,) float32, of each row in the mean over all images of the mean over their rows that count."""
        num_images, num_patches = self.hidden.shape
        image = self.index // num_patches
        counts = self.weight.new_zeros(num_images).index_add(0, image, self.weight)
        return self.weight / (counts.clamp(min=1)[image] * num_images)


class Batch(NamedTuple):
    """B samples seen in one or more crop sizes; every field but the last has one entry per crop size.

    A view tensor is view-major: the B samples of view 0, then the B samples of view 1, and so on.
    """

    views: tuple[Tensor, ...]  # each (V·B, C, H, W); crop sizes may differ in V, H and W
    masks: tuple[Mask | None, ...]  # each over V·B images; None = nothing is hidden
    valid: tuple[Tensor | None, ...]  # each (V·B, H, W) bool, True = observed; None = every pixel was
    batch_size: int  # B

    def num_views(self, crop: int) -> int:
        """Views per sample in crop size ``crop``."""
        return self.views[crop].shape[0] // self.batch_size
