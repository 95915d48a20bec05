"""A transformer's tensors under other names: what is expected, what is there, and the exchange."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from vision.config import ViTConfig
from vision.convert.changes import (
    CLS_AND_SINCOS,
    CLS_AND_TABLE,
    CLS_BESIDE_SINCOS,
    KERNEL,
    QKV,
    QKV_BIAS_OF_BEIT,
    SAME,
    TABLE,
    TOKENS,
    Change,
)
from vision.convert.files import ConvertError
from vision.convert.names import BLOCK, Names
from vision.nn.vit import VisionTransformer

Known = TypeVar("Known")


class Pair(NamedTuple):
    """Tensors of ours that are made of tensors of theirs; with ``{i}``, those of every block."""

    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    change: Change


def pairs(names: Names, config: ViTConfig) -> list[Pair]:
    """Every tensor of a transformer of this configuration. ConvertError where the other library has no such."""
    templates = [*_embedding(names, config), *_linears(names, config), *_attention(names, config)]
    return [
        Pair(_of_block(pair.ours, index), _of_block(pair.theirs, index), pair.change)
        for pair in templates
        for index in (range(config.depth) if "{i}" in pair.ours[0] else (0,))
    ]


def _of_block(names: tuple[str, ...], index: int) -> tuple[str, ...]:
    return tuple(name.format(i=index) for name in names)


def _embedding(names: Names, config: ViTConfig) -> list[Pair]:
    matched = [
        Pair(("patch_embed.projection.weight",), (f"{names.kernel}.weight",), KERNEL),
        Pair(("patch_embed.projection.bias",), (f"{names.kernel}.bias",), SAME),
    ]
    table, placed_cls = ("positions.table",), (names.cls, names.positions)
    if config.row_position == "none":
        matched.append(Pair(("cls_token",), (names.cls,), TOKENS))
    elif config.row_position == "sincos":
        change = CLS_AND_SINCOS if names.cls_has_position else CLS_BESIDE_SINCOS
        matched.append(Pair(("cls_token",), placed_cls, change))
    elif names.cls_has_position:
        matched.append(Pair(("cls_token", *table), placed_cls, CLS_AND_TABLE))
    else:
        matched += [Pair(("cls_token",), (names.cls,), TOKENS), Pair(table, (names.positions,), TABLE)]
    if config.num_registers:
        matched.append(Pair(("registers",), (_known(names.registers, "register tokens"),), TOKENS))
    if config.relative_position == "shared":
        theirs = _known(names.shared_bias, "a shared relative position bias")
        matched.append(Pair(("relative.table",), (theirs,), SAME))
    return matched


def _linears(names: Names, config: ViTConfig) -> list[Pair]:
    linears = dict(names.linears)
    if config.mlp == "swiglu":
        first, second = _known(names.swiglu, "a gated MLP")
        linears |= {f"{BLOCK}.mlp.0": first, f"{BLOCK}.mlp.2": second}
    if not config.final_norm:
        del linears["norm"]
    matched = [
        Pair((f"{ours}.{part}",), (f"{theirs}.{part}",), SAME)
        for ours, theirs in linears.items()
        for part in ("weight", "bias")
    ]
    if config.layer_scale is not None:
        scales = _known(names.scales, "LayerScale")
        matched += [Pair((f"{BLOCK}.scale{n}.gamma",), (scales[n - 1],), SAME) for n in (1, 2)]
    return matched


def _attention(names: Names, config: ViTConfig) -> list[Pair]:
    ours = f"{BLOCK}.attention.qkv"
    fused = QKV if len(names.qkv) == 3 else SAME
    matched = [Pair((f"{ours}.weight",), tuple(f"{part}.weight" for part in names.qkv), fused)]
    if names.query_value_bias is None:
        matched.append(Pair((f"{ours}.bias",), tuple(f"{part}.bias" for part in names.qkv), fused))
    else:
        matched.append(Pair((f"{ours}.bias",), names.query_value_bias, QKV_BIAS_OF_BEIT))
    if config.relative_position == "block":
        theirs = _known(names.block_bias, "a relative position bias per block")
        matched.append(Pair((f"{BLOCK}.attention.relative.table",), (theirs,), SAME))
    return matched


def to_theirs(ours: Mapping[str, Tensor], names: Names, config: ViTConfig) -> dict[str, Tensor]:
    """Our state dict under their names."""
    theirs: dict[str, Tensor] = {}
    for pair in pairs(names, config):
        written = pair.change.write([ours[name] for name in pair.ours], config)
        theirs.update(zip(pair.theirs, written, strict=True))
    return theirs


def to_ours(theirs: Mapping[str, Tensor], names: Names, config: ViTConfig) -> dict[str, Tensor]:
    """Their tensors, which :func:`account` has checked, as our state dict, float32."""
    ours: dict[str, Tensor] = {}
    for pair in pairs(names, config):
        read = pair.change.read([theirs[name].float() for name in pair.theirs], config)
        ours.update(zip(pair.ours, read, strict=True))
    return ours


def account(tensors: Mapping[str, Tensor], names: Names, config: ViTConfig, what: str) -> dict[str, str]:
    """Every tensor accounted for: those that are no part of the encoder -> what they are.

    ``what`` names file and form in the ConvertError that is raised when a tensor is missing, unknown or of
    another shape than a transformer of this configuration has.
    """
    expected = _expected(names, config)
    extras = {name: kind for name in tensors.keys() - expected.keys() if (kind := extra_of(name, names))}
    missing = sorted(expected.keys() - tensors.keys())
    unknown = sorted(tensors.keys() - expected.keys() - extras.keys())
    if missing or unknown:
        fault = f"lacks {missing[0]!r}" if missing else f"holds {unknown[0]!r}, for which there is no place"
        others = len(missing) + len(unknown) - 1
        raise ConvertError(f"{what} {fault}{f' (and {others} more differences)' if others else ''}")
    for name, shape in expected.items():
        if tensors[name].shape != shape:
            found = tuple(tensors[name].shape)
            raise ConvertError(f"{what} has {name!r} of shape {found}, where the others ask for {tuple(shape)}")
    return dict(sorted(extras.items()))


def extra_of(name: str, names: Names) -> str | None:
    """What a tensor is that has no place in an encoder; None when it is not known."""
    return next((kind for pattern, kind in names.extras.items() if re.fullmatch(pattern, name)), None)


def _expected(names: Names, config: ViTConfig) -> dict[str, torch.Size]:
    with torch.device("meta"):
        ours = VisionTransformer(config).state_dict()
        return {name: tensor.shape for name, tensor in to_theirs(ours, names, config).items()}


def _known(name: Known | None, what: str) -> Known:
    if name is None:
        raise ConvertError(f"this form has no place for {what}")
    return name
