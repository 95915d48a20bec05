"""A small transformer from codes or visible tokens back to what they stand for."""

from __future__ import annotations

from torch import Tensor, nn

from vision.config import ViTConfig
from vision.nn.grid import PatchGrid
from vision.nn.vit import VisionTransformer, init_weights


class TokenDecoder(nn.Module):
    """Vectors per patch (B, N, d) -> predictions per patch (B, N, out_dim).

    A ViT with patches of one "pixel" on the grid of vectors, then Linear, Tanh, Linear: the decoder and
    ``decode_task_layer`` of VQ-KD (BEiT v2, ``modeling_vqkd``). With scope "patch" a prediction is a function
    of its own vector alone, if positions are "none".

    Parameters
    ----------
    encoder : whose attention, scope, positions and MLPs it has.
    dim_in : d.
    depth : blocks.
    out_dim : of a prediction.
    dim, heads : of the decoder; None = the encoder's.
    """

    def __init__(
        self,
        encoder: ViTConfig,
        dim_in: int,
        depth: int,
        out_dim: int,
        *,
        dim: int | None = None,
        heads: int | None = None,
    ) -> None:
        super().__init__()
        dim = dim or encoder.dim
        self.vit = VisionTransformer(
            ViTConfig(
                patch_size=(1, 1),
                in_channels=dim_in,
                dim=dim,
                depth=depth,
                heads=heads or encoder.heads,
                mlp_ratio=encoder.mlp_ratio,
                attention=encoder.attention,
                scope=encoder.scope,
                row_position=encoder.row_position,
                column_position=encoder.column_position,
                relative_position=encoder.relative_position,
                max_rows=encoder.max_rows,
                max_columns=encoder.max_columns,
                has_cls=False,
            )
        )
        self.task = nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, out_dim))
        self.task.apply(init_weights)

    def forward(self, vectors: Tensor, grid: PatchGrid, valid: Tensor | None = None) -> Tensor:
        """Vectors (B, N, d) on ``grid``, observed patches (B, N) bool or None for all -> (B, N, out_dim)."""
        images = vectors.transpose(1, 2).unflatten(2, (grid.rows, grid.columns))  # (B, d, R, C)
        observed = None if valid is None else valid.unflatten(1, (grid.rows, grid.columns))
        return self.task(self.vit(images, observed).patches)
