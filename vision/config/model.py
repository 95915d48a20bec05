"""Configurations of the networks; checked when built; no torch."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vision.strict import ConfigError, check_choices

Attention = Literal["joint", "axial"]
Scope = Literal["window", "causal", "patch"]
Position = Literal["none", "sincos", "learned", "table", "rotary"]
RelativePosition = Literal["none", "shared", "block"]
MLPKind = Literal["gelu", "swiglu"]
DropPathShape = Literal["linear", "uniform"]

VIT_SIZES: Mapping[str, Mapping[str, int]] = {
    "tiny": {"dim": 192, "depth": 12, "heads": 3},  # DeiT (Touvron et al. 2021), table 1
    "small": {"dim": 384, "depth": 12, "heads": 6},
    "base": {"dim": 768, "depth": 12, "heads": 12},  # ViT (Dosovitskiy et al. 2021), table 1
    "large": {"dim": 1024, "depth": 24, "heads": 16},
    "huge": {"dim": 1280, "depth": 32, "heads": 16},
    "giant": {"dim": 1536, "depth": 40, "heads": 24},  # DINOv2, official ``vit_giant2``; with swiglu
}
"""Name -> width, blocks and heads."""


def require(is_right: bool, owner: object, name: str, expected: str) -> None:
    """ConfigError naming the owner, the field, its value and what was expected, unless ``is_right``."""
    if not is_right:
        value = getattr(owner, name)
        raise ConfigError(f"{type(owner).__name__}.{name} is {value!r}, expected {expected}")


@dataclass(frozen=True, kw_only=True)
class ViTConfig:
    """A vision transformer on a rectangular grid of patches. The defaults are ViT-T/16 on RGB images."""

    patch_size: tuple[int, int] = (16, 16)
    """Pixels: (height, width) = (rows, columns of the image)."""
    in_channels: int = 3
    """Of an image."""
    dim: int = 192
    """Width of a token; see VIT_SIZES."""
    depth: int = 12
    """Blocks."""
    heads: int = 3
    """Attention heads, a divisor of dim."""
    mlp_ratio: float = 4.0
    """Width of the hidden layer over dim; swiglu has two thirds of it, up to a multiple of 8 (DINOv2)."""
    mlp: MLPKind = "gelu"
    """DINOv2 trains ViT-g with swiglu."""
    attention: Attention = "joint"
    """Axial: even blocks over rows, odd blocks over columns."""
    scope: Scope = "window"
    """What a patch may see: all, this and earlier columns, or itself alone."""
    row_position: Position = "sincos"
    """With "none" rows are a set."""
    column_position: Position = "sincos"
    """With "table" one learned vector per patch (ViT, DINO), for both axes."""
    relative_position: RelativePosition = "none"
    """One table for all blocks (BEiT), or one each (its fine-tuning)."""
    max_rows: int = 14
    """Patches; of learned, table and relative positions."""
    max_columns: int = 14
    """As max_rows."""
    has_cls: bool = True
    """A token for the whole image stands before the patches."""
    num_registers: int = 0
    """DINOv2 with registers: 4."""
    drop_path: float = 0.0
    """Rate of the last block; DINO, iBOT, BEiT: 0.1, DINOv2: 0.3."""
    drop_path_shape: DropPathShape = "linear"
    """From 0 in the first block; DINOv2: uniform over all."""
    layer_scale: float | None = None
    """Initial value; BEiT-B 0.1, DINOv2 1e-5."""
    observed_channel: bool = False
    """One more input channel: 1 = the pixel was observed."""
    norm_eps: float = 1e-6
    """Of every layer norm; Hugging Face: 1e-12 for ViT, ViTMAE and BEiT."""
    final_norm: bool = True
    """False: fine-tuned BEiT, MAE, whose classifier norms the mean patch instead."""

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("in_channels", "dim", "depth", "heads", "max_rows", "max_columns"):
            require(getattr(self, name) >= 1, self, name, "at least 1")
        is_pair = isinstance(self.patch_size, (tuple, list)) and len(self.patch_size) == 2 and min(self.patch_size) >= 1
        require(is_pair, self, "patch_size", "two positive numbers (height, width)")
        require(self.dim % self.heads == 0, self, "heads", f"a divisor of dim = {self.dim}")
        for name in ("mlp_ratio", "norm_eps"):
            require(getattr(self, name) > 0, self, name, "a positive number")
        require(self.num_registers >= 0, self, "num_registers", "0 or more")
        require(0 <= self.drop_path < 1, self, "drop_path", "a rate in [0, 1)")
        positions = (self.row_position, self.column_position)
        require(
            positions.count("table") != 1,
            self,
            "row_position",
            f"'table' on both axes or on none, column_position is {self.column_position!r}",
        )
        quarter = 4 if positions == ("sincos", "sincos") else 2
        require(
            "sincos" not in positions or self.dim % quarter == 0,
            self,
            "dim",
            f"a multiple of {quarter} for sincos positions",
        )
        per_axis = 4 if positions == ("rotary", "rotary") and self.attention == "joint" else 2
        require(
            "rotary" not in positions or self.head_dim % per_axis == 0,
            self,
            "heads",
            f"dim / heads a multiple of {per_axis} for rotary positions",
        )
        require(
            self.relative_position == "none" or (self.attention == "joint" and self.scope != "patch"),
            self,
            "relative_position",
            "'none' unless attention is 'joint' and scope 'window' or 'causal'",
        )
        has_global_tokens = self.has_cls or self.num_registers > 0
        require(
            not (self.scope == "patch" and has_global_tokens),
            self,
            "scope",
            "'window' or 'causal' with CLS or register tokens (set has_cls: false, num_registers: 0)",
        )

    @classmethod
    def of_size(cls, size: str) -> ViTConfig:
        """The transformer of a name of :data:`VIT_SIZES`; vary it with ``dataclasses.replace``.

        Raises ConfigError for an unknown name, with those that are known.
        """
        if size not in VIT_SIZES:
            nearest = difflib.get_close_matches(size, VIT_SIZES, n=1)
            hint = f"did you mean {nearest[0]!r}? " if nearest else ""
            raise ConfigError(f"unknown ViT size {size!r}; {hint}known sizes: {', '.join(VIT_SIZES)}")
        known = VIT_SIZES[size]
        mlp: MLPKind = "swiglu" if size == "giant" else "gelu"
        return cls(dim=known["dim"], depth=known["depth"], heads=known["heads"], mlp=mlp)

    @property
    def mlp_dim(self) -> int:
        """Width of the hidden layer of the MLP."""
        hidden = int(self.dim * self.mlp_ratio)
        return hidden if self.mlp == "gelu" else (int(hidden * 2 / 3) + 7) // 8 * 8

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads

    @property
    def num_global_tokens(self) -> int:
        return int(self.has_cls) + self.num_registers


@dataclass(frozen=True, kw_only=True)
class CodebookConfig:
    """A cosine codebook moved by exponential averages (BEiT v2 §2.2)."""

    num_codes: int = 8192
    """BEiT v2: 8192."""
    dim: int = 32
    """Numbers of a code; BEiT v2: 32."""
    decay: float = 0.99
    """Of the average; BEiT v2: 0.99."""
    levels: int = 1
    """1 = BEiT v2; more are residual levels, each of num_codes."""
    revive_after: int = 0
    """Steps without use before a code is seeded anew; 0 = never (BEiT v2)."""
    kmeans_iterations: int = 10
    """On the first training batch; BEiT v2: 10."""
    seed: int = 0
    """Of these choices."""

    def __post_init__(self) -> None:
        for name in ("num_codes", "dim", "levels"):
            require(getattr(self, name) >= 1, self, name, "at least 1")
        require(0 <= self.decay < 1, self, "decay", "a number in [0, 1)")
        require(self.revive_after >= 0, self, "revive_after", "0 (never) or a number of steps")
        require(self.kmeans_iterations >= 0, self, "kmeans_iterations", "0 or more")
