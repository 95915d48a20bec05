"""Configurations of models, methods and optimiser: frozen dataclasses, checked when built; no torch."""

from vision.config.methods import (
    BEiT2Config,
    BEiTConfig,
    DINOConfig,
    DINOv2Config,
    IBOTConfig,
    MAEConfig,
    SimMIMConfig,
    VQKDConfig,
)
from vision.config.model import (
    VIT_SIZES,
    Attention,
    CodebookConfig,
    Position,
    Scope,
    ViTConfig,
)
from vision.config.optim import OptimConfig
from vision.strict import ConfigError, from_dict, load_yaml, read_yaml, to_dict

__all__ = [
    "VIT_SIZES",
    "Attention",
    "BEiT2Config",
    "BEiTConfig",
    "CodebookConfig",
    "ConfigError",
    "DINOConfig",
    "DINOv2Config",
    "IBOTConfig",
    "MAEConfig",
    "OptimConfig",
    "Position",
    "Scope",
    "SimMIMConfig",
    "VQKDConfig",
    "ViTConfig",
    "from_dict",
    "load_yaml",
    "read_yaml",
    "to_dict",
]
