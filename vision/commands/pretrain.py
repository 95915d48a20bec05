"""``fintok vision pretrain``."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from vision.commands.options import (
    AT_LEAST_ONE,
    CONFIGURATION,
    DataPath,
    Overwrite,
    PrintConfig,
    Resume,
    as_yaml,
    say_next,
    say_wrote,
)
from vision.config import NEEDS, OptimConfig, PretrainConfig
from vision.errors import InputError


def pretrain(
    *,
    data: DataPath | None = None,
    out: Annotated[Path | None, Parameter(help="Folder of the run.", show_default=False)] = None,
    max_steps: Annotated[
        int | None, Parameter(help="Length of the run in steps; warm-up shortens with it.", show_default=False)
    ] = None,
    size: Annotated[
        str | None, Parameter(help="Of the network: tiny, small, base, large, huge, giant.", show_default=False)
    ] = None,
    teacher: Annotated[
        Path | None,
        Parameter(help="Run that vqkd learns from: dino, ibot or dinov2, or another encoder.", show_default=False),
    ] = None,
    tokenizer: Annotated[
        Path | None, Parameter(help="Run of dvae, vqkd or online_tokenizer for beit and beit2.", show_default=False)
    ] = None,
    init: Annotated[
        Path | None,
        Parameter(help="Run of the same method whose weights, heads and all to start from.", show_default=False),
    ] = None,
    devices: Annotated[int, Parameter(help="Processes, one on each device.")] = 1,
    nodes: Annotated[
        int,
        Parameter(
            help="Machines with as many devices each. Each runs this command, with MASTER_ADDR, MASTER_PORT and "
            "NODE_RANK set (torchrun and SLURM do), and sees the same files.",
            validator=AT_LEAST_ONE,
        ),
    ] = 1,
    accelerator: Annotated[str, Parameter(help="cpu, cuda, mps, or auto.")] = "auto",
    strategy: Annotated[
        Literal["ddp", "fsdp"], Parameter(help="Of several devices: whole weights on each, or a part of them.")
    ] = "ddp",
    resume: Resume = False,
    overwrite: Overwrite = False,
    config_files: Annotated[
        tuple[str, ...],
        Parameter(
            name=("--config", "-c"),
            help="A YAML file, or a recipe such as paper/mae-base; may be repeated.",
            show_default=False,
        ),
    ] = (),
    print_config: PrintConfig = False,
    config: Annotated[PretrainConfig, Parameter(name="*", group=CONFIGURATION, show_default=False)] = PretrainConfig(),
) -> None:
    """Train an encoder or a tokenizer on images, without labels; leaves a folder.

    Values come from the method's recipe for small data (configs/vision/small), then from files, then from flags.
    """
    if not config.method:
        raise InputError(f"pretrain needs --method; there are: {', '.join(NEEDS)}")
    if max_steps is not None:
        config = replace(config, optim=shorten(config.optim, max_steps))
    if print_config:
        print(as_yaml(config.values()), end="")
        return
    if resume and out is not None and data is None:
        data, teacher, tokenizer, init = _as_before(config, out, teacher, tokenizer, init)
    if data is None or out is None:
        raise InputError(f"pretrain needs {'--data, the images' if data is None else '--out, a folder for the run'}")
    wanted = config.needs.parent
    for name, given in (("teacher", teacher), ("tokenizer", tokenizer)):
        if given is not None and wanted not in (None, name):
            raise InputError(f"{config.method} builds on a {wanted}: name it as --{wanted}, without --{name} {given}")
    began = time.monotonic()
    from vision.train.run import pretrain as train

    result = train(
        config,
        data,
        out,
        parent=teacher or tokenizer,
        init=init,
        resume=resume,
        overwrite=overwrite,
        accelerator=accelerator,
        devices=devices,
        nodes=nodes,
        strategy=strategy,
    )
    if not result.is_main:
        return
    figures = [f"{name.replace('_', ' ')} {value:.4g}" for name, value in result.fit.metrics.items()]
    print(f"{config.method}: {', '.join(figures)}")
    say_wrote(out, *result.written)
    print(f"took  {time.monotonic() - began:.0f} s")
    has_codes = any(path.name == "tokenizer" for path in result.written)
    verb, target = ("tokenize", "codes.npz") if has_codes else ("features", "features.npz")
    say_next("vision", verb, "--model", out, "--data", data, "--out", out / target)


def shorten(optim: OptimConfig, steps: int) -> OptimConfig:
    """The run squeezed (or stretched) into ``steps``, its warm-up with it."""
    if steps < 1:
        raise InputError(f"--max-steps is {steps}, expected at least 1")
    return replace(optim, steps=steps, warmup_steps=round(optim.warmup_steps * steps / optim.steps))


def _as_before(
    config: PretrainConfig, out: Path, teacher: Path | None, tokenizer: Path | None, init: Path | None
) -> tuple[Path, Path | None, Path | None, Path | None]:
    """Data, parent and start of the run to resume, where they were not given again."""
    from vision.train.folder import read_run

    _, facts = read_run(out)
    parent, start = (None if path is None else Path(path) for path in (facts.parent, facts.init))
    is_teacher = config.needs.parent == "teacher"
    teacher, tokenizer = teacher or (parent if is_teacher else None), tokenizer or (None if is_teacher else parent)
    return Path(facts.data), teacher, tokenizer, init or start
