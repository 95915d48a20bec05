"""Readings on disk, by what they were read from: the second start is immediate. Arrays and JSON, never pickle."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fintok import __version__
from fintok.regime_result import Regimes
from fintok.score_result import Scores
from fintok.tails import TailMap
from fintok.tokenizer import Tokens
from fintok_dashboard.reading import Pictures, Reading

if TYPE_CHECKING:
    from fintok import Panel

FORMAT = 3
_KINDS: dict[str, Any] = {kind.__name__: kind for kind in (Scores, Regimes, Tokens, TailMap, Pictures)}
_HEADER = "reading.json"
_KEPT = 3  # readings of one model that stay
_LEFT_OUT = ("panel", "groups")  # what is at hand when a reading is opened


def model_fingerprint(model: Path) -> str:
    """Hash of a model's files."""
    digest = hashlib.sha256(f"{FORMAT} {__version__}".encode())
    files = [model / name for name in ("bundle.json", "arrays.safetensors")]
    for path in [*files, *(model / part / "model.safetensors" for part in ("tokenizer", "predictor"))]:
        digest.update(path.read_bytes() if path.is_file() else b"-")
    return digest.hexdigest()[:24]


def fingerprint(panel: Panel, model: str, errors: Sequence[tuple[str, str]], *tables: Path | None) -> str:
    """Hash of all that a reading depends on: panel, model, known errors, and tables taken as they are."""
    digest = hashlib.sha256(f"{model} {list(errors)}".encode())
    arrays = [panel.returns, panel.dates, panel.prices, *(panel.fields[name] for name in sorted(panel.fields))]
    for array in arrays:
        digest.update(b"-" if array is None else np.ascontiguousarray(array).view(np.uint8).data)
    digest.update("\n".join([*panel.assets, panel.values]).encode())
    for path in tables:
        digest.update(b"-" if path is None else path.read_bytes())
    return digest.hexdigest()[:24]


def save_reading(reading: Reading, folder: Path, name: str) -> None:
    """Keep a reading under a name; the oldest ones beyond the third go. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
    try:
        values = {
            field.name: _encode(getattr(reading, field.name), field.name, temporary)
            for field in fields(Reading)
            if field.name not in _LEFT_OUT
        }
        (temporary / _HEADER).write_text(json.dumps(values), encoding="utf-8")
        for path in temporary.iterdir():
            with path.open("r+b") as file:
                os.fsync(file.fileno())  # the name must not be on the disk before what it names
        shutil.rmtree(folder / name, ignore_errors=True)
        temporary.rename(folder / name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    known = [path.parent for path in folder.glob(f"*/{_HEADER}")]
    for old in sorted(known, key=lambda path: path.stat().st_mtime)[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def open_reading(folder: Path, name: str, panel: Panel, groups: dict[str, str]) -> Reading | None:
    """The reading kept under a name, its large arrays left on disk until they are looked at; None where none is.

    A damaged one counts as none: it is read again.
    """
    try:
        values = json.loads((folder / name / _HEADER).read_bytes())
        known = {key: _decode(value, folder / name, panel) for key, value in values.items()}
        known["regimes"] = {int(number): regimes for number, regimes in known["regimes"].items()}
        return Reading(panel=panel, groups=groups, **known)
    except Exception:  # of any library, on any damage
        return None


def _encode(value: Any, name: str, folder: Path) -> Any:
    """JSON for a value; arrays go to files of their own."""
    if isinstance(value, np.ndarray):
        file = f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.npy"
        np.save(folder / file, value, allow_pickle=False)
        return {"array": file}
    if isinstance(value, pd.DataFrame):
        file = f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.parquet"
        value.to_parquet(folder / file)
        return {"table": file}
    if isinstance(value, np.datetime64):
        return {"moment": str(value)}
    if isinstance(value, Pictures) or (is_dataclass(value) and type(value).__name__ in _KINDS):
        names = value._fields if isinstance(value, Pictures) else [field.name for field in fields(value)]
        parts = {part: getattr(value, part) for part in names if part not in _LEFT_OUT}
        return {"kind": type(value).__name__, "parts": _encode(parts, name, folder)}
    if isinstance(value, dict):
        return {"items": {str(key): _encode(part, f"{name}/{key}", folder) for key, part in value.items()}}
    if isinstance(value, tuple):
        return {"tuple": [_encode(part, f"{name}/{place}", folder) for place, part in enumerate(value)]}
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{name} is {type(value).__name__}, which has no form on disk")


def _decode(value: Any, folder: Path, panel: Panel) -> Any:
    if not isinstance(value, dict):
        return value
    pairs: Any = value.items() if len(value) == 1 else (("kind", value),)
    ((form, content),) = pairs
    if form == "array":
        return np.load(folder / content, mmap_mode="r", allow_pickle=False)
    if form == "table":
        return pd.read_parquet(folder / content)
    if form == "moment":
        return np.datetime64(content)
    if form == "items":
        return {key: _decode(part, folder, panel) for key, part in content.items()}
    if form == "tuple":
        return tuple(_decode(part, folder, panel) for part in content)
    kind: Any = _KINDS[content["kind"]]
    parts = _decode(content["parts"], folder, panel)
    needs_panel = kind in (Scores, Regimes)
    return kind(**parts, **({"panel": panel} if needs_panel else {}))
