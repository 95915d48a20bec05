"""What a method builds on: the teacher or tokenizer of another run, and its copy in the run's own checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from vision.config import PretrainConfig, from_dict
from vision.errors import InputError
from vision.nn.tokenizer import VisualTokenizer
from vision.train.artifacts import ENCODER, TOKENIZER, network_of, open_encoder, open_tokenizer
from vision.train.checkpoint import build_network
from vision.train.folder import RunFacts
from vision.train.inputs import Inputs


class Parent(NamedTuple):
    """The run that another builds on."""

    module: nn.Module
    inputs: Inputs | None  # what it was trained on, where it says so
    network: dict[str, Any]  # what builds the module again


def open_parent(config: PretrainConfig, parent: Path | None) -> Parent | None:
    """What the method of ``config`` builds on, from its folder; None = nothing. Raises InputError."""
    wanted = _wanted(config)
    if wanted is None:
        if parent is not None:
            raise InputError(f"{config.method} builds on no other run: leave out {parent}")
        return None
    if parent is None:
        is_teacher = wanted == "teacher"
        makers = "dino, ibot or dinov2 (or another encoder)" if is_teacher else "dvae, vqkd or online_tokenizer"
        raise InputError(f"{config.method} builds on a {wanted}: name the folder of a run of {makers} as --{wanted}")
    module, extra = open_encoder(parent) if wanted == "teacher" else open_tokenizer(parent)
    patch_size = module.patch_size if isinstance(module, VisualTokenizer) else module.config.patch_size
    if patch_size != config.encoder.patch_size:
        raise InputError(
            f"the {wanted} in {parent} has patches of {' x '.join(map(str, patch_size))}, encoder.patch_size is "
            f"{' x '.join(map(str, config.encoder.patch_size))}: they must be the same"
        )
    inputs = extra.get("inputs")
    known = None if inputs is None else from_dict(Inputs, inputs, str(parent))
    return Parent(module, known, network_of(parent, ENCODER if wanted == "teacher" else TOKENIZER))


def rebuild_parent(config: PretrainConfig, facts: RunFacts) -> nn.Module | None:
    """The module that a run builds on, to be filled from its checkpoint; None = it builds on nothing.

    Runs that do not say what builds it need the folder of the parent. Raises InputError.
    """
    if facts.parent_network is not None:
        return build_network(facts.parent_network)
    opened = open_parent(config, None if facts.parent is None else Path(facts.parent))
    return None if opened is None else opened.module


def _wanted(config: PretrainConfig) -> str | None:
    if config.method == "vqkd" and config.vqkd.target == "patches":
        return None
    return config.needs.parent
