"""Configurations of models, methods and optimiser: frozen dataclasses, checked when built; no torch."""

from vision.config.distillation import DINOConfig, DINOv2Config, IBOTConfig
from vision.config.methods import (
    BEiT2Config,
    BEiTConfig,
    DVAEConfig,
    MAEConfig,
    OnlineTokenizerConfig,
    SimMIMConfig,
    VQKDConfig,
)
from vision.config.model import (
    VIT_SIZES,
    Attention,
    CodebookConfig,
    Position,
    RelativePosition,
    Scope,
    ViTConfig,
)
from vision.config.optim import OptimConfig
from vision.config.pretrain import NEEDS, Needs, PretrainConfig, check_method
from vision.config.views import ColorConfig, ImagesConfig, MaskConfig, ViewsConfig
from vision.strict import ConfigError, from_dict, load_yaml, read_yaml, to_dict

__all__ = [
    "NEEDS",
    "VIT_SIZES",
    "Attention",
    "BEiT2Config",
    "BEiTConfig",
    "CodebookConfig",
    "ColorConfig",
    "ConfigError",
    "DINOConfig",
    "DINOv2Config",
    "DVAEConfig",
    "IBOTConfig",
    "ImagesConfig",
    "MAEConfig",
    "MaskConfig",
    "Needs",
    "OnlineTokenizerConfig",
    "OptimConfig",
    "PretrainConfig",
    "Position",
    "RelativePosition",
    "Scope",
    "SimMIMConfig",
    "VQKDConfig",
    "ViTConfig",
    "ViewsConfig",
    "check_method",
    "from_dict",
    "load_yaml",
    "read_yaml",
    "to_dict",
]
