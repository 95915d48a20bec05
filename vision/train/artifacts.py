"""What a run leaves, by what it is: an encoder always, and the tokenizer or the masked model it belongs to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from vision.config import DVAEConfig, ViTConfig, from_dict, to_dict
from vision.methods.base import MaskedCodeModel
from vision.nn.dvae import DiscreteVAE
from vision.nn.tokenizer import Tokenizer, VisualTokenizer
from vision.nn.vit import VisionTransformer
from vision.train.checkpoint import (
    CONFIG_FILE,
    CheckpointError,
    load_encoder,
    load_module,
    load_tokenizer,
    read_header,
    save_encoder,
    save_masked_model,
    save_module,
    save_tokenizer,
)

ENCODER, TOKENIZER, MODEL = "encoder", "tokenizer", "model"
FOLDERS = (ENCODER, TOKENIZER, MODEL)


@dataclass(frozen=True, kw_only=True)
class DiscreteVAEConfig:
    """What builds a DiscreteVAE."""

    encoder: ViTConfig
    method: DVAEConfig


def save_artifacts(run: Path, artifact: nn.Module, extra: Mapping[str, Any]) -> list[Path]:
    """Write what a method leaves into folders of ``run``; ``extra`` travels with each. Returns the folders."""
    if isinstance(artifact, VisionTransformer):
        save_encoder(run / ENCODER, artifact, extra)
        return [run / ENCODER]
    if isinstance(artifact, MaskedCodeModel):
        save_masked_model(run / MODEL, artifact, extra)
        save_encoder(run / ENCODER, artifact.encoder, extra)
        return [run / MODEL, run / ENCODER]
    if isinstance(artifact, Tokenizer):
        save_tokenizer(run / TOKENIZER, artifact, extra)
    elif isinstance(artifact, DiscreteVAE):
        config = DiscreteVAEConfig(encoder=artifact.encoder.config, method=artifact.config)
        save_module(run / TOKENIZER, artifact, to_dict(config), "dvae", extra)
    else:
        raise TypeError(f"a run leaves an encoder, a tokenizer or a masked model, not {type(artifact).__name__}")
    save_encoder(run / ENCODER, artifact.encoder, extra)
    return [run / TOKENIZER, run / ENCODER]


def open_encoder(path: Path) -> tuple[VisionTransformer, dict[str, Any]]:
    """The encoder of a run, or of an encoder's own folder, and its extra. Raises CheckpointError."""
    folder = _artifact_folder(path, ENCODER)
    return load_encoder(folder), read_header(folder, "encoder")["extra"]


def open_tokenizer(path: Path) -> tuple[VisualTokenizer, dict[str, Any]]:
    """The tokenizer of a run, or of a tokenizer's own folder, and its extra. Raises CheckpointError."""
    folder = _artifact_folder(path, TOKENIZER)
    if artifact_kind(folder) == "dvae":
        dvae = load_module(folder, "dvae", _build_dvae)
        return dvae, read_header(folder, "dvae")["extra"]
    return load_tokenizer(folder), read_header(folder, "tokenizer")["extra"]


def artifact_kind(folder: Path) -> str | None:
    """What an artefact folder says it is; None where it cannot be read, which loading it explains."""
    try:
        return json.loads((folder / CONFIG_FILE).read_text())["kind"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _artifact_folder(path: Path, wanted: str) -> Path:
    """The folder ``wanted`` of a run, or ``path`` itself where it is an artefact."""
    if (path / wanted).is_dir():
        return path / wanted
    if (path / CONFIG_FILE).is_file():
        return path
    there = [name for name in FOLDERS if (path / name).is_dir()]
    if there:
        raise CheckpointError(f"{path} holds no {wanted} but {' and '.join(there)}: it is a run of another method")
    if (path / "config.yaml").is_file():
        raise CheckpointError(f"{path} is a run that has not ended; go on with fintok vision pretrain --resume")
    raise CheckpointError(f"{path} holds no {wanted}; name the folder that fintok vision pretrain left")


def _build_dvae(mapping: Mapping[str, Any]) -> DiscreteVAE:
    config = from_dict(DiscreteVAEConfig, mapping)
    return DiscreteVAE(config.encoder, config.method)
