"""Masked image modelling on any (C, H, W) tensor: transformers, tokenizers and the methods that train them.

Names are loaded on first use, so ``import vision`` imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vision.batch import Batch, Mask
    from vision.config import (
        BEiT2Config,
        BEiTConfig,
        CodebookConfig,
        ConfigError,
        IBOTConfig,
        OptimConfig,
        ViTConfig,
        VQKDConfig,
        from_dict,
        load_yaml,
        to_dict,
    )
    from vision.masks import (
        AxisMask,
        BlockMask,
        ForecastMask,
        GridMask,
        MaskGenerator,
        MixedMask,
        RandomMask,
        StratifiedBlockMask,
    )
    from vision.methods import METHODS
    from vision.nn.codebook import Codebook, Quantized
    from vision.nn.decoder import TokenDecoder
    from vision.nn.grid import PatchGrid
    from vision.nn.heads import DINOHead
    from vision.nn.teacher import EMATeacher
    from vision.nn.tokenizer import Tokenizer
    from vision.nn.vit import Encoded, VisionTransformer
    from vision.schedule import CosineSchedule, LinearSchedule, Scheduled
    from vision.train.checkpoint import load_encoder, load_tokenizer, save_module
    from vision.train.fit import fit

__version__ = "0.1.0"

_HOME = {  # name -> module that defines it
    "AxisMask": "masks",
    "BEiT2Config": "config",
    "BEiTConfig": "config",
    "Batch": "batch",
    "BlockMask": "masks",
    "Codebook": "nn.codebook",
    "CodebookConfig": "config",
    "ConfigError": "config",
    "CosineSchedule": "schedule",
    "DINOHead": "nn.heads",
    "EMATeacher": "nn.teacher",
    "Encoded": "nn.vit",
    "ForecastMask": "masks",
    "GridMask": "masks",
    "IBOTConfig": "config",
    "LinearSchedule": "schedule",
    "METHODS": "methods",
    "Mask": "batch",
    "MaskGenerator": "masks",
    "MixedMask": "masks",
    "OptimConfig": "config",
    "PatchGrid": "nn.grid",
    "Quantized": "nn.codebook",
    "RandomMask": "masks",
    "Scheduled": "schedule",
    "StratifiedBlockMask": "masks",
    "TokenDecoder": "nn.decoder",
    "Tokenizer": "nn.tokenizer",
    "VQKDConfig": "config",
    "ViTConfig": "config",
    "VisionTransformer": "nn.vit",
    "fit": "train.fit",
    "from_dict": "config",
    "load_encoder": "train.checkpoint",
    "load_tokenizer": "train.checkpoint",
    "load_yaml": "config",
    "save_module": "train.checkpoint",
    "to_dict": "config",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'vision' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"vision.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])


__all__ = [
    "METHODS",
    "AxisMask",
    "BEiT2Config",
    "BEiTConfig",
    "Batch",
    "BlockMask",
    "Codebook",
    "CodebookConfig",
    "ConfigError",
    "CosineSchedule",
    "DINOHead",
    "EMATeacher",
    "Encoded",
    "ForecastMask",
    "GridMask",
    "IBOTConfig",
    "LinearSchedule",
    "Mask",
    "MaskGenerator",
    "MixedMask",
    "OptimConfig",
    "PatchGrid",
    "Quantized",
    "RandomMask",
    "Scheduled",
    "StratifiedBlockMask",
    "TokenDecoder",
    "Tokenizer",
    "VQKDConfig",
    "ViTConfig",
    "VisionTransformer",
    "__version__",
    "fit",
    "from_dict",
    "load_encoder",
    "load_tokenizer",
    "load_yaml",
    "save_module",
    "to_dict",
]
