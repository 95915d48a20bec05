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
        DINOConfig,
        DINOv2Config,
        DVAEConfig,
        IBOTConfig,
        MAEConfig,
        OnlineTokenizerConfig,
        OptimConfig,
        PretrainConfig,
        SimMIMConfig,
        ViTConfig,
        VQKDConfig,
        from_dict,
        load_yaml,
        to_dict,
    )
    from vision.convert.export import export_onnx, export_program
    from vision.convert.read import read_encoder
    from vision.convert.tokenizer import read_tokenizer
    from vision.convert.write import write_encoder
    from vision.data.images import open_images
    from vision.errors import InputError
    from vision.evaluate.attention import attention_maps
    from vision.evaluate.codebook import codebook_health
    from vision.evaluate.config import FinetuneConfig, LinearConfig, SegmentConfig
    from vision.evaluate.features import extract_features
    from vision.evaluate.finetune import finetune
    from vision.evaluate.gallery import code_gallery
    from vision.evaluate.knn import knn
    from vision.evaluate.linear import linear_probe
    from vision.evaluate.masking import code_information, linear_information
    from vision.evaluate.segment import segment
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
    from vision.nn.dvae import DiscreteVAE
    from vision.nn.grid import PatchGrid
    from vision.nn.heads import DINOHead
    from vision.nn.teacher import EMATeacher
    from vision.nn.tokenizer import Tokenizer
    from vision.nn.vit import Encoded, VisionTransformer
    from vision.schedule import CosineSchedule, Scheduled
    from vision.train.artifacts import load_encoder, load_tokenizer
    from vision.train.build import load_method
    from vision.train.checkpoint import save_module
    from vision.train.fit import fit
    from vision.train.run import pretrain

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
    "DINOConfig": "config",
    "DINOHead": "nn.heads",
    "DINOv2Config": "config",
    "DVAEConfig": "config",
    "DiscreteVAE": "nn.dvae",
    "EMATeacher": "nn.teacher",
    "Encoded": "nn.vit",
    "FinetuneConfig": "evaluate.config",
    "ForecastMask": "masks",
    "GridMask": "masks",
    "IBOTConfig": "config",
    "InputError": "errors",
    "LinearConfig": "evaluate.config",
    "MAEConfig": "config",
    "METHODS": "methods",
    "Mask": "batch",
    "MaskGenerator": "masks",
    "MixedMask": "masks",
    "OnlineTokenizerConfig": "config",
    "OptimConfig": "config",
    "PretrainConfig": "config",
    "PatchGrid": "nn.grid",
    "Quantized": "nn.codebook",
    "RandomMask": "masks",
    "Scheduled": "schedule",
    "SegmentConfig": "evaluate.config",
    "SimMIMConfig": "config",
    "StratifiedBlockMask": "masks",
    "TokenDecoder": "nn.decoder",
    "Tokenizer": "nn.tokenizer",
    "VQKDConfig": "config",
    "ViTConfig": "config",
    "VisionTransformer": "nn.vit",
    "attention_maps": "evaluate.attention",
    "code_gallery": "evaluate.gallery",
    "code_information": "evaluate.masking",
    "codebook_health": "evaluate.codebook",
    "export_onnx": "convert.export",
    "export_program": "convert.export",
    "extract_features": "evaluate.features",
    "finetune": "evaluate.finetune",
    "fit": "train.fit",
    "from_dict": "config",
    "knn": "evaluate.knn",
    "linear_information": "evaluate.masking",
    "linear_probe": "evaluate.linear",
    "load_encoder": "train.artifacts",
    "load_method": "train.build",
    "load_tokenizer": "train.artifacts",
    "load_yaml": "config",
    "read_encoder": "convert.read",
    "read_tokenizer": "convert.tokenizer",
    "open_images": "data.images",
    "pretrain": "train.run",
    "save_module": "train.checkpoint",
    "segment": "evaluate.segment",
    "to_dict": "config",
    "write_encoder": "convert.write",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'vision' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"vision.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


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
    "DINOConfig",
    "DINOHead",
    "DINOv2Config",
    "DVAEConfig",
    "DiscreteVAE",
    "EMATeacher",
    "Encoded",
    "FinetuneConfig",
    "ForecastMask",
    "GridMask",
    "IBOTConfig",
    "InputError",
    "LinearConfig",
    "MAEConfig",
    "Mask",
    "MaskGenerator",
    "MixedMask",
    "OnlineTokenizerConfig",
    "OptimConfig",
    "PretrainConfig",
    "PatchGrid",
    "Quantized",
    "RandomMask",
    "Scheduled",
    "SegmentConfig",
    "SimMIMConfig",
    "StratifiedBlockMask",
    "TokenDecoder",
    "Tokenizer",
    "VQKDConfig",
    "ViTConfig",
    "VisionTransformer",
    "__version__",
    "attention_maps",
    "code_gallery",
    "code_information",
    "codebook_health",
    "export_onnx",
    "export_program",
    "extract_features",
    "finetune",
    "fit",
    "from_dict",
    "knn",
    "linear_information",
    "linear_probe",
    "load_encoder",
    "load_method",
    "load_tokenizer",
    "load_yaml",
    "read_encoder",
    "read_tokenizer",
    "open_images",
    "pretrain",
    "save_module",
    "segment",
    "to_dict",
    "write_encoder",
]
