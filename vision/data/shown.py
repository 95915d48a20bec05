"""Images as a trained network sees them, without chance: what evaluation, features and tokens read."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vision.data.images import ImageSet
from vision.data.views import resize


class ShownImages(Dataset[Tensor]):
    """Normalised images (B, C, H, W) by their places.

    Files of another size are scaled until each side has 8/7 of the network's or more, and their centre is taken (256
    and 224, as all papers evaluate); arrays of another size are scaled to it. What was not observed is NaN.

    Parameters
    ----------
    images : where they come from.
    size : (H, W) pixels that the network sees.
    mean, std : per channel, of values in [0, 1] where the images are bytes.
    numbers : (n,) long, of the images to show; None = all.
    """

    def __init__(
        self,
        images: ImageSet,
        size: tuple[int, int],
        mean: Sequence[float],
        std: Sequence[float],
        numbers: Tensor | None = None,
    ) -> None:
        self.images, self.size = images, size
        self.numbers = torch.arange(len(images)) if numbers is None else numbers
        self.mean, self.std = (torch.tensor(values)[:, None, None] for values in (mean, std))

    def __len__(self) -> int:
        return len(self.numbers)

    def part(self, places: Tensor) -> ShownImages:
        """Some of them, by their places (m,) long."""
        part = copy.copy(self)
        part.numbers = self.numbers[places]
        return part

    def spread(self, most: int) -> Tensor:
        """At most so many images (n, C, H, W), those of `spread_places`."""
        return self[self.spread_places(most)]

    def spread_places(self, most: int) -> Tensor:
        """At most so many places (n,), evenly spread: class folders come sorted."""
        return torch.from_numpy(np.linspace(0, len(self) - 1, min(most, len(self))).round().astype(np.int64))

    @property
    def labels(self) -> Tensor | None:
        """Labels (n,) long; None = the images have none."""
        labels = self.images.labels
        return None if labels is None else torch.from_numpy(labels.numbers)[self.numbers]

    def __getitem__(self, index: Tensor) -> Tensor:
        """Places (B,) long -> images (B, C, H, W)."""
        return torch.stack([self._read(place) for place in index.tolist()])

    def _read(self, place: int) -> Tensor:
        image, observed = self.images[int(self.numbers[place])]
        values = image.float() / 255 if image.dtype == torch.uint8 else image
        if tuple(values.shape[-2:]) != self.size:
            values, observed = self._scale(values, observed)
        values = (values - self.mean) / self.std
        return values if observed is None else torch.where(observed, values, torch.nan)

    def _scale(self, values: Tensor, observed: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if not self.images.is_encoded:
            return resize(values, observed, self.size)
        height, width = values.shape[-2:]
        ratio = max(round(side * 8 / 7) / length for side, length in zip(self.size, (height, width), strict=True))
        scaled, _ = resize(values, None, (round(height * ratio), round(width * ratio)))
        top, left = (scaled.shape[-2] - self.size[0]) // 2, (scaled.shape[-1] - self.size[1]) // 2
        return scaled[:, top : top + self.size[0], left : left + self.size[1]].clamp(0, 1), None
