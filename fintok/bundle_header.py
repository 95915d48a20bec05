"""The header of a bundle: what is known of it beside its networks and arrays, and which files are its own."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fintok import __version__
from fintok.errors import InputError
from vision.files import write_bytes
from vision.train.checkpoint import CheckpointError

HEADER = "bundle.json"
_FORMAT_VERSION = 5
_KEYS = {"format_version", "fintok_version", "train_end", "training_panels", "memories", "figures", "config", "files"}


def write_header(folder: Path, facts: Mapping[str, Any], files: Iterable[str]) -> None:
    """Write what is known of a bundle, and the SHA-256 of its files, which are there already."""
    header = {
        "format_version": _FORMAT_VERSION,
        "fintok_version": __version__,
        **facts,
        "files": {name: _sha256(folder / name) for name in files},
    }
    write_bytes((json.dumps(header, indent=2) + "\n").encode(), folder / HEADER)


def read_header(folder: Path) -> dict[str, Any]:
    """What is known of the bundle in a folder.

    Raises InputError (no bundle there) or CheckpointError (damaged, of another version, or beside files that are not
    those it was written with).
    """
    path = folder / HEADER
    if not path.is_file():
        if folder.is_file():
            raise InputError(f"{folder} is a file; give the folder that fintok pretrain left")
        hint = f"make one with fintok pretrain --panel P --out {folder}"
        if (folder / "stages").is_dir():
            hint = "its training has not finished: go on with fintok pretrain … --resume"
        raise InputError(f"{folder} holds no model ({HEADER} is missing); {hint}")
    try:
        header = json.loads(path.read_bytes())
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON ({error}); the file is damaged") from None
    found = header.get("format_version") if isinstance(header, dict) else None
    if found != _FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format version {found!r}, this release reads {_FORMAT_VERSION}; train the model again"
        )
    odd_keys = header.keys() ^ _KEYS
    if odd_keys:
        odd = sorted(odd_keys)[0]
        raise CheckpointError(f"{path}: key {odd!r} is {'unknown' if odd in header else 'missing'}")
    for name, digest in header["files"].items():
        if (folder / name).is_file() and _sha256(folder / name) != digest:
            raise CheckpointError(
                f"{folder / name} is damaged or cut short, or of another model than {HEADER}: copy the whole folder "
                "anew"
            )
    return header


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
