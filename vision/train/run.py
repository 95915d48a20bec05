"""One run of a method on images: a folder with its configuration, figures, checkpoint and what it leaves."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from vision.config import ConfigError, PretrainConfig, from_dict, to_dict
from vision.data.augment import ImageViews
from vision.data.loader import unwrapped
from vision.errors import InputError
from vision.methods import METHODS
from vision.methods.base import Method
from vision.nn.grid import PatchGrid
from vision.train.artifacts import open_encoder, open_tokenizer, save_artifacts
from vision.train.checkpoint import fill
from vision.train.fit import FitResult, Strategy, fit, make_trainer
from vision.train.folder import STATE, RunFacts, check_folder, open_folder, read_run
from vision.train.inputs import Inputs, decide_inputs, fit_encoder, make_mask, open_data
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
    data: Path,
    out: Path,
    *,
    parent: Path | None = None,
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
    # refuses before all else, and knows which process this is
    is_main = make_trainer(config.optim, out, config.optim.steps, accelerator, devices, nodes, strategy).is_global_zero
    if is_main:
        check_folder(out, resume=resume, overwrite=overwrite)
    parent_module, parent_inputs = _open_parent(config, parent)
    images = open_data(data, config.images)
    inputs = decide_inputs(images, config.images, parent_inputs)
    method, views = build(config, inputs, images.size, parent_module)
    facts = RunFacts(
        data=str(data), num_images=len(images), parent=None if parent is None else str(parent), inputs=inputs
    )
    if is_main:
        open_folder(out, config, facts, resume=resume)
        if progress:
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
        raise unwrapped(error) from None
    if not is_main:
        return RunResult(out, result, [], False)
    extra = {"method": config.method, "inputs": to_dict(inputs), "steps": result.steps, "data": facts.data}
    return RunResult(out, result, save_artifacts(out, method.artifact().eval(), extra), True)


def build(
    config: PretrainConfig,
    inputs: Inputs,
    data_size: tuple[int, int] | None = None,
    parent: nn.Module | None = None,
) -> tuple[Method, ImageViews]:
    """The method, with weights that are a function of the seed, and its views. Raises InputError.

    Parameters
    ----------
    data_size : (height, width) of all images; None = they differ.
    parent : teacher or tokenizer, where the method builds on one.
    """
    encoder = fit_encoder(config.encoder, inputs)
    mask = make_mask(config, PatchGrid.of(*inputs.image_size, encoder.patch_size))
    try:
        views = ImageViews(
            inputs.image_size, encoder.patch_size, config.views, inputs.mean, inputs.std, mask, data_size
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            parts = () if parent is None else (parent,)
            method = METHODS[config.method](encoder, getattr(config, config.method), *parts)
    except ConfigError:
        raise
    except ValueError as error:
        raise InputError(f"{config.method}: {error}") from None
    _check_views(config, views)
    return method, views


def _check_views(config: PretrainConfig, views: ImageViews) -> None:
    """InputError for fewer views than the method compares, or local ones beyond positions learned on images."""
    wanted, given, encoder = config.needs.num_views, config.views, config.encoder
    if given.num_global + given.num_local < wanted:
        raise InputError(
            f"{config.method} compares {wanted} views of an image or more: raise views.num_global or views.num_local"
        )
    is_learned = encoder.relative_position != "none" or "learned" in (encoder.row_position, encoder.column_position)
    (height, width), (rows, columns) = views.sizes[0][0], views.sizes[-1][0]
    if is_learned and (rows > height or columns > width):
        raise InputError(
            f"local crops of {rows} x {columns} pixels go beyond images of {height} x {width}, where learned positions "
            "end: choose a smaller views.local_size"
        )


class LoadedMethod(NamedTuple):
    """A run as its checkpoint left it."""

    method: Method  # heads and all, in eval mode
    views: ImageViews
    inputs: Inputs  # what it was trained on: size, channels and scale of its images


def load_method(folder: Path) -> LoadedMethod:
    """The method of a run as its checkpoint left it, heads and all, in eval mode. Raises InputError."""
    config, facts = read_run(folder)
    parent, _ = _open_parent(config, None if facts.parent is None else Path(facts.parent))
    method, views = build(config, facts.inputs, None, parent)
    checkpoint = folder / f"{STATE}.ckpt"
    fill(method, load_training_state(checkpoint)["method"], checkpoint)
    return LoadedMethod(method.eval(), views, facts.inputs)


def _open_parent(config: PretrainConfig, parent: Path | None) -> tuple[nn.Module | None, Inputs | None]:
    """The module that the method builds on, and what it was trained on."""
    wanted = _wanted_parent(config)
    if wanted is None:
        if parent is not None:
            raise InputError(f"{config.method} builds on no other run: leave out {parent}")
        return None, None
    if parent is None:
        is_teacher = wanted == "teacher"
        makers = "dino, ibot or dinov2 (or another encoder)" if is_teacher else "dvae, vqkd or online_tokenizer"
        raise InputError(f"{config.method} builds on a {wanted}: name the folder of a run of {makers} as --{wanted}")
    if wanted == "teacher":
        module, extra = open_encoder(parent)
        patch_size = module.config.patch_size
    else:
        module, extra = open_tokenizer(parent)
        patch_size = module.patch_size
    if patch_size != config.encoder.patch_size:
        raise InputError(
            f"the {wanted} in {parent} has patches of {' x '.join(map(str, patch_size))}, encoder.patch_size is "
            f"{' x '.join(map(str, config.encoder.patch_size))}: they must be the same"
        )
    inputs = extra.get("inputs")
    return module, None if inputs is None else from_dict(Inputs, inputs, str(parent))


def _wanted_parent(config: PretrainConfig) -> str | None:
    if config.method == "vqkd" and config.vqkd.target == "patches":
        return None
    return config.needs.parent


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
