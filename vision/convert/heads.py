"""What pre-training has beside the encoder: MAE's decoder, BEiT's mask token and classifier of codes.

Names of ours are those of ``vision.methods.mae.MAE`` and ``vision.methods.codes.MaskedCodeModel``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from vision.config import MAEConfig, ViTConfig
from vision.convert.changes import sincos_positions
from vision.convert.files import Checkpoint, ConvertError, read_checkpoint
from vision.convert.infer import is_rounded

DECODER_HEADS = 16  # facebookresearch/mae, models_mae.py: of every size; no tensor tells
DECODER_POSITIONS = "decoder_pos_embed"
_LINEARS = {"norm1": "norm1", "attention.qkv": "attn.qkv", "attention.proj": "attn.proj", "norm2": "norm2"}
_LINEARS |= {"mlp.0": "mlp.fc1", "mlp.2": "mlp.fc2"}
_CODES = {"mask_token.weight": "mask_token", "head.weight": "lm_head.weight", "head.bias": "lm_head.bias"}
_HUGGING_FACE = (  # part of a name of theirs -> of the official one, the longer first
    (r"^decoder\.(decoder_layers|decoder_encoder\.layer)\.", "decoder_blocks."),  # on the hub; as transformers 5 saves
    (r"^decoder\.|^beit\.embeddings\.(?=mask_token)", ""),
    (r"attention\.output\.dense", "attn.proj"),
    (r"output\.dense", "mlp.fc2"),
    (r"intermediate\.dense", "mlp.fc1"),
    (r"layernorm_before", "norm1"),
    (r"layernorm_after", "norm2"),
)


def read_mae_decoder(
    path: str | Path, entry: str | None, encoder: ViTConfig
) -> tuple[MAEConfig, dict[str, Tensor]] | None:
    """Configuration and tensors ("decoder.…") of MAE's decoder; None for a checkpoint of the encoder alone.

    ``entry`` : of the file, that the encoder is from; None = it has none. Raises ConvertError where a tensor is missing
    or unknown, or positions are not the fixed ones. A decoder of Hugging Face that our MAE cannot have, of other
    positions or MLPs, is left behind.
    """
    source = Path(path)
    checkpoint = read_checkpoint(source, entry=entry)
    tensors, said = _official(checkpoint), checkpoint.config or {}
    theirs = {name: tensor for name, tensor in tensors.items() if name.startswith("decoder_") or name == "mask_token"}
    if "decoder_embed.weight" not in theirs:
        return None
    depth = 1 + max((int(n[1]) for name in theirs if (n := re.match(r"decoder_blocks\.(\d+)\.", name))), default=-1)
    dim = theirs["decoder_embed.weight"].shape[0]
    what = f"{source}, read as MAE with its decoder,"
    positions = theirs.pop(DECODER_POSITIONS, None)
    is_fixed = positions is not None and is_rounded(positions, _positions(encoder, dim), tolerance=1e-4)
    is_fixed = is_fixed and encoder.row_position == "sincos"
    width = int(dim * encoder.mlp_ratio)
    if checkpoint.config is not None and not (is_fixed and said.get("decoder_intermediate_size", width) == width):
        return None
    if not is_fixed:
        raise ConvertError(f"{what} has {DECODER_POSITIONS!r} that are not sin-cos on the encoder's grid")
    tensors = _renamed(theirs, _decoder_names(depth), what)
    tensors["decoder.mask_token.weight"] = tensors["decoder.mask_token.weight"][0]
    config = MAEConfig(
        decoder_dim=dim,
        decoder_depth=depth,
        decoder_heads=int(said.get("decoder_num_attention_heads", DECODER_HEADS)),
        normalise_pixels=bool(said.get("norm_pix_loss", MAEConfig.normalise_pixels)),
    )
    return config, tensors


def mae_decoder_to_theirs(state: Mapping[str, Tensor], encoder: ViTConfig, config: MAEConfig) -> dict[str, Tensor]:
    """The decoder in the state of a MAE under the official names. ConvertError where these have no place for it."""
    heads, others = config.decoder_heads, {encoder.row_position, encoder.column_position} - {"sincos"}
    if heads != DECODER_HEADS:
        raise ConvertError(f"the official MAE has {DECODER_HEADS} heads in its decoder, this one has {heads}")
    if others:
        raise ConvertError(f"the official MAE has 'sincos' positions in its decoder, this one {sorted(others)[0]!r}")
    theirs = {name: state[ours] for ours, name in _decoder_names(config.decoder_depth).items()}
    theirs["mask_token"] = theirs["mask_token"][None]
    return theirs | {DECODER_POSITIONS: _positions(encoder, config.decoder_dim)}


def read_code_head(path: str | Path, entry: str | None) -> dict[str, Tensor] | None:
    """Mask token and classifier of BEiT or BEiT v2, of the ``entry`` of the encoder; None where there are none."""
    tensors = _official(read_checkpoint(Path(path), entry=entry))
    if not set(_CODES.values()) <= tensors.keys():
        return None
    found = {ours: tensors[theirs].float() for ours, theirs in _CODES.items()}
    return found | {"mask_token.weight": found["mask_token.weight"][0]}


def code_head_to_theirs(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Mask token and classifier in the state of a masked code model under the official names."""
    found = {theirs: state[ours] for ours, theirs in _CODES.items()}
    return found | {"mask_token": found["mask_token"][None]}


def _official(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The tensors under official names, where Hugging Face's are other ones; its query, key and value become one."""
    if checkpoint.config is None:
        return checkpoint.tensors
    named = {}
    for name, tensor in checkpoint.tensors.items():
        for pattern, official in _HUGGING_FACE:
            name = re.sub(pattern, official, name)
        named[name] = tensor
    for query in [name for name in named if ".attention.query." in name]:
        parts = [query.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
        if all(part in named for part in parts):
            fused = query.replace("attention.attention.query", "attn.qkv")
            named[fused] = torch.cat([named.pop(part) for part in parts])
    return named


def _positions(encoder: ViTConfig, dim: int) -> Tensor:
    """(1, 1 + N, d): CLS, which has none, and the patches."""
    patches = sincos_positions(replace(encoder, dim=dim, heads=1))
    return torch.cat([torch.zeros_like(patches[:1]), patches])[None]


def _decoder_names(depth: int) -> dict[str, str]:
    """Ours -> theirs."""
    linears = {"decoder.embed": "decoder_embed", "decoder.norm": "decoder_norm", "decoder.head": "decoder_pred"}
    for index in range(depth):
        linears |= {f"decoder.blocks.{index}.{o}": f"decoder_blocks.{index}.{t}" for o, t in _LINEARS.items()}
    names = {f"{ours}.{kind}": f"{theirs}.{kind}" for ours, theirs in linears.items() for kind in ("weight", "bias")}
    return names | {"decoder.mask_token.weight": "mask_token"}


def _renamed(theirs: Mapping[str, Tensor], names: Mapping[str, str], what: str) -> dict[str, Tensor]:
    for name in sorted(set(names.values()) ^ theirs.keys()):
        raise ConvertError(f"{what} {'lacks' if name not in theirs else 'holds'} {name!r}")
    return {ours: theirs[name].float() for ours, name in names.items()}
