"""Tensors of Hugging Face's vision transformers under our names, for comparing methods with its models."""

import torch
from torch import Tensor

LAYER = {
    "attention.proj": ("attention.o_proj",),
    "norm1": ("layernorm_before", "norm1"),
    "norm2": ("layernorm_after", "norm2"),
    "mlp.0": ("mlp.fc1",),
    "mlp.2": ("mlp.fc2", "mlp.down_proj"),
}


def randomise(model: torch.nn.Module, std: float = 0.2) -> None:
    """No tensor stays at its initial zero, one or tiny value."""
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=std)


def take_blocks(rest: dict[str, Tensor], prefix: str, depth: int, ours: str = "blocks") -> dict[str, Tensor]:
    """Take the layers ``prefix``.0, .1, … out of ``rest``."""
    made = {}
    for index in range(depth):
        theirs, block = f"{prefix}.{index}", f"{ours}.{index}"
        for kind in ("weight", "bias"):
            made[f"{block}.attention.qkv.{kind}"] = torch.cat(
                [rest.pop(f"{theirs}.attention.{name}_proj.{kind}") for name in "qkv"]
            )
            if f"{theirs}.mlp.gate_proj.{kind}" in rest:
                both = [rest.pop(f"{theirs}.mlp.{name}_proj.{kind}") for name in ("gate", "up")]
                made[f"{block}.mlp.0.{kind}"] = torch.cat(both)
            for mine, names in LAYER.items():
                for name in names:
                    if f"{theirs}.{name}.{kind}" in rest:
                        made[f"{block}.{mine}.{kind}"] = rest.pop(f"{theirs}.{name}.{kind}")
        for number in (1, 2):
            if f"{theirs}.layer_scale{number}.lambda1" in rest:
                made[f"{block}.scale{number}.gamma"] = rest.pop(f"{theirs}.layer_scale{number}.lambda1")
    return made


def take_encoder(rest: dict[str, Tensor], embeddings: str, layers: str, norm: str, depth: int) -> dict[str, Tensor]:
    """Take patch projection, CLS, layers and final norm out of ``rest``: a VisionTransformer's state."""
    projection = f"{embeddings}.patch_embeddings.projection"
    made = {
        "patch_embed.projection.weight": rest.pop(f"{projection}.weight").permute(0, 2, 3, 1).flatten(1),
        "patch_embed.projection.bias": rest.pop(f"{projection}.bias"),
        "cls_token": rest.pop(f"{embeddings}.cls_token")[0],
        **take_blocks(rest, layers, depth),
    }
    return made | {f"norm.{kind}": rest.pop(f"{norm}.{kind}") for kind in ("weight", "bias")}


def named(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state with ``prefix``. before every name."""
    return {f"{prefix}.{name}": tensor for name, tensor in state.items()}
