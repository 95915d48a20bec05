"""A small transformer from codes or visible tokens back to what they stand for."""

from __future__ import annotations

from torch import Tensor, nn

from vision.config import Attention, Position, RelativePosition, Scope, ViTConfig
from vision.nn.grid import PatchGrid
from vision.nn.vit import VisionTransformer, init_weights


class TokenDecoder(nn.Module):
    """Vectors per patch (B, N, d) -> predictions per patch (B, N, out_dim).

    A ViT with patches of one "pixel" on the grid of vectors, then Linear, Tanh, Linear: the decoder and
    ``decode_task_layer`` of VQ-KD (BEiT v2, ``modeling_vqkd``). With scope "patch" a prediction is a function
    of its own vector alone, if positions are "none".
    """

    def __init__(
        self,
        dim_in: int,
        dim: int,
        depth: int,
        heads: int,
        out_dim: int,
        *,
        attention: Attention = "joint",
        scope: Scope = "window",
        row_position: Position = "sincos",
        column_position: Position = "sincos",
        relative_position: RelativePosition = "none",
        max_rows: int = 14,
        max_columns: int = 14,
        mlp_ratio: float = 4.0,
        has_cls: bool = False,
    ) -> None:
        super().__init__()
        self.vit = VisionTransformer(
            ViTConfig(
                patch_size=(1, 1),
                in_channels=dim_in,
                dim=dim,
                depth=depth,
                heads=heads,
                mlp_ratio=mlp_ratio,
                attention=attention,
                scope=scope,
                row_position=row_position,
                column_position=column_position,
                relative_position=relative_position,
                max_rows=max_rows,
                max_columns=max_columns,
                has_cls=has_cls,
            )
        )
        self.task = nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, out_dim))
        self.task.apply(init_weights)

    def forward(self, vectors: Tensor, grid: PatchGrid, valid: Tensor | None = None) -> Tensor:
        """Vectors (B, N, d) on ``grid``, observed patches (B, N) bool or None for all -> (B, N, out_dim)."""
        images = vectors.transpose(1, 2).unflatten(2, (grid.rows, grid.columns))  # (B, d, R, C)
        observed = None if valid is None else valid.unflatten(1, (grid.rows, grid.columns))
        return self.task(self.vit(images, observed).patches)
