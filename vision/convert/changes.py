"""How tensors of one model become those of the other, both ways, where a new name is not enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vision.config import ViTConfig
from vision.nn.embed import Positions
from vision.nn.grid import PatchGrid

Tensors = Sequence[Tensor]


class Change(NamedTuple):
    """``read`` takes their tensors and gives ours, ``write`` the reverse; both in the order of the names."""

    read: Callable[[Tensors, ViTConfig], Tensors]
    write: Callable[[Tensors, ViTConfig], Tensors]


def _patches_of(tensors: Tensors, config: ViTConfig) -> Tensors:
    return (tensors[0].permute(0, 2, 3, 1).flatten(1),)  # pixels in the order (row, column, channel)


def _kernel_of(tensors: Tensors, config: ViTConfig) -> Tensors:
    cells = tensors[0].unflatten(1, (*config.patch_size, config.in_channels))
    return (cells.permute(0, 3, 1, 2),)


def _without_sample(tensors: Tensors, config: ViTConfig) -> Tensors:
    return tuple(tensor[0] for tensor in tensors)


def _with_sample(tensors: Tensors, config: ViTConfig) -> Tensors:
    return tuple(tensor[None] for tensor in tensors)


def _fuse(tensors: Tensors, config: ViTConfig) -> Tensors:
    return (torch.cat(list(tensors)),)


def _in_thirds(tensors: Tensors, config: ViTConfig) -> Tensors:
    return tensors[0].chunk(3)


def _fuse_with_free_keys(tensors: Tensors, config: ViTConfig) -> Tensors:
    query, value = tensors
    return (torch.cat([query, torch.zeros_like(query), value]),)


def _query_and_value(tensors: Tensors, config: ViTConfig) -> Tensors:
    query, _, value = tensors[0].chunk(3)  # a key's bias adds the same to all scores of a query: nothing is lost
    return query, value


def _place(tensors: Tensors, config: ViTConfig) -> Tensors:
    cls, positions = tensors
    table = positions[0, 1:].unflatten(0, (config.max_rows, config.max_columns))
    return cls[0] + positions[:, 0], table


def _unplace(tensors: Tensors, config: ViTConfig) -> Tensors:
    cls, table = tensors
    rows = table.flatten(0, 1)
    return cls[None], torch.cat([torch.zeros_like(rows[:1]), rows])[None]


def _on_formula(tensors: Tensors, config: ViTConfig) -> Tensors:
    cls, positions = tensors
    return (cls[0] + positions[:, 0],)  # the patches' positions were compared with the formula by the reader


def _by_formula(tensors: Tensors, config: ViTConfig) -> Tensors:
    cls = tensors[0]
    rows = sincos_positions(config).to(cls.device)
    return cls[None], torch.cat([torch.zeros_like(rows[:1]), rows])[None]


def _cls_alone(tensors: Tensors, config: ViTConfig) -> Tensors:
    return (tensors[0][0],)


def _beside_formula(tensors: Tensors, config: ViTConfig) -> Tensors:
    return tensors[0][None], sincos_positions(config).to(tensors[0].device)[None]


def _grid_of(tensors: Tensors, config: ViTConfig) -> Tensors:
    return (tensors[0][0].unflatten(0, (config.max_rows, config.max_columns)),)


def _rows_of(tensors: Tensors, config: ViTConfig) -> Tensors:
    return (tensors[0].flatten(0, 1)[None],)


def sincos_positions(config: ViTConfig) -> Tensor:
    """(N, D) fixed positions of the grid of ``max_rows`` × ``max_columns``, as MAE computes them."""
    grid = PatchGrid(config.max_rows, config.max_columns, *config.patch_size)
    tokens = torch.zeros(1, grid.num_patches, config.dim)
    return Positions(config)(tokens, grid)[0]


SAME = Change(lambda tensors, config: tensors, lambda tensors, config: tensors)
KERNEL = Change(_patches_of, _kernel_of)  # (D, C, h, w) of a convolution: (D, h·w·C) of a linear map
TOKENS = Change(_without_sample, _with_sample)  # (1, k, D): (k, D)
QKV = Change(_fuse, _in_thirds)  # query, key, value: one matrix or bias
QKV_BIAS_OF_BEIT = Change(_fuse_with_free_keys, _query_and_value)
# (1, 1, D) and positions (1, 1 + N, D): CLS has no position here, so its own becomes part of the token
CLS_AND_TABLE = Change(_place, _unplace)
CLS_AND_SINCOS = Change(_on_formula, _by_formula)
# (1, N, D) without a CLS position: (R, C, D); what follows from the formula, which the reader has compared: nothing
TABLE = Change(_grid_of, _rows_of)
CLS_BESIDE_SINCOS = Change(_cls_alone, _beside_formula)
