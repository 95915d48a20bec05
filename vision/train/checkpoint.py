"""Files that a run leaves: artefacts to share, and the checkpoint of a run under way.

An artefact (encoder, tokenizer, …) is a folder of ``config.json`` (format version, kind, vision version, the
config that builds the module) and ``model.safetensors``: no code is stored, none is run on loading. A training
checkpoint is one file of tensors, numbers and strings, read with ``weights_only=True``. Both are written to a
temporary name and renamed, so a reader finds the old file or the new one, never half of one.
"""

import json
import os
import pickle
import tempfile
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

FORMAT_VERSION = 1
CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
CONFIG_KEYS = {"format_version", "kind", "vision_version", "config", "extra"}


class CheckpointError(ValueError):
    """A file that cannot be read as what it should be; one sentence that names the file and the fault."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that at every moment it is either the old one or the new one, complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp gives 600: an artefact is as readable as any new file
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def save_module(
    folder: Path,
    module: nn.Module,
    config: Mapping[str, Any],
    kind: str,
    extra: Mapping[str, Any] | None = None,
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
    tensors = {
        name: tensor.detach().cpu().contiguous().clone() for name, tensor in module.state_dict().items()
    }
    header = {
        "format_version": FORMAT_VERSION,
        "kind": kind,
        "vision_version": _installed_version(),
        "config": dict(config),
        "extra": dict(extra or {}),
    }
    write_atomically(folder / WEIGHTS_FILE, save(tensors))
    write_atomically(folder / CONFIG_FILE, (json.dumps(header, indent=2) + "\n").encode())


def read_header(folder: Path, kind: str) -> dict[str, Any]:
    """``config.json`` of an artefact, checked. Raises CheckpointError naming the file and what is wrong with it."""
    path = folder / CONFIG_FILE
    try:
        header = json.loads(path.read_text())
    except FileNotFoundError:
        raise CheckpointError(f"{folder} holds no {CONFIG_FILE}: it is not a saved {kind}") from None
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
    if header["kind"] != kind:
        raise CheckpointError(f"{folder} holds a {header['kind']}, not a {kind}")
    return header


def load_module(folder: Path, kind: str, build: Callable[[Mapping[str, Any]], nn.Module]) -> nn.Module:
    """Read an artefact folder: build the module from its config and fill every tensor, in eval mode on the CPU.

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
        more = (
            f" (and {len(missing) + len(unknown) - 1} more differences)"
            if len(missing) + len(unknown) > 1
            else ""
        )
        raise CheckpointError(f"{source} {fault}{more}")
    for name, tensor in wanted.items():
        if tensor.shape != tensors[name].shape:
            found, expected = tuple(tensors[name].shape), tuple(tensor.shape)
            raise CheckpointError(f"{source}: {name!r} has shape {found}, the model needs {expected}")
    module.load_state_dict(dict(tensors))


def save_training_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write the checkpoint of a run: tensors, numbers, strings, and lists and dicts of them."""
    with tempfile.TemporaryFile() as file:
        torch.save({"format_version": FORMAT_VERSION, **state}, file)
        file.seek(0)
        write_atomically(path, file.read())


def load_training_state(path: Path) -> dict[str, Any]:
    """Read the checkpoint of a run, with every tensor on the CPU. Raises CheckpointError in one sentence."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing") from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path} is damaged or not a training checkpoint ({reason})") from None
    if not isinstance(state, dict) or state.get("format_version") != FORMAT_VERSION:
        found = state.get("format_version") if isinstance(state, dict) else None
        raise CheckpointError(f"{path} has format version {found!r}; this release reads {FORMAT_VERSION}")
    return state


def _installed_version() -> str:
    try:
        return version("fintok")
    except PackageNotFoundError:  # run from a checkout
        return "unknown"
