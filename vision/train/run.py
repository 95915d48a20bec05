"""One run of a method on images: a folder with its configuration, figures, checkpoint and what it leaves."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from vision.config import PretrainConfig, to_dict
from vision.data.augment import ImageViews
from vision.data.loader import unwrapped
from vision.errors import InputError
from vision.methods.base import Method
from vision.nn.teacher import Frozen
from vision.train.artifacts import save_artifacts
from vision.train.build import build
from vision.train.checkpoint import fill
from vision.train.fit import FitResult, Strategy, fit, make_trainer
from vision.train.folder import RUN_FILE, STATE, RunFacts, check_folder, clear_folder, open_folder, read_run
from vision.train.inputs import decide_inputs, open_data
from vision.train.optim import check_undecayed
from vision.train.parent import open_parent
from vision.train.state import load_training_state


@dataclass(frozen=True)
class RunResult:
    """What a run has come to."""

    folder: Path
    fit: FitResult
    written: list[Path]  # folders of artefacts; empty in all processes but the first
    is_main: bool  # False in all processes but the first, which alone writes and speaks


def pretrain(
    config: PretrainConfig,
    data: str | Path,
    out: str | Path,
    *,
    parent: str | Path | None = None,
    init: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    accelerator: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    strategy: Strategy = "ddp",
) -> RunResult:
    """Train the method of ``config`` on the images at ``data``.

    Parameters
    ----------
    out : folder of the run.
    parent : the run whose encoder is the teacher, or whose tokenizer is read, where the method builds on one.
    init : a run of the same method whose weights, heads and all to start from, with a schedule of its own.
    resume : go on with the run in ``out``: same data, configuration and parent.
    overwrite : replace the run in ``out``.
    progress : show it on stderr.
    accelerator, devices, nodes, strategy : as in :func:`vision.train.fit.fit`.

    Raises
    ------
    InputError : something given cannot be used; nothing was written.
    DivergedError : the loss is no longer finite.
    KeyboardInterrupt : after the state was saved.
    """
    data, out = Path(data), Path(out)
    parent, init = (None if path is None else Path(path) for path in (parent, init))
    # refuses before all else, and knows which process this is
    is_main = make_trainer(config.optim, out, config.optim.steps, accelerator, devices, nodes, strategy).is_global_zero
    if is_main:
        check_folder(out, resume=resume, overwrite=overwrite)
    opened = open_parent(config, parent)
    images = open_data(data, config.images)
    start_inputs = None if init is None else read_run(init)[1].inputs
    inputs = decide_inputs(images, config.images, (opened and opened.inputs) or start_inputs)
    method, views = build(config, inputs, images.size, opened and opened.module)
    check_undecayed(method.parameters_to_train(), config.optim)
    if init is not None:
        _start_from(init, method, config)
    facts = RunFacts(
        data=os.path.abspath(data),  # not resolved: a link may lead to a file without an ending
        num_images=len(images),
        parent=None if parent is None else os.path.abspath(parent),
        parent_network=None if opened is None else opened.network,
        init=None if init is None else os.path.abspath(init),
        inputs=inputs,
        data_size=images.size,
    )
    if is_main:
        if resume and progress and (out / RUN_FILE).exists() and not (out / f"{STATE}.ckpt").exists():
            print(f"{out} has no checkpoint yet: the run begins anew", file=sys.stderr)
        open_folder(out, config, facts, resume=resume)
        if progress and init is None:
            _say_few_vectors(config, views)
    try:
        result = fit(
            method,
            images,
            views,
            config.optim,
            seed=config.seed,
            out=out,
            name=STATE,
            resume=resume,
            progress=progress,
            log_every=config.log_every,
            checkpoint_every=config.checkpoint_every,
            num_workers=config.num_workers,
            accelerator=accelerator,
            devices=devices,
            nodes=nodes,
            strategy=strategy,
        )
    except InputError as error:
        if is_main and not (out / f"{STATE}.ckpt").exists():
            clear_folder(out)  # nothing to resume: else the next try is refused without --overwrite
        raise unwrapped(error) from None
    if not is_main:
        return RunResult(out, result, [], False)
    extra = {"method": config.method, "inputs": to_dict(inputs), "steps": result.steps, "data": facts.data}
    return RunResult(out, result, save_artifacts(out, method.artifact().eval(), extra), True)


def _start_from(run: Path, method: Method, config: PretrainConfig) -> None:
    """Fill ``method`` with what the run of the same method has learned. Raises InputError or CheckpointError."""
    before = read_run(run)[0].method
    if before != config.method:
        raise InputError(f"{run} is a run of {before}, not of {config.method}: start from one of the same method")
    checkpoint = run / f"{STATE}.ckpt"
    state = load_training_state(checkpoint)["method"]
    # a parent's copy; a momentum teacher is the run's own
    frozen = tuple(f"{name}." for name, part in method.named_modules() if type(part) is Frozen)
    parents = {name: tensor for name, tensor in method.state_dict().items() if name.startswith(frozen)}
    if not all(torch.equal(tensor, state[name]) for name, tensor in parents.items() if name in state):
        raise InputError(f"{run} builds on another {config.needs.parent}, {read_run(run)[1].parent}: give that one")
    fill(method, state, checkpoint)


def _say_few_vectors(config: PretrainConfig, views: ImageViews) -> None:
    """Tell that k-means will have fewer vectors than codes: the codes left over start at random."""
    codebook = getattr(getattr(config, config.method), "codebook", None)
    if codebook is None or codebook.kmeans_iterations == 0:
        return
    vectors = config.optim.batch_size * config.views.num_global * views.grid.num_patches
    if vectors < codebook.num_codes:
        print(
            f"note: the first batch has {vectors} vectors for {codebook.num_codes} codes; "
            f"{codebook.num_codes - vectors} of them start at random. More images a step (optim.batch_size) or fewer "
            f"codes ({config.method}.codebook.num_codes) avoid it",
            file=sys.stderr,
        )
