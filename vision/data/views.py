"""View makers for images: what a method sees of one sample. Masks are drawn here, in the loader's
processes.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vision.data.loader import View
from vision.masks import MaskGenerator
from vision.nn.grid import PatchGrid

_ATTEMPTS = 10  # of drawing a crop that fits, as in torchvision


class SingleView:
    """The whole image, once, with a mask if asked for.

    Parameters
    ----------
    image_size : (H, W) pixels of every image.
    patch_size : (height, width) pixels.
    mask : what hides patches; None = nothing is hidden.
    """

    def __init__(
        self, image_size: tuple[int, int], patch_size: tuple[int, int], mask: MaskGenerator | None = None
    ) -> None:
        self.image_size, self.mask = image_size, mask
        self.grid = PatchGrid.of(*image_size, patch_size)
        self.num_masked = (0 if mask is None else mask.count(self.grid),)

    def __call__(self, image: Tensor, observed: Tensor | None, rng: np.random.Generator) -> Sequence[Sequence[View]]:
        if tuple(image.shape[-2:]) != self.image_size:
            raise ValueError(f"got an image of {tuple(image.shape[-2:])} pixels, expected {self.image_size}")
        return [[(image, observed, None if self.mask is None else self.mask(self.grid, rng))]]


class MultiCrop:
    """Random resized crops: global ones, with masks, and smaller local ones without (SwAV; DINO, iBOT).

    Parameters
    ----------
    patch_size : (height, width) pixels.
    global_size, local_size : (H, W) pixels after resizing.
    num_global, num_local : crops of each kind; DINO and iBOT 2 and 10. No local ones: a single crop size.
    global_scale, local_scale : range of a crop's share of the image's area; iBOT (.25, 1) and (.05, .25).
    aspect : range of width over height of a crop relative to its size after resizing, log-uniform.
    flip : probability of a horizontal flip.
    mask : for the global crops; None = nothing is hidden.
    """

    def __init__(
        self,
        patch_size: tuple[int, int],
        global_size: tuple[int, int],
        local_size: tuple[int, int] = (96, 96),
        *,
        num_global: int = 2,
        num_local: int = 10,
        global_scale: tuple[float, float] = (0.25, 1.0),
        local_scale: tuple[float, float] = (0.05, 0.25),
        aspect: tuple[float, float] = (3 / 4, 4 / 3),
        flip: float = 0.5,
        mask: MaskGenerator | None = None,
    ) -> None:
        self.sizes = [(global_size, num_global, global_scale)]
        if num_local:
            self.sizes.append((local_size, num_local, local_scale))
        self.aspect, self.flip, self.mask = aspect, flip, mask
        self.grid = PatchGrid.of(*global_size, patch_size)
        PatchGrid.of(*local_size, patch_size)  # local crops must be whole patches too
        self.num_masked = (0 if mask is None else mask.count(self.grid), 0)[: len(self.sizes)]

    def __call__(self, image: Tensor, observed: Tensor | None, rng: np.random.Generator) -> Sequence[Sequence[View]]:
        crops: list[list[View]] = []
        for number, (size, count, scale) in enumerate(self.sizes):
            mask = self.mask if number == 0 else None
            crops.append([self._crop(image, observed, size, scale, mask, rng) for _ in range(count)])
        return crops

    def _crop(
        self,
        image: Tensor,
        observed: Tensor | None,
        size: tuple[int, int],
        scale: tuple[float, float],
        mask: MaskGenerator | None,
        rng: np.random.Generator,
    ) -> View:
        top, left, height, width = draw_crop(tuple(image.shape[-2:]), size, scale, self.aspect, rng)
        part = image[..., top : top + height, left : left + width]
        seen = None if observed is None else observed[top : top + height, left : left + width]
        part, seen = resize(part, seen, size)
        if rng.random() < self.flip:
            part, seen = part.flip(-1), None if seen is None else seen.flip(-1)
        return part, seen, None if mask is None else mask(self.grid, rng)


def draw_crop(
    image_size: tuple[int, ...],
    view_size: tuple[int, int],
    scale: tuple[float, float],
    aspect: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[int, int, int, int]:
    """A rectangle (top, left, height, width) of a random share of the area and a random aspect.

    As torchvision's RandomResizedCrop, but with aspects relative to the view's: a square view has its, a view as wide
    as a panel is not squeezed. After ten draws that do not fit it is the largest rectangle in the middle that does.
    """
    rows, columns = image_size
    own = view_size[1] / view_size[0]
    for _ in range(_ATTEMPTS):
        area = rng.uniform(*scale) * rows * columns
        ratio = math.exp(rng.uniform(math.log(aspect[0]), math.log(aspect[1]))) * own
        height, width = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < height <= rows and 0 < width <= columns:
            top, left = rng.integers(rows - height + 1), rng.integers(columns - width + 1)
            return int(top), int(left), height, width
    ratio = min(max(columns / rows, aspect[0] * own), aspect[1] * own)
    height, width = min(rows, round(columns / ratio)), min(columns, round(rows * ratio))
    return (rows - height) // 2, (columns - width) // 2, height, width


def resize(image: Tensor, observed: Tensor | None, size: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
    """Image (C, h, w) and observed (h, w) bool or None -> both at ``size``, bicubic with antialiasing.

    With pixels that were not observed: bilinear means over the observed ones only, and a pixel counts as
    observed where these make up at least half of it; elsewhere it is 0.
    """
    if observed is None:
        return _interpolate(image, size, "bicubic"), None
    weight = observed.to(image.dtype)[None]
    filled = torch.where(observed, image, 0.0)
    share = _interpolate(weight, size, "bilinear")
    seen = share[0] >= 0.5
    mean = _interpolate(filled * weight, size, "bilinear") / share.clamp(min=1e-6)
    return torch.where(seen, mean, 0.0), seen


def _interpolate(image: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    if tuple(image.shape[-2:]) == size:
        return image
    return F.interpolate(image[None], size, mode=mode, align_corners=False, antialias=True)[0]
