"""Relative position bias: what the offset between two patches adds to their attention score (BEiT, Bao et al. 2022).

The tables have the layout of the official code (``RelativePositionBias``), so its checkpoints fill them entry
by entry. Where the official table is tied to one grid, a smaller grid here reads the middle of it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision.config import ViTConfig
from vision.nn.grid import PatchGrid

NUM_GLOBAL_ENTRIES = 3  # at the end of the table: global to patch, patch to global, global to global


class RelativePositionBias(nn.Module):
    """One learned number per head and offset (rows, columns), and three for global tokens; zero at the start.

    The table has (2 · max_rows − 1) · (2 · max_columns − 1) + 3 entries. CLS and registers are all "global".
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.max_rows, self.max_columns = config.max_rows, config.max_columns
        num_offsets = (2 * self.max_rows - 1) * (2 * self.max_columns - 1)
        self.table = nn.Parameter(torch.zeros(num_offsets + NUM_GLOBAL_ENTRIES, config.heads))

    def forward(self, grid: PatchGrid, num_global_tokens: int) -> Tensor:
        """(heads, L, L) of queries and keys, L = G + N. Raises ValueError for a grid beyond the table."""
        if grid.rows > self.max_rows or grid.columns > self.max_columns:
            raise ValueError(
                f"grid has {grid.rows} x {grid.columns} patches, relative positions end at "
                f"max_rows = {self.max_rows}, max_columns = {self.max_columns}"
            )
        entries = self._entries(grid, num_global_tokens)
        return F.embedding(entries, self.table).permute(2, 0, 1)

    def _entries(self, grid: PatchGrid, num_global_tokens: int) -> Tensor:
        """(L, L) long: the entry of the table for every query and key."""
        device, length = self.table.device, self.table.shape[0]
        row = torch.arange(grid.rows, device=device).repeat_interleave(grid.columns)
        column = torch.arange(grid.columns, device=device).repeat(grid.rows)
        down = row[:, None] - row[None, :] + self.max_rows - 1  # query minus key, from 0
        right = column[:, None] - column[None, :] + self.max_columns - 1
        entries = down * (2 * self.max_columns - 1) + right
        entries = F.pad(entries, (num_global_tokens, 0, 0, 0), value=length - 2)  # patch to global
        entries = F.pad(entries, (0, 0, num_global_tokens, 0), value=length - 3)  # global to patch
        entries[:num_global_tokens, :num_global_tokens] = length - 1
        return entries


def with_a_table_per_block(state: Mapping[str, Tensor], depth: int) -> dict[str, Tensor]:
    """Tensors of an encoder whose blocks share a table -> those of one with a copy in each of ``depth`` blocks.

    BEiT is pre-trained with one table and fine-tuned with one per block (``run_class_finetuning.py``); an
    encoder with fresh tables would not know where its patches are.
    """
    table = state["relative.table"]
    rest = {name: tensor for name, tensor in state.items() if name != "relative.table"}
    return rest | {f"blocks.{index}.attention.relative.table": table.clone() for index in range(depth)}
