"""What the data decide of a run: sizes, channels, scale; and whether configuration and data fit together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vision.config import ImagesConfig, MaskConfig, PretrainConfig, ViTConfig
from vision.data.augment import canvas_side
from vision.data.images import ImageSet, open_images
from vision.errors import InputError
from vision.masks import BlockMask, GridMask, MaskGenerator, RandomMask, StratifiedBlockMask
from vision.nn.grid import PatchGrid
from vision.train.progress import track

NUM_MEASURED = 512  # images that mean and standard deviation are measured on


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a network was trained on, and must be shown again: travels with every artefact."""

    image_size: tuple[int, int]  # pixels (height, width)
    channels: int
    mean: tuple[float, ...]  # per channel, of values in [0, 1] where the images are bytes
    std: tuple[float, ...]


def open_data(path: Path, config: ImagesConfig) -> ImageSet:
    """The images of a run. Raises InputError."""
    shortest = None if config.size is None else config.shorter_side or canvas_side(config.size)
    return open_images(
        path, shortest=shortest, label_column=config.label_column, max_unreadable=config.max_unreadable, track=track
    )


def decide_inputs(images: ImageSet, config: ImagesConfig, parent: Inputs | None = None) -> Inputs:
    """Size and scale of what the network sees: as configured, else as the run it builds on, else as the data are.

    Raises InputError where the data have several sizes, or anything contradicts the run it builds on.
    """
    size = config.size or (None if parent is None else parent.image_size) or images.size
    if size is None:
        raise InputError(
            f"{images.name} holds images of several sizes; say what the network sees, as --images.size 224 224"
        )
    if parent is not None and parent.channels != images.channels:
        raise InputError(
            f"{images.name} has {images.channels} channels, the run it builds on was trained on {parent.channels}"
        )
    if config.mean is not None and config.std is not None:
        if not len(config.mean) == len(config.std) == images.channels:
            raise InputError(
                f"images.mean and images.std have {len(config.mean)} and {len(config.std)} numbers, "
                f"{images.name} has {images.channels} channels"
            )
        mean, std = config.mean, config.std
        if parent is not None and (mean, std) != (parent.mean, parent.std):
            raise InputError("images.mean and images.std are not those of the run it builds on: leave them out")
    elif parent is not None:
        mean, std = parent.mean, parent.std
    else:
        mean, std = measure_scale(images)
    return Inputs(image_size=size, channels=images.channels, mean=mean, std=std)


def measure_scale(images: ImageSet) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel over images spread evenly over the set, observed pixels alone."""
    places = torch.linspace(0, len(images) - 1, min(len(images), NUM_MEASURED)).long().tolist()
    count = 0
    total, squares = torch.zeros(2, images.channels, dtype=torch.float64)
    for place in places:
        image, observed = images[place]
        values = image.double() / 255 if image.dtype == torch.uint8 else image.double()
        values = values.flatten(1) if observed is None else values[:, observed]
        count += values.shape[1]
        total += values.sum(1)
        squares += values.square().sum(1)
    if count == 0:
        raise InputError(f"{images.name} holds no observed values to measure a scale on")
    if not bool(torch.isfinite(squares).all()):
        raise InputError(f"{images.name} holds infinite values; put NaN where nothing was observed")
    mean = total / count
    std = (squares / count - mean.square()).clamp(min=0).sqrt()
    std = torch.where(std > 1e-8, std, 1.0)  # a constant channel stays a constant
    return tuple(mean.tolist()), tuple(std.tolist())


def fit_encoder(encoder: ViTConfig, inputs: Inputs) -> ViTConfig:
    """The encoder for these images. Raises InputError when its patches do not fill them."""
    height, width = inputs.image_size
    rows, columns = encoder.patch_size
    if height % rows or width % columns:
        raise InputError(
            f"patches of {rows} x {columns} do not fill images of {height} x {width} pixels; set encoder.patch_size "
            f"to a divisor of each side: {_divisors(height)} for the height, {_divisors(width)} for the width"
        )
    grid = PatchGrid.of(height, width, encoder.patch_size)
    return replace(encoder, in_channels=inputs.channels, max_rows=grid.rows, max_columns=grid.columns)


def make_mask(config: PretrainConfig, grid: PatchGrid) -> MaskGenerator | None:
    """The mask generator of a run; None where the method hides nothing. Raises InputError, see below.

    A mask that hides all patches or none teaches nothing.
    """
    if not config.needs.is_masked:
        return None
    mask = _generator(config.mask, grid)
    hidden = mask.count(grid)
    if not 0 < hidden < grid.num_patches:
        raise InputError(
            f"mask.ratio {config.mask.ratio:g} hides {hidden} of the {grid.num_patches} patches of an image of "
            f"{grid.height} x {grid.width} pixels; a mask must hide some and leave some, choose another ratio or "
            "encoder.patch_size"
        )
    return mask


def _generator(config: MaskConfig, grid: PatchGrid) -> MaskGenerator:
    min_patches = config.min_patches or max((min(grid.rows, grid.columns) // 3) ** 2, 1)
    if config.kind == "random":
        return RandomMask(config.ratio)
    if config.kind == "grid":
        return GridMask(config.ratio, config.cell)
    if config.kind == "block":
        return BlockMask(config.ratio, min_patches)
    return StratifiedBlockMask(config.min_ratio, config.ratio, config.probability, min_patches)


def _divisors(side: int) -> str:
    """Divisors of a side that make two patches or more, for a message: at most eight, the middle ones left out."""
    found = [number for number in range(1, side // 2 + 1) if side % number == 0] or [1]
    return ", ".join(map(str, found)) if len(found) <= 8 else f"{', '.join(map(str, found[:8]))}, …"
