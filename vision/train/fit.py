"""Train a method on a dataset: one call, with progress, checkpoints, and exact resume."""

import copy
import logging
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy
from torch._dynamo.exc import TorchDynamoException

from vision.config import OptimConfig, to_dict
from vision.data.loader import ImageDataset, ViewMaker, make_loader
from vision.errors import InputError
from vision.methods.base import Method
from vision.train.checkpoint import CheckpointError, fill
from vision.train.interrupt import Interrupted, hold_interrupts
from vision.train.metrics import read_metrics
from vision.train.module import Keeper, PretrainModule, Watcher
from vision.train.progress import is_quiet
from vision.train.shard import whole
from vision.train.state import load_training_state

Strategy = Literal["ddp", "fsdp"]
EXPECTED_WARNINGS = (  # of Lightning, about what is so on purpose
    ".*does not have many workers.*",
    ".*broadcast_buffers.*",  # its successor still copies buffers at the start
    ".*GPU available but not used.*",
    ".*in eval mode at the start of training.*",  # teachers and tokenizers are frozen
    ".*isinstance\\(treespec, LeafSpec\\).*",
)


class FitResult(NamedTuple):
    """What a run has come to."""

    steps: int  # updates made, those before a resume included
    metrics: dict[str, float]  # the last row of the metrics file; empty if there is none
    seconds: float  # of this call
    checkpoint: Path  # the state of the run: method, heads, centres, codebook, optimiser
    metrics_file: Path  # CSV: step, loss, its terms, the method's figures, learning rate, speed


def fit(
    method: Method,
    dataset: ImageDataset,
    views: ViewMaker,
    config: OptimConfig,
    *,
    seed: int,
    out: str | Path,
    name: str,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    log_every: int = 25,
    checkpoint_every: int = 1000,
    num_workers: int = 0,
    accelerator: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    strategy: Strategy = "ddp",
) -> FitResult:
    """Train ``method`` in place for ``config.steps`` updates.

    A run that is interrupted (Ctrl-C: it ends the step, saves, and raises KeyboardInterrupt; a second
    Ctrl-C stops at once) and resumed gives, bit for bit on a CPU, what the uninterrupted run gives.

    Parameters
    ----------
    method : freshly built, also for a resume: its state then comes from the checkpoint.
    dataset, views : as in ``vision.data.loader``.
    seed : of the order of samples, their views, and what is random inside a step. Weights are the caller's.
    out, name : files are ``out/name.ckpt`` and ``out/name.csv``; ``name`` also stands before the progress.
    resume : go on from ``out/name.ckpt`` where it exists; otherwise start anew and replace it.
    callbacks : further Lightning callbacks.
    progress : show a bar (terminal) or a line about every ten seconds (elsewhere) on stderr.
    log_every : steps between rows of figures; the only times at which the device is waited for.
    checkpoint_every : steps between checkpoints.
    num_workers : processes that prepare batches. Changes no number.
    accelerator, devices : as in Lightning; a process on each device.
    nodes : machines with as many devices each, of which each calls this; they share the folder ``out``.
    strategy : of several devices: "ddp", each holds all weights, or "fsdp", each a part of them.

    Raises
    ------
    InputError : there are no such devices; see :func:`make_trainer`. The step is to be compiled and cannot be.
    CheckpointError : the checkpoint to resume is damaged or belongs to another run.
    DivergedError : the loss is not finite; the checkpoint is the last good one.
    KeyboardInterrupt : after the state was saved.
    """
    began, out = time.monotonic(), Path(out)
    checkpoint, metrics_file = out / f"{name}.ckpt", out / f"{name}.csv"
    with _quiet(), torch.random.fork_rng(range(torch.cuda.device_count())):
        state = load_training_state(checkpoint) if resume and checkpoint.exists() else None
        start = 0 if state is None else state["step"]
        steps = max(config.steps - start, 0)
        trainer = make_trainer(config, out, steps, accelerator, devices, nodes, strategy, callbacks)
        samples_per_step = config.batch_size * config.accumulate * trainer.world_size
        config = config.at_batch(samples_per_step)
        identity = _identity(method, config, seed, samples_per_step)
        if state is not None:
            _check_identity(state["run"], identity, checkpoint)
            fill(method, state["method"], checkpoint)

        def loader(rank: int, world_size: int) -> Any:
            first, last = start * samples_per_step, config.steps * samples_per_step
            return make_loader(
                dataset,
                views,
                config.batch_size,
                first,
                last,
                seed,
                num_workers,
                rank=rank,
                world_size=world_size,
            )

        keeper = Keeper(checkpoint, identity, checkpoint_every, None if state is None else state["optimizer"])
        watcher = Watcher(metrics_file, name, log_every, progress and not is_quiet())
        steps = start
        if start < config.steps:
            if state is None and trainer.is_global_zero:
                checkpoint.unlink(missing_ok=True)  # else a later resume could pick up the run before this one
            # Lightning gives its trainer this list from outside the class, where pyright does not see it
            trainer.callbacks += [watcher, keeper]  # pyright: ignore[reportAttributeAccessIssue]
            is_split = devices * nodes != 1 and strategy == "fsdp"
            trained = copy.deepcopy(method) if is_split else method  # what is split stays so
            module = PretrainModule(trained, config, seed, start, loader, getattr(views, "prepare", None))
            try:
                device = trainer.strategy.root_device.type
                with hold_interrupts(keeper.request_stop), _tensor_cores(device, config.precision):
                    trainer.fit(module)
            except TorchDynamoException as error:
                reason = str(getattr(error, "inner_exception", error)).strip().split("\n")[0]
                raise InputError(f"the step cannot be compiled here ({reason}): leave optim.compile false") from None
            if is_split:
                method.load_state_dict(whole(dict(trained.state_dict())))
            steps = module.step  # fewer than asked for if a callback stopped the run
            if keeper.is_interrupted:
                raise Interrupted
    rows = read_metrics(metrics_file)
    last_row = rows[-1] if rows else {}
    return FitResult(steps, last_row, time.monotonic() - began, checkpoint, metrics_file)


def make_trainer(
    config: OptimConfig,
    out: Path,
    steps: int,
    accelerator: str,
    devices: int,
    nodes: int,
    strategy: Strategy,
    callbacks: Sequence[Callback] = (),
) -> pl.Trainer:
    """Lightning's trainer; writes nothing. Raises InputError where it cannot train on these devices."""
    try:
        with _quiet():
            return pl.Trainer(
                accelerator=accelerator,
                devices=devices,
                num_nodes=nodes,
                strategy="auto" if devices * nodes == 1 else make_strategy(strategy, devices * nodes),
                precision=config.precision,
                max_steps=steps,
                accumulate_grad_batches=config.accumulate,
                use_distributed_sampler=False,
                callbacks=list(callbacks),
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
                default_root_dir=out,
            )
    except (MisconfigurationException, ImportError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()).split(". ")[0].rstrip(".")
        raise InputError(
            f"cannot train on devices {devices} of accelerator {accelerator!r} ({reason}): choose others"
        ) from None


def make_strategy(name: Strategy, devices: int) -> DDPStrategy | ModelParallelStrategy:
    """Lightning's strategy. Its "fsdp" is of FSDP1 and asks for CUDA: FSDP2 comes as a model parallel one."""
    if name == "fsdp":
        return ModelParallelStrategy(data_parallel_size=devices, tensor_parallel_size=1)
    return DDPStrategy(broadcast_buffers=False)  # each buffer is a function of sums over all processes


def _identity(method: Method, config: OptimConfig, seed: int, samples_per_step: int) -> dict[str, Any]:
    """What a resume must find as it was; how a step's samples are spread over processes and computed may differ."""
    layout = {"batch_size", "accumulate", "compile"}
    optim = {f"optim.{key}": value for key, value in to_dict(config).items() if key not in layout}
    return {"method": type(method).__name__, "seed": seed, "samples_per_step": samples_per_step, **optim}


def _check_identity(found: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> None:
    for key, value in wanted.items():
        if found.get(key) != value:
            shown = "batch_size x accumulate x processes" if key == "samples_per_step" else key
            raise CheckpointError(f"{path} is of a run with {shown} {found.get(key)!r}, not {value!r}: it cannot go on")


@contextmanager
def _tensor_cores(device: str, precision: str) -> Iterator[None]:
    """Under mixed precision on a GPU, what stays in float32 (a frozen tokenizer) multiplies as TF32: ten bits of
    mantissa, as many as float16 has, at several times the speed (so too the official code of DINOv2)."""
    before = torch.get_float32_matmul_precision()
    if device == "cuda" and precision != "32-true":
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's tips and hardware lines, and the warnings that do not apply here."""
    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in EXPECTED_WARNINGS:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        logger.setLevel(level)
