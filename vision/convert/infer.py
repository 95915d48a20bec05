"""The configuration of a transformer, read off the names and shapes of its tensors."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from vision.config import ConfigError, ViTConfig
from vision.config.model import MLPKind, RelativePosition
from vision.convert.changes import sincos_positions
from vision.convert.files import ConvertError
from vision.convert.names import BLOCK, Names
from vision.nn.relative import NUM_GLOBAL_ENTRIES

HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16, 1536: 24}  # width -> heads, in all papers read here
SCALE_OF_BEIT, SCALE_OF_DINOV2 = 0.1, 1e-5  # initial values; what was learned replaces them
SINCOS_TOLERANCE = 1e-5  # of float32 against the official float64


def infer_config(
    tensors: Mapping[str, Tensor],
    names: Names,
    what: str,
    heads: int | None = None,
    grid: tuple[int, int] | None = None,
) -> ViTConfig:
    """What the tensors say: width, depth, patches, positions, registers, LayerScale and MLP.

    Parameters
    ----------
    what : names file and form in errors.
    heads : which no tensor tells, but a table of relative positions; None = as in the papers, by the width.
    grid : patches (rows, columns) of the positions; None = a square.

    Raises
    ------
    ConvertError : a tensor that says it is missing, or heads or grid are needed.
    """
    kernel = _get(tensors, f"{names.kernel}.weight", what, dimensions=4)
    dim, channels, *patch = kernel.shape
    depth = _depth(tensors, names, what)
    relative, bias = _relative(tensors, names)
    positions = tensors.get(names.positions)
    rows, columns = _grid(positions, bias, names, what, grid)
    mlp, ratio = _mlp(tensors, names, dim, what)
    scales = None if names.scales is None else _find(tensors, names.scales[0])
    registers = _find(tensors, names.registers)
    kind = "none" if positions is None else "table"
    try:
        config = ViTConfig(
            patch_size=(patch[0], patch[1]),
            in_channels=channels,
            dim=dim,
            depth=depth,
            heads=heads or (HEADS.get(dim, 0) if bias is None else bias.shape[1]) or _ask_for_heads(dim, what),
            mlp_ratio=ratio,
            mlp=mlp,
            row_position=kind,
            column_position=kind,
            relative_position=relative,
            max_rows=rows,
            max_columns=columns,
            num_registers=0 if registers is None else registers.shape[1],
            layer_scale=None if scales is None else SCALE_OF_BEIT if names.query_value_bias else SCALE_OF_DINOV2,
            final_norm=f"{names.linears['norm']}.weight" in tensors,
        )
    except ConfigError as error:
        raise ConvertError(f"{what} cannot be built: {error}") from None
    return with_sincos(config, positions, names)


def with_sincos(config: ViTConfig, positions: Tensor | None, names: Names) -> ViTConfig:
    """The configuration with fixed sin-cos positions, where those of the file are just them.

    ``positions`` : (1, 1 + N, D), or (1, N, D) where CLS has none.
    """
    if positions is None or config.dim % 4:
        return config
    fixed = replace(config, row_position="sincos", column_position="sincos")
    is_fixed = is_rounded(positions[0, int(names.cls_has_position) :], sincos_positions(fixed), SINCOS_TOLERANCE)
    return fixed if is_fixed else config


def is_rounded(found: Tensor, wanted: Tensor, tolerance: float) -> bool:
    """Whether a tensor of a file holds the numbers wanted, in the precision of the file, up to ``tolerance``."""
    if found.shape != wanted.shape or not found.is_floating_point():
        return False
    tolerance = max(tolerance, torch.finfo(found.dtype).eps)
    return torch.allclose(found.double(), wanted.to(found.dtype).double(), atol=tolerance, rtol=0)


def _find(tensors: Mapping[str, Tensor], name: str | None) -> Tensor | None:
    """The tensor of a name, or that of block 0; None where there is none."""
    return None if name is None else tensors.get(name.format(i=0))


def _get(tensors: Mapping[str, Tensor], name: str, what: str, dimensions: int) -> Tensor:
    if name not in tensors:
        raise ConvertError(f"{what} lacks {name!r}")
    if tensors[name].ndim != dimensions:
        raise ConvertError(f"{what} has {name!r} of shape {tuple(tensors[name].shape)}, expected {dimensions} axes")
    return tensors[name]


def _depth(tensors: Mapping[str, Tensor], names: Names, what: str) -> int:
    before = names.qkv[0].split("{i}")[0]
    pattern = re.compile(re.escape(before) + r"(\d+)\.")
    numbers = {int(found[1]) for name in tensors if (found := pattern.match(name))}
    if not numbers:
        raise ConvertError(f"{what} holds no transformer block ({before}0.…)")
    return max(numbers) + 1


def _relative(tensors: Mapping[str, Tensor], names: Names) -> tuple[RelativePosition, Tensor | None]:
    """Which kind of relative positions there is, and one of its tables (entries, heads)."""
    if (shared := _find(tensors, names.shared_bias)) is not None:
        return "shared", shared
    if (first := _find(tensors, names.block_bias)) is not None:
        return "block", first
    return "none", None


def _grid(
    positions: Tensor | None, bias: Tensor | None, names: Names, what: str, grid: tuple[int, int] | None
) -> tuple[int, int]:
    """(rows, columns) of the positions; 14 × 14 where there are none."""
    if grid is not None:
        return grid
    if positions is not None:
        num_patches = positions.shape[1] - int(names.cls_has_position)
        side = math.isqrt(max(num_patches, 1))
        is_square = side * side == num_patches
    elif bias is not None:
        num_patches = bias.shape[0] - NUM_GLOBAL_ENTRIES
        side = (math.isqrt(max(num_patches, 1)) + 1) // 2
        is_square = (2 * side - 1) ** 2 == num_patches
    else:
        return 14, 14
    if not is_square:
        raise ConvertError(
            f"{what} has positions of {num_patches} places, which are no square: give --grid (in Python grid)"
        )
    return side, side


def _mlp(tensors: Mapping[str, Tensor], names: Names, dim: int, what: str) -> tuple[MLPKind, float]:
    """Kind of the MLP, and the ratio of hidden width to width that gives it."""
    first, second = names.linears[f"{BLOCK}.mlp.0"], names.linears[f"{BLOCK}.mlp.2"]
    if names.swiglu is not None and _find(tensors, f"{names.swiglu[0]}.weight") is not None:
        first, second = names.swiglu
    into = _get(tensors, f"{first.format(i=0)}.weight", what, dimensions=2).shape[0]
    hidden = _get(tensors, f"{second.format(i=0)}.weight", what, dimensions=2).shape[1]
    if names.swiglu is not None and into == 2 * hidden:
        return "swiglu", gated_ratio(hidden, dim)
    return "gelu", plain_ratio(hidden, dim)


def plain_ratio(hidden: int, dim: int) -> float:
    """The ratio r with int(dim · r) = hidden."""
    ratio = hidden / dim
    return ratio if int(dim * ratio) == hidden else (hidden + 0.5) / dim


def gated_ratio(hidden: int, dim: int) -> float:
    """The ratio r of which two thirds, up to a multiple of 8, are hidden (DINOv2); 4 where that is one."""
    usual = ViTConfig(dim=dim, heads=1, mlp="swiglu", row_position="none", column_position="none")
    return usual.mlp_ratio if usual.mlp_dim == hidden else hidden * 1.5 / dim


def _ask_for_heads(dim: int, what: str) -> int:
    raise ConvertError(f"{what} is {dim} wide, and its number of heads is not known: give --heads (in Python heads)")
