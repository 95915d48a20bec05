"""A transformer for another image size: its positions resized, everything else as it is."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from vision.convert.changes import sincos_positions
from vision.nn.embed import resize_table
from vision.nn.grid import PatchGrid
from vision.nn.relative import NUM_GLOBAL_ENTRIES
from vision.nn.vit import VisionTransformer


@torch.no_grad()
def resize_positions(encoder: VisionTransformer, rows: int, columns: int) -> VisionTransformer:
    """A copy of ``encoder`` whose tables of positions fit a grid of ``rows`` × ``columns`` patches.

    A table of one vector per patch is resized bicubically (DINO, DINOv2; without a call it is resized at every
    pass), one of relative positions bilinearly, its entries for global tokens kept (Hugging Face's BEiT). Sin-cos
    positions of both axes are written out for the grid of ``max_rows`` × ``max_columns`` and become such a table
    (MAE, ``interpolate_pos_embed``; without a call they go on counting, to places that no image of the pre-training
    had). Those of one axis go on counting, and rotary ones fit any grid. Raises ValueError for positions that are
    learned per axis.
    """
    config, state = encoder.config, {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    positions = (config.row_position, config.column_position)
    if "learned" in positions:
        raise ValueError("positions that are learned per axis (row_position 'learned') cannot be resized")
    if positions == ("sincos", "sincos") and (rows, columns) != (config.max_rows, config.max_columns):
        table = sincos_positions(config).unflatten(0, (config.max_rows, config.max_columns))
        state["positions.table"] = table.to(encoder.patch_embed.projection.weight)
        config = replace(config, row_position="table", column_position="table")
    with torch.device("meta"):
        resized = VisionTransformer(replace(config, max_rows=rows, max_columns=columns))
    for name, tensor in state.items():
        if name == "positions.table":
            grid = PatchGrid(rows, columns, *config.patch_size)
            state[name] = resize_table(tensor, grid, encoder.positions.is_smoothed)
        elif name.endswith("relative.table"):
            state[name] = resize_relative(tensor, (config.max_rows, config.max_columns), (rows, columns))
    resized.load_state_dict(state, assign=True)
    return resized.train(encoder.training)


def resize_relative(table: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Relative positions (entries, heads) of an old grid (rows, columns) -> of a new one."""
    offsets, rest = table[:-NUM_GLOBAL_ENTRIES], table[-NUM_GLOBAL_ENTRIES:]
    before, after = ([2 * side - 1 for side in sides] for sides in (old, new))
    planes = offsets.unflatten(0, before).permute(2, 0, 1)[None]  # (1, heads, rows, columns)
    planes = F.interpolate(planes, size=after, mode="bilinear", align_corners=False)
    return torch.cat([planes[0].permute(1, 2, 0).flatten(0, 1), rest])
