"""Checkpoint files of other libraries, read without running any code that they hold."""

from __future__ import annotations

import argparse
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vision.errors import InputError

PREFIXES = ("module.", "_orig_mod.", "backbone.")  # of DDP, torch.compile, and DINO's multi-crop wrapper
FSDP = "_fsdp_wrapped_module."  # anywhere in a name
BRANCHES = ("teacher", "student")  # of one module, in DINOv2's training checkpoints
HF_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")


class ConvertError(InputError):
    """A checkpoint that is not what it should be; one sentence that names the file and the fault."""


class Checkpoint(NamedTuple):
    """What a file holds."""

    path: Path
    tensors: dict[str, Tensor]  # on the CPU, without the prefixes of wrappers
    config: dict[str, Any] | None  # of a Hugging Face folder
    entry: str | None  # where in the file the tensors were, None = at the top
    others: tuple[str, ...]  # the other entries of the file, not read


def read_checkpoint(path: Path, entries: tuple[str, ...] = (), entry: str | None = None) -> Checkpoint:
    """The tensors of a ``.pth`` or ``.safetensors`` file, or of a Hugging Face folder.

    Parameters
    ----------
    entries : where such a file keeps its weights, the best place first; only those that are there are tried.
    entry : the one to read, whatever is best; of a ``.pth`` file alone, the others have none.

    Raises
    ------
    ConvertError : missing, damaged, holding code, or without weights.
    """
    if entry is not None and (path.is_dir() or path.suffix == ".safetensors"):
        raise ConvertError(f"{path} has no entries: leave out {entry!r}")
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        raise ConvertError(f"{path} does not exist")
    if path.suffix == ".safetensors":
        return Checkpoint(path, _strip(_read_safetensors(path), path), None, None, ())
    content = _unpickle(path)
    if not isinstance(content, Mapping):
        raise ConvertError(f"{path} holds a {type(content).__name__}, expected named tensors")
    content = _in_branches(content)
    if entry is not None and entry not in content:
        raise ConvertError(f"{path} has no entry {entry!r}; it has {_some(map(str, content))}")
    chosen = entry or next((name for name in entries if isinstance(content.get(name), Mapping)), None)
    tensors = content if chosen is None else content[chosen]
    if not isinstance(tensors, Mapping):
        raise ConvertError(f"entry {chosen!r} of {path} is of type {type(tensors).__name__}, expected named tensors")
    wrong = [name for name, value in tensors.items() if not isinstance(value, Tensor)]
    if wrong or not tensors:
        place = path if chosen is None else f"entry {chosen!r} of {path}"
        fault = f"holds {wrong[0]!r}, which is no tensor" if wrong else "is empty"
        raise ConvertError(f"{place} {fault}; name the entry that holds the weights, one of {_some(map(str, content))}")
    others = () if chosen is None else tuple(str(name) for name in content if name != chosen)
    return Checkpoint(path, _strip(tensors, path), None, chosen, others)


def _read_folder(folder: Path) -> Checkpoint:
    """A Hugging Face folder: ``config.json`` and the weights in one file or several."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConvertError(f"{folder} holds no config.json: it is not a Hugging Face model") from None
    except (ValueError, OSError) as error:
        raise ConvertError(f"{folder / 'config.json'} cannot be read as JSON ({error})") from None
    single, index, pickled = (folder / name for name in HF_WEIGHTS)
    if single.is_file():
        tensors = _read_safetensors(single)
    elif index.is_file():
        tensors = {name: value for part in _parts(index) for name, value in _read_safetensors(part).items()}
    elif pickled.is_file():
        tensors = dict(_unpickle(pickled))
    else:
        raise ConvertError(f"{folder} holds no weights: expected one of {', '.join(HF_WEIGHTS)}")
    return Checkpoint(folder, tensors, config, None, ())


def _parts(index: Path) -> list[Path]:
    """The files that an index names."""
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, OSError, LookupError, AttributeError) as error:
        raise ConvertError(f"{index} is no index of weight files ({error!r})") from None
    return [index.parent / name for name in sorted(names)]


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise ConvertError(f"{path} is missing") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise ConvertError(f"{path} is damaged or cut short ({error})") from None


def _unpickle(path: Path) -> Any:
    """Tensors and plain values only; of classes, the ``argparse.Namespace`` that official checkpoints hold."""
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = " ".join(str(error).split())
        unsafe = "Unsupported global: GLOBAL "
        if unsafe in reason:
            name = reason.split(unsafe)[1].split(" ")[0]
            raise ConvertError(f"{path} holds {name}, and reading it could run code: save its tensors alone") from None
        raise ConvertError(f"{path} is damaged or not a checkpoint") from None
    except (RuntimeError, OSError, ValueError, LookupError, EOFError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConvertError(f"{path} is damaged, cut short or not a checkpoint ({reason})") from None


def _in_branches(content: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """The content of a file; where names begin with teacher. and student., there or in an entry, these are entries."""
    for place in (None, *content):
        tensors = content if place is None else content[place]
        names = list(map(str, tensors)) if isinstance(tensors, Mapping) else []
        if not all(any(name.startswith(f"{branch}.") for name in names) for branch in BRANCHES):
            continue
        found: dict[Any, Any] = {name: value for name, value in content.items() if place is not None and name != place}
        for name, value in tensors.items():
            branch, _, rest = str(name).partition(".")
            if branch in BRANCHES and rest:
                found.setdefault(branch, {})[rest] = value
            else:
                found[name] = value
        return found
    return content


def _strip(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Names without the prefixes of wrappers, however many. Raises ConvertError where two become one."""
    stripped = {}
    for name, tensor in tensors.items():
        name = name.replace(FSDP, "")
        while (prefix := next((p for p in PREFIXES if name.startswith(p)), None)) is not None:
            name = name.removeprefix(prefix)
        if name in stripped:
            raise ConvertError(
                f"{path} holds {name!r} twice, with and without the prefix of a wrapper: keep one of them"
            )
        stripped[name] = tensor
    return stripped


def _some(names: Any) -> str:
    listed = sorted(names)
    return ", ".join(listed[:6]) + (", …" if len(listed) > 6 else "")
