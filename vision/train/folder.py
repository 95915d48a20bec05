"""The folder of a run: its configuration and facts, and what may happen to a folder that is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vision.config import PretrainConfig, from_dict, read_yaml, to_dict
from vision.errors import InputError
from vision.files import write_bytes
from vision.train.artifacts import ENCODER, FOLDERS
from vision.train.checkpoint import CONFIG_FILE as HEADER
from vision.train.checkpoint import WEIGHTS_FILE, CheckpointError, read_header
from vision.train.inputs import Inputs

CONFIG_FILE, RUN_FILE, STATE = "config.yaml", "run.yaml", "pretrain"
LAYOUT = (  # may change
    "num_workers",
    "log_every",
    "checkpoint_every",
    "optim.batch_size",
    "optim.accumulate",
    "optim.compile",
)


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What a run was started with, beside its configuration: ``run.yaml``."""

    data: str  # where the images are, a whole path
    num_images: int
    parent: str | None  # the run it builds on, likewise
    parent_network: dict[str, Any] | None = None  # kind and configuration of what the checkpoint holds of it
    init: str | None = None  # the run of the same method whose weights it started from
    inputs: Inputs
    data_size: tuple[int, int] | None = None  # (height, width) of all its images, where they have one


def read_run(folder: Path) -> tuple[PretrainConfig, RunFacts]:
    """Configuration and facts of the run in ``folder``. Raises InputError."""
    if not (folder / CONFIG_FILE).is_file() or not (folder / RUN_FILE).is_file():
        raise InputError(f"{folder} holds no run; name the folder that fintok vision pretrain left")
    config = from_dict(PretrainConfig, read_yaml(folder / CONFIG_FILE), str(folder / CONFIG_FILE))
    return config, from_dict(RunFacts, read_yaml(folder / RUN_FILE), str(folder / RUN_FILE))


def check_folder(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that must not be written to, before any long work; nothing is touched."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if resume and out.is_dir() and not _is_run(out):
        raise InputError(f"{out} holds no run to resume; choose another --out, or leave out --resume")
    if out.is_dir() and not resume and not overwrite:
        raise InputError(f"{out} exists already; give --resume to go on, --overwrite to replace it, or another --out")
    check_replaceable(out)


def check_replaceable(out: Path) -> None:
    """Refuse a file, and a folder that holds something else than a run or a conversion; nothing is touched."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file: name a folder for the run")
    if out.is_dir() and any(out.iterdir()) and not _is_run(out):
        try:
            read_header(out / ENCODER, "encoder")  # of a conversion, which always leaves one
        except CheckpointError:
            raise InputError(f"{out} was not made by fintok vision and is left alone; name another --out") from None


def clear_folder(out: Path) -> None:
    """Remove what a run or a conversion left in ``out``; other files stay."""
    artifacts = [out / name for name in FOLDERS]
    files = [out / name for name in (CONFIG_FILE, RUN_FILE, f"{STATE}.ckpt", f"{STATE}.csv")]
    for path in (*files, *(folder / name for folder in artifacts for name in (HEADER, WEIGHTS_FILE))):
        path.unlink(missing_ok=True)
    for folder in artifacts:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def open_folder(out: Path, config: PretrainConfig, facts: RunFacts, *, resume: bool) -> None:
    """Write configuration and facts, or check that those of the run to resume are the same."""
    if resume and (out / RUN_FILE).is_file():
        before, known = read_run(out)
        _check_same(out, before.values(), config.values())
        if (known.num_images, known.inputs) != (facts.num_images, facts.inputs):
            raise InputError(f"the run in {out} was trained on other images ({known.data}): it cannot go on")
        return
    clear_folder(out)
    write_bytes(yaml.safe_dump(config.values(), sort_keys=False).encode(), out / CONFIG_FILE)
    write_bytes(yaml.safe_dump(to_dict(facts), sort_keys=False).encode(), out / RUN_FILE)


def _is_run(out: Path) -> bool:
    return (out / CONFIG_FILE).is_file() and (out / RUN_FILE).is_file()


def _check_same(out: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    old, new = _flat(before), _flat(now)
    for key in sorted(old.keys() | new.keys()):
        if key not in LAYOUT and old.get(key) != new.get(key):
            if key == "optim.steps":
                raise InputError(
                    f"the run in {out} is one of {old[key]} steps, not {new[key]}, and cannot be prolonged: resume it "
                    f"as it was, or start a new one from its weights, with -c {out / CONFIG_FILE} --init {out} and "
                    "another --out"
                )
            raise InputError(
                f"the run in {out} has {key} {old.get(key)!r}, not {new.get(key)!r}: resume it as it was, with "
                f"-c {out / CONFIG_FILE}"
            )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
