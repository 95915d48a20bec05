"""What a run leaves, by what it is: an encoder always, and the tokenizer or the masked model it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from vision.methods.codes import MaskedCodeModel
from vision.methods.online_tokenizer import ModelWithTokenizer
from vision.nn.dvae import DiscreteVAE
from vision.nn.tokenizer import Tokenizer, VisualTokenizer
from vision.nn.vit import VisionTransformer
from vision.train.checkpoint import (
    CONFIG_FILE,
    TOKENIZERS,
    AnyTokenizer,
    CheckpointError,
    read_header,
    save_encoder,
    save_masked_model,
    save_tokenizer,
)
from vision.train.checkpoint import load_encoder as read_encoder_folder
from vision.train.checkpoint import load_tokenizer as read_tokenizer_folder

ENCODER, TOKENIZER, MODEL = "encoder", "tokenizer", "model"
FOLDERS = (ENCODER, TOKENIZER, MODEL)


def save_artifacts(run: Path, artifact: nn.Module, extra: Mapping[str, Any]) -> list[Path]:
    """Write what a method leaves into folders of ``run``; ``extra`` travels with each. Returns the folders."""
    if isinstance(artifact, VisionTransformer):
        save_encoder(run / ENCODER, artifact, extra)
        return [run / ENCODER]
    if isinstance(artifact, MaskedCodeModel):
        save_masked_model(run / MODEL, artifact, extra)
        save_encoder(run / ENCODER, artifact.encoder, extra)
        return [run / MODEL, run / ENCODER]
    if isinstance(artifact, ModelWithTokenizer):
        save_tokenizer(run / TOKENIZER, artifact.tokenizer, extra)
        return [run / TOKENIZER, *save_artifacts(run, artifact.model, extra)]
    if isinstance(artifact, Tokenizer | DiscreteVAE):
        save_tokenizer(run / TOKENIZER, artifact, extra)
        save_encoder(run / ENCODER, artifact.encoder, extra)
        return [run / TOKENIZER, run / ENCODER]
    raise TypeError(f"a run leaves an encoder, a tokenizer or a masked model, not {type(artifact).__name__}")


def load_encoder(path: str | Path) -> VisionTransformer:
    """The encoder of a run, or of an encoder's own folder, in eval mode on the CPU. Raises CheckpointError."""
    return open_encoder(Path(path))[0]


def load_tokenizer(path: str | Path, expected: type[AnyTokenizer] = VisualTokenizer) -> AnyTokenizer:
    """The tokenizer of a run, or of a tokenizer's own folder, likewise; also an error unless it is as ``expected``."""
    return read_tokenizer_folder(_artifact_folder(Path(path), TOKENIZER), expected)


def open_encoder(path: Path) -> tuple[VisionTransformer, dict[str, Any]]:
    """The encoder of a run, or of an encoder's own folder, and its extra. Raises CheckpointError."""
    folder = _artifact_folder(path, ENCODER)
    return read_encoder_folder(folder), read_header(folder, "encoder")["extra"]


def open_tokenizer(path: Path) -> tuple[VisualTokenizer, dict[str, Any]]:
    """The tokenizer of a run, or of a tokenizer's own folder, and its extra. Raises CheckpointError."""
    folder = _artifact_folder(path, TOKENIZER)
    return read_tokenizer_folder(folder), read_header(folder, *TOKENIZERS)["extra"]


def network_of(path: Path, wanted: str) -> dict[str, Any]:
    """Kind and configuration of the network in the folder ``wanted`` of a run, or at ``path`` itself.

    What :func:`vision.train.checkpoint.build_network` takes. Raises CheckpointError.
    """
    header = read_header(_artifact_folder(path, wanted), "encoder", *TOKENIZERS)
    return {"kind": header["kind"], "config": header["config"]}


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
