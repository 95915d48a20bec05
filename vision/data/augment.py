"""Crops, flips and colours of whole batches on the device, by numbers that are drawn in the loader's processes.

What happens to the sample at a position of the stream is a function of (seed, position), as everything in
``vision.data.loader``; the pixels are worked on where the network is. Any number of channels, rectangles, and
pixels that were not observed; colours change on RGB bytes alone: other arrays keep their numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vision.batch import Batch, Mask
from vision.config import ViewsConfig
from vision.data.color import apply_color, draw_color
from vision.data.views import crop, draw_crop
from vision.errors import InputError
from vision.masks import MaskGenerator
from vision.nn.grid import PatchGrid

MARGIN = 2  # pixels around a box that bicubic sampling looks at


class PlannedCrops(NamedTuple):
    """The V views of one crop size, of one sample."""

    boxes: np.ndarray  # (V, 4) float32: top, left, height, width, pixels
    flips: np.ndarray  # (V,) bool
    colors: np.ndarray | None  # (V, 7), see ColorChange; None = colours stay
    hidden: np.ndarray | None  # (V, rows, columns) bool; None = nothing is hidden


class PlannedSample(NamedTuple):
    """An image, and what is to be done to it."""

    image: Tensor  # (C, h, w) uint8, or float
    observed: Tensor | None  # (h, w) bool, True = observed; None = all
    crops: list[PlannedCrops]  # for each crop size


class PlannedBatch(NamedTuple):
    """B samples end to end; per crop size, view-major. Images smaller than the largest repeat their borders."""

    images: Tensor  # (B, C, H, W) uint8, or float
    observed: Tensor | None  # (B, H, W) bool
    boxes: tuple[Tensor, ...]  # each (V·B, 4)
    flips: tuple[Tensor, ...]  # each (V·B,) bool
    colors: tuple[Tensor | None, ...]  # each (V·B, 7)
    masks: tuple[Mask | None, ...]  # each over V·B images; weights do not know yet what was observed


class ImageViews:
    """View maker whose views are made by :meth:`prepare`, on the device.

    Parameters
    ----------
    image_size : (H, W) pixels of global views.
    patch_size : (height, width) pixels.
    config : what to crop and change. Colours change where images are RGB bytes (``ImageSet.is_encoded``).
    mean, std : per channel, of values in [0, 1] where the images are bytes; views are normalised by them.
    mask : for the global views; None = nothing is hidden.
    data_size : (H, W) pixels of every image of the data set; None = they differ.
    shorter_side : pixels of an image's shorter side, where they differ; None = :func:`canvas_side`.

    Raises
    ------
    ValueError : patches do not fill the views.
    InputError : of a call, where the network sees images of ``data_size`` as they are and one has another size.
    """

    def __init__(
        self,
        image_size: tuple[int, int],
        patch_size: tuple[int, int],
        config: ViewsConfig,
        mean: Sequence[float],
        std: Sequence[float],
        mask: MaskGenerator | None = None,
        data_size: tuple[int, int] | None = None,
        shorter_side: int | None = None,
    ) -> None:
        self.config, self.mask, self.data_size = config, mask, data_size
        self.mean, self.std = tuple(mean), tuple(std)
        self.grid = PatchGrid.of(*image_size, patch_size)
        self.sizes = [(image_size, config.num_global, config.global_scale)]
        if config.num_local:
            local_size = config.local_size or _local_size(image_size, patch_size)
            PatchGrid.of(*local_size, patch_size)
            self.sizes.append((local_size, config.num_local, config.local_scale))
        height, width = data_size or (shorter_side or canvas_side(image_size),) * 2
        self.oversampling = [  # pixels of the image along one of a view's, in the largest crops
            max(1, round(math.sqrt(scale[1]) * max(height / size[0], width / size[1]))) for size, _, scale in self.sizes
        ]
        self.num_masked = (0 if mask is None else mask.count(self.grid), 0)[: len(self.sizes)]

    def __call__(self, image: Tensor, observed: Tensor | None, rng: np.random.Generator) -> PlannedSample:
        size = tuple(image.shape[-2:])
        if self.data_size is not None and size != self.data_size == self.sizes[0][0]:  # else each is cropped for itself
            both = "{} x {} and {} x {} pixels".format(*self.data_size, *size)
            raise InputError(
                f"the images have several sizes, {both}: bring them to one, or say what the network sees, as "
                "--images.size 224 224"
            )
        is_colored = self.config.color.is_used and image.dtype == torch.uint8 and len(image) == 3
        crops = [self._plan(number, tuple(image.shape[-2:]), is_colored, rng) for number in range(len(self.sizes))]
        planned = PlannedSample(image, observed, crops)
        return _cut(planned) if self.data_size is None and observed is None else planned  # arrays have one size

    def _plan(
        self, number: int, image_size: tuple[int, ...], is_colored: bool, rng: np.random.Generator
    ) -> PlannedCrops:
        size, count, scale = self.sizes[number]
        boxes = [draw_crop(image_size, size, scale, self.config.aspect, rng) for _ in range(count)]
        colors = hidden = None
        if is_colored:
            places = [2 if number else min(view, 1) for view in range(count)]
            colors = np.stack([draw_color(self.config.color, place, rng) for place in places])
        if self.mask is not None and number == 0:
            hidden = np.stack([self.mask(self.grid, rng) for _ in range(count)])
        return PlannedCrops(np.array(boxes, np.float32), rng.random(count) < self.config.flip, colors, hidden)

    def collate(self, samples: Sequence[PlannedSample]) -> PlannedBatch:
        """Samples -> one batch; runs in the loader's processes."""
        height = max(sample.image.shape[-2] for sample in samples)
        width = max(sample.image.shape[-1] for sample in samples)
        images = torch.stack([_pad(sample.image, height, width) for sample in samples])
        observed = None
        if any(sample.observed is not None for sample in samples):
            whole = torch.ones(height, width, dtype=torch.bool)  # arrays have one size: nothing was padded
            observed = torch.stack([whole if s.observed is None else s.observed for s in samples])
        numbers = range(len(self.sizes))
        masks = []
        for number in numbers:
            hidden = _view_major([sample.crops[number].hidden for sample in samples])
            masks.append(None if hidden is None else Mask.from_hidden(hidden.flatten(1), self.num_masked[number]))
        boxes, flips = (
            tuple(_stack([getattr(sample.crops[number], name) for sample in samples]) for number in numbers)
            for name in ("boxes", "flips")
        )
        colors = tuple(_view_major([sample.crops[number].colors for sample in samples]) for number in numbers)
        return PlannedBatch(images, observed, boxes, flips, colors, tuple(masks))

    @torch.no_grad()
    def prepare(self, planned: PlannedBatch) -> Batch:
        """The batch that the method takes; runs where ``planned`` is."""
        is_bytes = planned.images.dtype == torch.uint8
        images = planned.images.float() / 255 if is_bytes else planned.images
        mean, std = _per_channel(self.mean, images), _per_channel(self.std, images)
        views, valid, masks = [], [], []
        for number, (size, count, scale) in enumerate(self.sizes):
            boxes, flips = planned.boxes[number].chunk(count), planned.flips[number].chunk(count)
            is_whole = scale == (1.0, 1.0) and size == self.data_size  # a crop of all of it
            crops = [
                _flip(images, planned.observed, flip)
                if is_whole
                else crop(images, planned.observed, box, flip, size, self.oversampling[number])
                for box, flip in zip(boxes, flips, strict=True)
            ]
            made = torch.cat([image for image, _ in crops])
            seen = None if planned.observed is None else torch.cat([s for _, s in crops if s is not None])
            if is_bytes:
                made = made.clamp(0, 1)  # bicubic weights reach beyond
            change = planned.colors[number]
            if change is not None:
                made = apply_color(made, change, self.config.color)
            made = (made - mean) / std
            views.append(made if seen is None else torch.where(seen[:, None], made, 0.0))
            valid.append(seen)
            masks.append(_weigh(planned.masks[number], seen, self.grid))
        return Batch(tuple(views), tuple(masks), tuple(valid), len(images))


def canvas_side(image_size: tuple[int, int]) -> int:
    """Pixels that the shorter side of an image keeps before it is cropped: 256 where 224 are trained on."""
    return round(max(image_size) * 8 / 7)


def _flip(images: Tensor, observed: Tensor | None, flips: Tensor) -> tuple[Tensor, Tensor | None]:
    flipped = torch.where(flips[:, None, None, None], images.flip(-1), images)
    if observed is None:
        return flipped, None
    return flipped, torch.where(flips[:, None, None], observed.flip(-1), observed)


def _weigh(mask: Mask | None, observed: Tensor | None, grid: PatchGrid) -> Mask | None:
    """The mask with weight 0 where the patch was not observed."""
    if mask is None or observed is None:
        return mask
    return mask._replace(weight=mask.weight * grid.pool_any(observed).flatten()[mask.index])


def _per_channel(values: Sequence[float], images: Tensor) -> Tensor:
    """(C, 1, 1) beside the images; filled there, as a copy from the host would wait for the device."""
    return torch.stack([images.new_full((1, 1), value) for value in values])


def _local_size(image_size: tuple[int, int], patch_size: tuple[int, int]) -> tuple[int, int]:
    """Half of the image along each side, in whole patches."""
    rows, columns = (
        max(1, round(side / 2 / patch)) * patch for side, patch in zip(image_size, patch_size, strict=True)
    )
    return rows, columns


def _cut(sample: PlannedSample) -> PlannedSample:
    """An image, observed throughout, without what lies outside its boxes: a batch has the size of its largest."""
    boxes = np.concatenate([crops.boxes for crops in sample.crops])
    rows, columns = sample.image.shape[-2:]
    top, left = (max(0, int(start) - MARGIN) for start in boxes[:, :2].min(axis=0))
    bottom, right = (int(stop) + MARGIN for stop in (boxes[:, :2] + boxes[:, 2:]).max(axis=0))
    part = (..., slice(top, min(bottom, rows)), slice(left, min(right, columns)))
    shift = np.array([top, left, 0, 0], np.float32)
    return PlannedSample(
        sample.image[part],
        None,
        [crops._replace(boxes=crops.boxes - shift) for crops in sample.crops],
    )


def _pad(image: Tensor, height: int, width: int) -> Tensor:
    """The image, its last row and column repeated up to ``height`` × ``width``."""
    rows = torch.arange(height).clamp(max=image.shape[-2] - 1)
    columns = torch.arange(width).clamp(max=image.shape[-1] - 1)
    return image if image.shape[-2:] == (height, width) else image[:, rows][:, :, columns]


def _stack(parts: Sequence[np.ndarray]) -> Tensor:
    """Arrays (V, ...) of B samples -> (V·B, ...), view-major."""
    return torch.from_numpy(np.stack(parts, axis=1).reshape(-1, *parts[0].shape[1:]))


def _view_major(parts: Sequence[np.ndarray | None]) -> Tensor | None:
    present = [part for part in parts if part is not None]
    return _stack(present) if present else None
