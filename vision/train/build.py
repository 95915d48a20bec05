"""A method with its views, built of a configuration, and read from a run: what needs no trainer."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from vision.config import ConfigError, MaskConfig, PretrainConfig
from vision.data.augment import ImageViews
from vision.errors import InputError
from vision.methods import METHODS
from vision.methods.base import Method
from vision.nn.grid import PatchGrid
from vision.nn.vit import VisionTransformer
from vision.train.checkpoint import fill
from vision.train.folder import STATE, read_run
from vision.train.inputs import Inputs, fit_encoder, make_mask
from vision.train.parent import rebuild_parent
from vision.train.state import load_training_state


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
            inputs.image_size,
            encoder.patch_size,
            config.views,
            inputs.mean,
            inputs.std,
            mask,
            data_size,
            config.images.shorter_side,
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
    if parent is not None:
        _check_parent(parent, PatchGrid.of(*views.sizes[0][0], encoder.patch_size))
    return method, views


def _check_views(config: PretrainConfig, views: ImageViews) -> None:
    """InputError for fewer views than the method compares, or local ones beyond positions learned on images."""
    wanted, given, encoder = config.needs.num_views, config.views, config.encoder
    if given.num_global + given.num_local < wanted:
        raise InputError(
            f"{config.method} compares {wanted} views of an image or more: raise views.num_global or views.num_local"
        )
    if given.num_local and wanted == 1:
        raise InputError(f"{config.method} looks at global crops alone: set views.num_local 0")
    if not config.needs.is_masked and config.mask != MaskConfig():
        raise InputError(f"{config.method} hides nothing: leave mask.… out")
    is_learned = encoder.relative_position != "none" or "learned" in (encoder.row_position, encoder.column_position)
    (height, width), (rows, columns) = views.sizes[0][0], views.sizes[-1][0]
    if is_learned and (rows > height or columns > width):
        raise InputError(
            f"local crops of {rows} x {columns} pixels go beyond images of {height} x {width}, where learned positions "
            "end: choose a smaller views.local_size"
        )


def _check_parent(parent: nn.Module, grid: PatchGrid) -> None:
    """InputError for images of more patches than the positions of teacher or tokenizer were learned on."""
    for config in [part.config for part in parent.modules() if isinstance(part, VisionTransformer)]:
        is_learned = config.relative_position != "none" or "learned" in (config.row_position, config.column_position)
        if is_learned and (grid.rows > config.max_rows or grid.columns > config.max_columns):
            raise InputError(
                f"images of {grid.height} x {grid.width} pixels go beyond the {config.max_rows} x {config.max_columns} "
                "patches of the run it builds on, where the positions end that it has learned: choose a smaller "
                "images.size"
            )


class LoadedMethod(NamedTuple):
    """A run as its checkpoint left it."""

    method: Method  # heads and all, in eval mode
    views: ImageViews  # as it was trained on
    inputs: Inputs  # what it was trained on: size, channels and scale of its images


def load_method(folder: str | Path) -> LoadedMethod:
    """The method of a run as its checkpoint left it, heads and all, in eval mode. Raises InputError.

    A teacher or tokenizer that it builds on is the run's own copy, wherever its folder is now.
    """
    folder = Path(folder)
    config, facts = read_run(folder)
    method, views = build(config, facts.inputs, facts.data_size, rebuild_parent(config, facts))
    checkpoint = folder / f"{STATE}.ckpt"
    fill(method, load_training_state(checkpoint)["method"], checkpoint)
    return LoadedMethod(method.eval(), views, facts.inputs)
