"""``fintok vision inspect``."""

from __future__ import annotations

from pathlib import Path

from vision.commands.options import RunPath, as_yaml
from vision.errors import InputError


def inspect(run: RunPath, /) -> None:
    """What a run holds: configuration, figures, what it left."""
    from vision.train.folder import CONFIG_FILE, STATE, read_run
    from vision.train.metrics import read_metrics

    if (run / CONFIG_FILE).is_file():
        config, facts = read_run(run)
        print(as_yaml(config.values()), end="")
        print(f"\ntrained on {facts.num_images} images of {facts.data}")
        if facts.parent is not None:
            print(f"builds on {facts.parent}")
        if facts.init is not None:
            print(f"started from {facts.init}")
        rows = read_metrics(run / f"{STATE}.csv")
        if rows:
            last = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in rows[-1].items())
            print(f"{rows[-1]['step']:.0f} of {config.optim.steps} steps: {last}")
    left = _artifacts(run)
    if not left and not (run / CONFIG_FILE).is_file():
        raise InputError(f"{run} holds no run; name the folder that fintok vision pretrain or convert left")
    for line in left:
        print(line)


def _artifacts(run: Path) -> list[str]:
    """A line for each artefact: what it is, how large, what it was trained on."""
    from vision.train.artifacts import FOLDERS
    from vision.train.checkpoint import CONFIG_FILE, TOKENIZERS, WEIGHTS_FILE, read_header, read_tensors

    lines = []
    for folder in (run, *(run / name for name in FOLDERS)):
        if not (folder / CONFIG_FILE).is_file():
            continue
        header = read_header(folder, "encoder", "masked_code_model", *TOKENIZERS)
        count = sum(tensor.numel() for tensor in read_tensors(folder / WEIGHTS_FILE).values())
        inputs = header["extra"].get("inputs")
        shown = "" if inputs is None else f", images of {' x '.join(map(str, inputs['image_size']))} pixels"
        lines.append(f"{folder}: {header['kind'].replace('_', ' ')}, {count:,} numbers{shown}")
    return lines
