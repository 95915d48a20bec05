"""Hugging Face folders: ``config.json`` to our configuration and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from vision.config import ViTConfig
from vision.convert.files import ConvertError
from vision.convert.forms import HUGGING_FACE
from vision.convert.infer import infer_config

CLASSES = {  # model_type -> the class that from_pretrained builds
    "vit": "ViTModel",  # of sin-cos positions, too: ViTMAEModel hides and shuffles patches
    "beit": "BeitModel",
    "dinov2": "Dinov2Model",
    "dinov2_with_registers": "Dinov2WithRegistersModel",
}

IS_SQUARE = "but for 'vit', Hugging Face's models know positions on squares only"


class Described(NamedTuple):
    """What a folder holds."""

    kind: str  # model_type
    tensors: dict[str, Tensor]  # without the prefix of a task's model
    config: ViTConfig  # ours


def describe(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Described:
    """A folder's configuration and tensors in our terms.

    Raises ConvertError when the architecture is not one of ours, or has what ours has not.
    """
    kind = str(config.get("model_type"))
    if kind not in HUGGING_FACE:
        raise ConvertError(f"{folder} holds a model of type {kind!r}; known: {', '.join(HUGGING_FACE)}")
    for key, wanted in (("hidden_act", "gelu"), ("qkv_bias", True)):
        if config.get(key, wanted) != wanted:
            raise ConvertError(f"{folder / 'config.json'} has {key} {config[key]!r}, only {wanted!r} can be read")
    prefix = f"{'vit' if kind == 'vit_mae' else kind}."
    bare = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    what = f"{folder}, read as Hugging Face {kind},"
    if len(bare) < len(tensors):
        raise ConvertError(f"{what} has a norm after the encoder's own, for which there is no place")
    try:
        height, width = _pair(config["image_size"])
        patch_height, patch_width = _pair(config["patch_size"])
        heads, eps = int(config["num_attention_heads"]), float(config["layer_norm_eps"])
    except (KeyError, TypeError, ValueError) as error:
        raise ConvertError(f"{folder / 'config.json'} lacks or misstates {error}") from None
    if kind != "vit" and height != width:
        raise ConvertError(f"{folder} is a {kind} of {height} x {width} pixels: {IS_SQUARE}")
    inferred = infer_config(bare, HUGGING_FACE[kind], what, heads, (height // patch_height, width // patch_width))
    return Described(kind, bare, replace(inferred, norm_eps=eps))


def architecture(config: ViTConfig) -> str:
    """The model_type that computes what a transformer of this configuration does. ConvertError if there is none."""
    if config.num_registers:
        kind = "dinov2_with_registers"
    elif config.relative_position != "none":
        kind = "beit"
    elif config.layer_scale is not None:
        kind = "dinov2"
    else:
        kind = "vit"
    lacking = [what for what, is_lacking in _lacking(config, kind) if is_lacking]
    if lacking:
        raise ConvertError(f"no Hugging Face architecture has {' and '.join(lacking)}, as this encoder has")
    return kind


def _lacking(config: ViTConfig, kind: str) -> list[tuple[str, bool]]:
    is_dinov2 = kind.startswith("dinov2")
    positions = ("table", "sincos", "none") if kind == "beit" else ("table", "sincos")
    return [
        ("registers beside relative positions", kind != "beit" and config.relative_position != "none"),
        ("registers without LayerScale", is_dinov2 and config.layer_scale is None),
        ("a gated MLP there", config.mlp == "swiglu" and not is_dinov2),
        (f"{config.row_position!r} row and {config.column_position!r} column positions", not_same(config, positions)),
        (f"a rectangle of positions ({IS_SQUARE})", kind != "vit" and config.max_rows != config.max_columns),
        ("an encoder without final norm", not config.final_norm and kind != "beit"),
        *general_lacks(config),
    ]


def not_same(config: ViTConfig, kinds: tuple[str, ...]) -> bool:
    """Whether the positions of both axes are not one of these kinds."""
    return config.row_position != config.column_position or config.row_position not in kinds


def general_lacks(config: ViTConfig) -> list[tuple[str, bool]]:
    """What of our transformers no other library has: (what, whether this one has it)."""
    return [
        (f"{config.attention} attention", config.attention != "joint"),
        (f"scope {config.scope!r}", config.scope != "window"),
        ("an encoder without CLS token", not config.has_cls),
        ("a channel of what was observed", config.observed_channel),
    ]


def config_json(config: ViTConfig, kind: str) -> dict[str, Any]:
    """What ``config.json`` says of such a transformer."""
    rows, columns = config.patch_size
    common = {
        "architectures": [CLASSES[kind]],
        "model_type": kind,
        "hidden_size": config.dim,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "num_channels": config.in_channels,
        "patch_size": rows if rows == columns else [rows, columns],
        "image_size": _one_or_two(config.max_rows * rows, config.max_columns * columns),
        "layer_norm_eps": config.norm_eps,
        "hidden_act": "gelu",
    }
    if kind.startswith("dinov2"):
        ratio = config.mlp_ratio
        own = {
            "mlp_ratio": int(ratio) if ratio == int(ratio) else ratio,
            "use_swiglu_ffn": config.mlp == "swiglu",
            "layerscale_value": config.layer_scale,
            "qkv_bias": True,
        }
        registers = {"num_register_tokens": config.num_registers}  # its model always has a mask token
        return {**common, **own, **(registers if config.num_registers else {"use_mask_token": False})}
    if kind == "beit":
        own = {
            "use_absolute_position_embeddings": config.row_position != "none",
            "use_relative_position_bias": config.relative_position == "block",
            "use_shared_relative_position_bias": config.relative_position == "shared",
            "layer_scale_init_value": config.layer_scale or 0.0,
            "use_mean_pooling": not config.final_norm,
            "use_mask_token": False,
        }
        return {**common, **own, "intermediate_size": config.mlp_dim}
    return {**common, "intermediate_size": config.mlp_dim, "qkv_bias": True}


def _pair(value: int | list[int]) -> tuple[int, int]:
    """Height and width, given as one number or two."""
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _one_or_two(height: int, width: int) -> int | list[int]:
    return height if height == width else [height, width]
