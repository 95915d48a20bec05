"""View makers whose numbers can be worked out: the whole image, and crops that are cut one by one."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from vision.data.loader import View
from vision.data.views import draw_crop, resize
from vision.masks import MaskGenerator
from vision.nn.grid import PatchGrid


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
