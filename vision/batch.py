"""What the loader gives and every method takes: views of a batch, what is hidden, what was observed."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Mask(NamedTuple):
    """The hidden patches of B images, with index tensors of constant length: no shape depends on the draw."""

    hidden: Tensor  # (B, N) bool, True = hidden
    # (B, M) long, the hidden patches; what is left over points at patches that are not hidden
    index: Tensor  # pyright: ignore[reportIncompatibleMethodOverride]
    weight: Tensor  # (B, M) float32: 1 = counts in the loss, 0 = padding, or the patch was not observed

    @classmethod
    def from_hidden(cls, hidden: Tensor, num_masked: int, patch_valid: Tensor | None = None) -> Mask:
        """Index ``hidden`` (B, N) in ``num_masked`` = M places per image; runs in the loader, on the CPU.

        ``patch_valid`` (B, N), True = observed, gives hidden patches that were not observed the weight 0.
        Raises ValueError when an image hides more than M patches.
        """
        most = int(hidden.sum(dim=1).max()) if hidden.numel() else 0
        if most > num_masked or num_masked > hidden.shape[1]:
            expected = f"{most} (hidden in one image) to {hidden.shape[1]} (all patches)"
            raise ValueError(f"num_masked is {num_masked}, expected {expected}")
        index = hidden.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :num_masked]
        counted = hidden if patch_valid is None else hidden & patch_valid
        return cls(hidden, index, counted.gather(1, index).to(torch.float32))


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
