"""Configurations of models, methods and optimiser: frozen dataclasses, checked when built; no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vision.strict import ConfigError, from_dict, load_yaml, read_yaml, to_dict

__all__ = [
    "Attention",
    "BEiT2Config",
    "CodebookConfig",
    "ConfigError",
    "IBOTConfig",
    "OptimConfig",
    "Position",
    "Scope",
    "VQKDConfig",
    "ViTConfig",
    "from_dict",
    "load_yaml",
    "read_yaml",
    "to_dict",
]

Attention = Literal["joint", "axial"]
Scope = Literal["window", "causal", "patch"]
Position = Literal["none", "sincos", "learned", "rotary"]


def _require(is_right: bool, owner: object, name: str, expected: str) -> None:
    if not is_right:
        value = getattr(owner, name)
        raise ConfigError(f"{type(owner).__name__}.{name} is {value!r}, expected {expected}")


@dataclass(frozen=True, kw_only=True)
class ViTConfig:
    """A vision transformer on a rectangular grid of patches. The defaults are ViT-T/16 on RGB images."""

    patch_size: tuple[int, int] = (16, 16)  # pixels: (height, width) = (rows, columns of the image)
    in_channels: int = 3
    dim: int = 192  # T/S/B/L = 192/384/768/1024
    depth: int = 12  # T/S/B/L = 12/12/12/24
    heads: int = 3  # T/S/B/L = 3/6/12/16
    mlp_ratio: float = 4.0
    attention: Attention = "joint"  # axial: even blocks over rows, odd blocks over columns
    scope: Scope = "window"  # what a patch may see: all, this and earlier columns, or itself alone
    row_position: Position = "sincos"  # "none" makes the rows a set
    column_position: Position = "sincos"
    max_rows: int = 14  # patches; only "learned" needs it
    max_columns: int = 14  # patches; only "learned" needs it
    has_cls: bool = True
    num_registers: int = 0  # DINOv2 with registers: 4
    drop_path: float = 0.0  # rate of the last block, rising linearly from 0; DINO, iBOT, BEiT: 0.1
    layer_scale: float | None = None  # initial value; BEiT-B 0.1, DINOv2 1e-5
    observed_channel: bool = False  # one more input channel: 1 = the pixel was observed

    def __post_init__(self) -> None:
        for name in ("in_channels", "dim", "depth", "heads", "max_rows", "max_columns"):
            _require(getattr(self, name) >= 1, self, name, "at least 1")
        _require(min(self.patch_size) >= 1, self, "patch_size", "two positive numbers (height, width)")
        _require(self.dim % self.heads == 0, self, "heads", f"a divisor of dim = {self.dim}")
        _require(self.mlp_ratio > 0, self, "mlp_ratio", "a positive number")
        _require(self.num_registers >= 0, self, "num_registers", "0 or more")
        _require(0 <= self.drop_path < 1, self, "drop_path", "a rate in [0, 1)")
        positions = (self.row_position, self.column_position)
        quarter = 4 if positions == ("sincos", "sincos") else 2
        _require(
            "sincos" not in positions or self.dim % quarter == 0,
            self,
            "dim",
            f"a multiple of {quarter} for sincos positions",
        )
        per_axis = 4 if positions == ("rotary", "rotary") and self.attention == "joint" else 2
        _require(
            "rotary" not in positions or self.head_dim % per_axis == 0,
            self,
            "heads",
            f"dim / heads a multiple of {per_axis} for rotary positions",
        )
        has_global_tokens = self.has_cls or self.num_registers > 0
        _require(
            not (self.scope == "patch" and has_global_tokens),
            self,
            "scope",
            "'window' or 'causal' with CLS or register tokens (set has_cls: false, num_registers: 0)",
        )

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads

    @property
    def num_global_tokens(self) -> int:
        return int(self.has_cls) + self.num_registers


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW with linear warm-up and half-cosine decay; one step is one weight update."""

    steps: int = 10_000
    batch_size: int = 64  # samples per forward pass and process
    learning_rate: float = 1e-3  # absolute: not scaled by the batch
    min_learning_rate: float = 1e-6
    warmup_steps: int = 500
    weight_decay: float = 0.05  # MAE, BEiT 0.05; DINO, iBOT 0.04
    final_weight_decay: float | None = None  # None = constant; DINO, iBOT 0.4, on a cosine
    betas: tuple[float, float] = (0.9, 0.999)  # VQ-KD (0.9, 0.99), MAE (0.9, 0.95)
    clip_norm: float | None = None  # global gradient norm; BEiT 3.0
    accumulate: int = 1  # forward passes per step
    precision: Literal["32-true", "bf16-mixed"] = "32-true"

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulate"):
            _require(getattr(self, name) >= 1, self, name, "at least 1")
        for name in ("learning_rate", "min_learning_rate", "weight_decay", "warmup_steps"):
            _require(getattr(self, name) >= 0, self, name, "0 or more")
        _require(all(0 <= beta < 1 for beta in self.betas), self, "betas", "two numbers in [0, 1)")
        _require(self.clip_norm is None or self.clip_norm > 0, self, "clip_norm", "a positive number or null")


@dataclass(frozen=True, kw_only=True)
class CodebookConfig:
    """A cosine codebook moved by exponential averages (BEiT v2 §2.2)."""

    num_codes: int = 8192  # BEiT v2: 8192
    dim: int = 32  # BEiT v2: 32
    decay: float = 0.99  # of the average; BEiT v2: 0.99
    levels: int = 1  # 1 = BEiT v2; more are residual levels, each of num_codes
    revive_after: int = 0  # steps without use before a code is seeded anew; 0 = never (BEiT v2)
    kmeans_iterations: int = 10  # on the first training batch; BEiT v2: 10
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("num_codes", "dim", "levels"):
            _require(getattr(self, name) >= 1, self, name, "at least 1")
        _require(0 <= self.decay < 1, self, "decay", "a number in [0, 1)")
        _require(self.revive_after >= 0, self, "revive_after", "0 (never) or a number of steps")
        _require(self.kmeans_iterations >= 0, self, "kmeans_iterations", "0 or more")


@dataclass(frozen=True, kw_only=True)
class IBOTConfig:
    """iBOT (Zhou et al. 2022). Fractions are of the whole run, where the paper counts epochs."""

    num_prototypes: int = 8192  # paper: 8192
    hidden_dim: int = 2048  # paper: 2048
    bottleneck_dim: int = 256  # paper: 256
    head_layers: int = 3  # paper: 3
    norm_last_layer: bool = True  # paper: false for ViT-S, true for ViT-B
    shared_head: bool = True  # one head for CLS and patches; paper: true
    student_temperature: float = 0.1  # paper: 0.1
    teacher_temperature: float = 0.04  # start, CLS and patches; paper: 0.04
    final_teacher_temperature: float = 0.07  # paper: 0.07
    temperature_warmup: float = 0.3  # fraction; paper: 30 epochs
    center_momentum: float = 0.9  # paper: 0.9
    momentum: float = 0.996  # of the teacher at the start; paper: 0.996
    final_momentum: float = 1.0  # paper: 1.0, on a cosine
    cls_weight: float = 1.0  # paper: 1
    patch_weight: float = 1.0  # paper: 1
    freeze_last_layer: float = 0.01  # fraction; paper: 1 epoch of 100 (ViT-B: 3)

    def __post_init__(self) -> None:
        for name in ("num_prototypes", "hidden_dim", "bottleneck_dim", "head_layers"):
            _require(getattr(self, name) >= 1, self, name, "at least 1")
        for name in ("student_temperature", "teacher_temperature", "final_teacher_temperature"):
            _require(getattr(self, name) > 0, self, name, "a positive number")
        for name in (
            "temperature_warmup",
            "center_momentum",
            "momentum",
            "final_momentum",
            "freeze_last_layer",
        ):
            _require(0 <= getattr(self, name) <= 1, self, name, "a number in [0, 1]")


@dataclass(frozen=True, kw_only=True)
class VQKDConfig:
    """Vector-quantised knowledge distillation, the tokenizer of BEiT v2 (Peng et al. 2022, §2.2)."""

    codebook: CodebookConfig = field(default_factory=CodebookConfig)
    decoder_depth: int = 3  # paper: 1 or 3
    decoder_dim: int | None = None  # None = the encoder's; paper: the encoder's
    decoder_heads: int | None = None  # None = the encoder's
    target: Literal["features", "patches", "both"] = "features"  # paper: the teacher's features
    feature_weight: float = 1.0  # paper: 1
    patch_weight: float = 1.0  # of the patch's own pixels; not in the paper
    commitment_weight: float = 1.0  # beta; official code: 1

    def __post_init__(self) -> None:
        _require(self.decoder_depth >= 1, self, "decoder_depth", "at least 1")
        for name in ("feature_weight", "patch_weight", "commitment_weight"):
            _require(getattr(self, name) >= 0, self, name, "0 or more")


@dataclass(frozen=True, kw_only=True)
class BEiT2Config:
    """Masked image modelling on codes with patch aggregation (BEiT v2, Peng et al. 2022, §2.3)."""

    early_layer: int = 9  # 1-based block whose patches meet the final CLS; paper: 9 of 12, 21 of 24
    aggregation_depth: int = 2  # extra blocks, thrown away afterwards; paper: 2; 0 = main path alone
    aggregation_weight: float = 1.0  # paper: 1

    def __post_init__(self) -> None:
        _require(self.early_layer >= 1, self, "early_layer", "a block number, counted from 1")
        for name in ("aggregation_depth", "aggregation_weight"):
            _require(getattr(self, name) >= 0, self, name, "0 or more")
