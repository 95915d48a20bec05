"""The state of a run under way: method, heads, centres, codebook and optimiser, in one file.

It holds tensors, numbers, strings, and lists and dicts of them, so it is read with ``weights_only=True``.
It is written to a temporary name and renamed: an interruption leaves the state of before.
"""

import io
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vision.files import write_bytes
from vision.train.checkpoint import FORMAT_VERSION, CheckpointError

STATE_KEYS = {"format_version", "run", "step", "method", "optimizer"}


def save_training_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write the checkpoint of a run: tensors, numbers, strings, and lists and dicts of them."""
    file = io.BytesIO()
    torch.save({"format_version": FORMAT_VERSION, **state}, file)
    write_bytes(file.getbuffer(), path)


def load_training_state(path: Path) -> dict[str, Any]:
    """Read the checkpoint of a run, with every tensor on the CPU. Raises CheckpointError in one sentence."""
    if not path.exists():
        raise CheckpointError(f"{path} is missing")
    if not zipfile.is_zipfile(path):  # a zip ends with its table of contents, so one cut short is none
        raise CheckpointError(f"{path} is cut short or not a training checkpoint")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, ValueError, LookupError, EOFError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path} is damaged or not a training checkpoint ({reason})") from None
    if not isinstance(state, dict) or "format_version" not in state:
        raise CheckpointError(f"{path} is not a training checkpoint")
    if state["format_version"] != FORMAT_VERSION:
        found = state["format_version"]
        raise CheckpointError(f"{path} has format version {found!r}; this release reads {FORMAT_VERSION}")
    if state.keys() != STATE_KEYS:
        difference = sorted(state.keys() ^ STATE_KEYS)[0]
        raise CheckpointError(f"{path} lacks or does not know the entry {difference!r}")
    return state
