"""A tokenizer whose codebook learns by gradient: the code of a patch is the nearest row to its feature."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision.config import ViTConfig
from vision.nn.codebook import nearest_row
from vision.nn.grid import PatchGrid
from vision.nn.tokenizer import VisualTokenizer
from vision.nn.vit import VisionTransformer, init_weights


class NearestCodeTokenizer(VisualTokenizer):
    """q = argmin_{e in E} ‖f − e‖₂ (van den Oord et al. 2017, eq. 1), with E a parameter (K, d).

    Features have unit length, so that distances have one scale; rows are free. All distances are float32.
    """

    def __init__(self, encoder: ViTConfig, num_codes: int, code_dim: int) -> None:
        super().__init__()
        self.encoder = VisionTransformer(encoder)
        self.task = nn.Sequential(nn.Linear(encoder.dim, encoder.dim), nn.Tanh(), nn.Linear(encoder.dim, code_dim))
        self.task.apply(init_weights)
        self.codebook = nn.Parameter(F.normalize(torch.randn(num_codes, code_dim), dim=-1))

    @property
    def num_codes(self) -> int:
        return self.codebook.shape[0]

    @property
    def patch_size(self) -> tuple[int, int]:
        return self.encoder.config.patch_size

    def encode(self, tokens: Tensor, grid: PatchGrid, valid: Tensor | None = None) -> Tensor:
        """Embedded tokens (B, N, D), observed patches (B, N) bool or None -> features (B, N, d)."""
        patches = self.encoder.encode([tokens], [grid], [valid])[0].patches
        with torch.autocast(device_type=patches.device.type, enabled=False):
            return F.normalize(self.task(patches.to(self.codebook.dtype)), dim=-1)

    def features(self, images: Tensor, valid: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W), observed pixels (B, H, W) bool or None -> features (B, N, d)."""
        grid = self.encoder.grid(images)
        return self.encode(self.encoder.embed(images, valid), grid, None if valid is None else grid.pool_any(valid))

    @torch.no_grad()
    def nearest(self, features: Tensor) -> Tensor:
        """Features (..., d) -> codes (...) long."""
        with torch.autocast(device_type=features.device.type, enabled=False):
            return nearest_row(features, self.codebook)

    def logits(self, features: Tensor, temperature: float) -> Tensor:
        """Features (..., d) -> −‖f − e_k‖² / temperature (..., K): the nearest code has the largest."""
        with torch.autocast(device_type=features.device.type, enabled=False):
            squares = self.codebook.square().sum(dim=-1)  # (K,)
            distances = features.square().sum(dim=-1, keepdim=True) - 2 * features @ self.codebook.T + squares
            return -distances / temperature

    @torch.no_grad()
    def codes(self, images: Tensor, valid: Tensor | None = None) -> Tensor:
        """The nearest row of each patch's feature, (B, N) long."""
        return self.nearest(self.features(images, valid))


def codebook_loss(features: Tensor, rows: Tensor, beta: float) -> Tensor:
    """‖z − sg(e)‖² + β ‖sg(z) − e‖² of features z and their rows e, both (..., d) -> (...).

    sg stops the gradient: the first term draws features to their rows, the second rows to their features.
    """
    drawn = (features - rows.detach()).square().sum(dim=-1)
    return drawn + beta * (features.detach() - rows).square().sum(dim=-1)
