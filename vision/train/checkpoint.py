"""Artefacts: what a run leaves to be shared.

An artefact (encoder, tokenizer, masked code model) is a folder of ``config.json`` (format version, kind,
vision version, the config that builds the module) and ``model.safetensors``: no code is stored, none is
run on loading. Each file is written to a temporary name and renamed, so a reader finds the old one or the
new one, never half of one.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from vision import __version__
from vision.config import CodebookConfig, DVAEConfig, ViTConfig, from_dict, to_dict
from vision.errors import InputError
from vision.files import write_bytes
from vision.methods.codes import MaskedCodeModel
from vision.nn.dvae import DiscreteVAE
from vision.nn.nearest_code import NearestCodeTokenizer
from vision.nn.tokenizer import Tokenizer, VisualTokenizer
from vision.nn.vit import VisionTransformer

Built = TypeVar("Built", bound=nn.Module)
AnyTokenizer = TypeVar("AnyTokenizer", bound=VisualTokenizer)
Extra: TypeAlias = Mapping[str, Any] | None

FORMAT_VERSION = 1
CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
CONFIG_KEYS = {"format_version", "kind", "vision_version", "config", "extra"}


class CheckpointError(InputError):
    """A file that cannot be read as what it should be; one sentence that names the file and the fault."""


def save_module(
    folder: Path,
    module: nn.Module,
    config: Mapping[str, Any],
    kind: str,
    extra: Extra = None,
) -> None:
    """Write an artefact folder.

    Parameters
    ----------
    folder : made if it is not there; other files in it are left alone.
    module : its whole ``state_dict`` is saved.
    config : what builds the module again; plain values that JSON knows.
    kind : what it is ("encoder", "tokenizer", "masked_code_model", …); loading asks for the same kind.
    extra : further plain values to travel with it (for example how it was trained).
    """
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in module.state_dict().items()}
    header = {
        "format_version": FORMAT_VERSION,
        "kind": kind,
        "vision_version": __version__,
        "config": dict(config),
        "extra": dict(extra or {}),
    }
    write_bytes(save(tensors), folder / WEIGHTS_FILE)
    write_bytes((json.dumps(header, indent=2) + "\n").encode(), folder / CONFIG_FILE)


def read_header(folder: Path, *kinds: str) -> dict[str, Any]:
    """``config.json`` of an artefact of one of ``kinds``. Raises CheckpointError that names file and fault."""
    path = folder / CONFIG_FILE
    try:
        header = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise CheckpointError(f"{folder} holds no {CONFIG_FILE}: it is not a saved {kinds[0]}") from None
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON ({error}); the file is damaged") from None
    if not isinstance(header, dict) or "format_version" not in header:
        raise CheckpointError(f"{path} has no format_version: it was not written by this library")
    if header["format_version"] != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format version {header['format_version']!r}; this release reads {FORMAT_VERSION}"
        )
    if header.keys() != CONFIG_KEYS:
        unknown, missing = sorted(header.keys() - CONFIG_KEYS), sorted(CONFIG_KEYS - header.keys())
        fault = f"an unknown key {unknown[0]!r}" if unknown else f"no key {missing[0]!r}"
        raise CheckpointError(f"{path} has {fault}")
    if header["kind"] not in kinds:
        expected = " or ".join(map(repr, kinds))
        raise CheckpointError(f"{folder} holds {header['kind']!r}, expected {expected}")
    return header


def load_module(folder: Path, kind: str, build: Callable[[Mapping[str, Any]], Built]) -> Built:
    """Read an artefact folder: the module built from its config and filled, in eval mode on the CPU.

    Parameters
    ----------
    build : config -> the module, with any weights.

    Raises
    ------
    CheckpointError : a file is missing, damaged, of another kind or format version, its config has an unknown
        key, or its tensors are not exactly those of the module.
    """
    header = read_header(folder, kind)
    try:
        module = build(header["config"])
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{folder / CONFIG_FILE} does not describe a {kind}: {error}") from None
    fill(module, read_tensors(folder / WEIGHTS_FILE), folder / WEIGHTS_FILE)
    return module.eval()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file; CheckpointError if it is missing or damaged."""
    try:
        return load_file(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged or cut short ({error})") from None


def fill(module: nn.Module, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Put tensors into a module; every name and shape must match, both ways (CheckpointError otherwise)."""
    wanted = module.state_dict()
    missing, unknown = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    if missing or unknown:
        fault = f"lacks {missing[0]!r}" if missing else f"holds {unknown[0]!r}, which the model does not have"
        more = f" (and {len(missing) + len(unknown) - 1} more differences)" if len(missing) + len(unknown) > 1 else ""
        raise CheckpointError(f"{source} {fault}{more}")
    for name, tensor in wanted.items():
        if tensor.shape != tensors[name].shape:
            found, expected = tuple(tensors[name].shape), tuple(tensor.shape)
            raise CheckpointError(f"{source}: {name!r} has shape {found}, the model needs {expected}")
    module.load_state_dict(dict(tensors))


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """What builds a Tokenizer."""

    encoder: ViTConfig
    codebook: CodebookConfig
    channels: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class DiscreteVAEConfig:
    """What builds a DiscreteVAE."""

    encoder: ViTConfig
    method: DVAEConfig


@dataclass(frozen=True, kw_only=True)
class NearestCodeConfig:
    """What builds a NearestCodeTokenizer."""

    encoder: ViTConfig
    num_codes: int
    code_dim: int


@dataclass(frozen=True, kw_only=True)
class MaskedCodeConfig:
    """What builds a MaskedCodeModel."""

    encoder: ViTConfig
    num_codes: int
    mixed_channels: tuple[int, ...] = ()
    hint_channels: int = 0


def save_encoder(folder: str | Path, encoder: VisionTransformer, extra: Extra = None) -> None:
    """Write an encoder folder; ``extra`` as in :func:`save_module`."""
    save_module(Path(folder), encoder, to_dict(encoder.config), "encoder", extra)


def load_encoder(folder: str | Path) -> VisionTransformer:
    """Read an encoder folder, in eval mode on the CPU. Raises CheckpointError."""
    return load_module(Path(folder), "encoder", lambda c: VisionTransformer(from_dict(ViTConfig, c)))


def save_tokenizer(folder: str | Path, tokenizer: VisualTokenizer, extra: Extra = None) -> None:
    """Write a tokenizer folder, of any kind there is; ``extra`` as in :func:`save_module`."""
    if isinstance(tokenizer, Tokenizer):
        kind, codebook = "tokenizer", tokenizer.codebook.config
        config = TokenizerConfig(encoder=tokenizer.encoder.config, codebook=codebook, channels=tokenizer.channels)
    elif isinstance(tokenizer, DiscreteVAE):
        kind, config = "dvae", DiscreteVAEConfig(encoder=tokenizer.encoder.config, method=tokenizer.config)
    elif isinstance(tokenizer, NearestCodeTokenizer):
        num_codes, code_dim = tokenizer.codebook.shape
        kind = "nearest_code_tokenizer"
        config = NearestCodeConfig(encoder=tokenizer.encoder.config, num_codes=num_codes, code_dim=code_dim)
    else:
        raise TypeError(f"a {type(tokenizer).__name__} has no file format; known: {', '.join(TOKENIZERS)}")
    save_module(Path(folder), tokenizer, to_dict(config), kind, extra)


def load_tokenizer(folder: str | Path, expected: type[AnyTokenizer] = VisualTokenizer) -> AnyTokenizer:
    """Read a tokenizer folder of any kind, in eval mode on the CPU.

    Raises CheckpointError, also when it is not the kind of tokenizer that is ``expected``.
    """
    kind = read_header(Path(folder), *TOKENIZERS)["kind"]
    tokenizer = load_module(Path(folder), kind, TOKENIZERS[kind])
    if not isinstance(tokenizer, expected):
        raise CheckpointError(f"{folder} holds {kind!r}, expected a {expected.__name__}")
    return tokenizer


def _build_tokenizer(mapping: Mapping[str, Any]) -> Tokenizer:
    config = from_dict(TokenizerConfig, mapping)
    return Tokenizer(config.encoder, config.codebook, config.channels)


def _build_dvae(mapping: Mapping[str, Any]) -> DiscreteVAE:
    config = from_dict(DiscreteVAEConfig, mapping)
    return DiscreteVAE(config.encoder, config.method)


def _build_nearest_code(mapping: Mapping[str, Any]) -> NearestCodeTokenizer:
    config = from_dict(NearestCodeConfig, mapping)
    return NearestCodeTokenizer(config.encoder, config.num_codes, config.code_dim)


TOKENIZERS: Mapping[str, Callable[[Mapping[str, Any]], VisualTokenizer]] = {
    "tokenizer": _build_tokenizer,
    "dvae": _build_dvae,
    "nearest_code_tokenizer": _build_nearest_code,
}
"""Kind of an artefact -> what builds it."""


def build_network(network: Mapping[str, Any]) -> VisionTransformer | VisualTokenizer:
    """The encoder or tokenizer of some kind and configuration, with any weights. Raises CheckpointError."""
    try:
        kind, config = network["kind"], network["config"]
        return VisionTransformer(from_dict(ViTConfig, config)) if kind == "encoder" else TOKENIZERS[kind](config)
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"the run does not describe the network that it builds on: {error}") from None


def save_masked_model(folder: str | Path, model: MaskedCodeModel, extra: Extra = None) -> None:
    """Write the folder of a masked code model; ``extra`` as in :func:`save_module`."""
    config = MaskedCodeConfig(
        encoder=model.encoder.config,
        num_codes=model.num_codes,
        mixed_channels=model.mixed_channels,
        hint_channels=model.hint_channels,
    )
    save_module(Path(folder), model, to_dict(config), "masked_code_model", extra)


def load_masked_model(folder: str | Path) -> MaskedCodeModel:
    """Read the folder of a masked code model, in eval mode on the CPU. Raises CheckpointError."""

    def build(mapping: Mapping[str, Any]) -> MaskedCodeModel:
        config = from_dict(MaskedCodeConfig, mapping)
        return MaskedCodeModel(config.encoder, config.num_codes, config.mixed_channels, config.hint_channels)

    return load_module(Path(folder), "masked_code_model", build)
