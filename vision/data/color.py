"""Changes of colour on whole batches, on the images' device, which is never waited for: every image by its own
numbers.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vision.config import ColorConfig


class ColorChange(NamedTuple):
    """What is done to each of B images, in this order; each (B,), from :func:`draw_color`."""

    brightness: Tensor  # factors; 1 = as it is
    contrast: Tensor
    saturation: Tensor
    hue: Tensor  # radians; 0 = as it is
    is_gray: Tensor  # 1 or 0
    sigma: Tensor  # of the blur, pixels; 0 = sharp
    is_solarized: Tensor  # 1 or 0


def draw_color(config: ColorConfig, place: int, rng: np.random.Generator) -> np.ndarray:
    """The fields of ColorChange for one view, (7,); ``place``: 0 = first global, 1 = other global, 2 = local view.

    Different from torchvision's ColorJitter, the four changes keep their order.
    """
    change = np.array([1, 1, 1, 0, 0, 0, 0], dtype=np.float32)
    if rng.random() < config.jitter:
        for field, strength in enumerate((config.brightness, config.contrast, config.saturation)):
            change[field] = rng.uniform(1 - strength, 1 + strength)
        change[3] = rng.uniform(-config.hue, config.hue) * 2 * math.pi
    change[4] = rng.random() < config.grayscale
    if rng.random() < config.blur[place]:
        change[5] = rng.uniform(*config.blur_sigma)
    change[6] = rng.random() < config.solarize[place]
    return change


def apply_color(images: Tensor, change: Tensor, config: ColorConfig) -> Tensor:
    """RGB images (B, 3, H, W) in [0, 1] and the (B, 7) numbers drawn for them -> images changed in [0, 1].

    Brightness multiplies, contrast is about the mean grey, saturation about the grey image, as in torchvision.
    Solarising inverts values from .5 on, as Pillow's at 128.
    """
    one = ColorChange(*change.unbind(dim=1))
    if config.jitter > 0:
        images = (images * _per_image(one.brightness)).clamp(0, 1)
        images = _away_from(_gray(images).mean((2, 3), keepdim=True), images, one.contrast)
        images = _away_from(_gray(images), images, one.saturation)
        if config.hue > 0:
            import kornia  # here: images of other channels are trained on without it

            images = kornia.enhance.adjust_hue(images, one.hue)
    if config.grayscale > 0:
        images = torch.where(_per_image(one.is_gray) > 0, _gray(images), images)
    if max(config.blur) > 0:
        images = _blur(images, one.sigma, config.blur_sigma[1])
    if max(config.solarize) > 0:
        is_solarized = (_per_image(one.is_solarized) > 0) & (images >= 0.5)
        images = torch.where(is_solarized, 1 - images, images)
    return images.clamp(0, 1)


def _gray(images: Tensor) -> Tensor:
    """RGB (B, 3, H, W) -> (B, 1, H, W), as torchvision weighs; kornia before 0.9 copies the weights from the host."""
    red, green, blue = images.split(1, dim=1)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _away_from(gray: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    """Images at ``factor`` (B,) times their distance from ``gray``; 0 = gray, 1 = as they are."""
    return torch.lerp(gray, images, _per_image(factor)).clamp(0, 1)


def _blur(images: Tensor, sigma: Tensor, largest: float) -> Tensor:
    """Gaussian blur by each image's sigma (B,), 0 = none; the kernel reaches to three of the largest.

    kornia's looks at the values of sigma, for which it waits.
    """
    reach = min(math.ceil(3 * largest), min(images.shape[-2:]) - 1)  # the borders are mirrored
    offsets = torch.arange(-reach, reach + 1, device=images.device)
    kernel = torch.softmax(-(offsets / sigma.clamp(min=1e-2)[:, None]).square() / 2, dim=1)
    kernel = kernel.repeat_interleave(images.shape[1], dim=0)[:, None]  # (B·C, 1, k), one for each plane
    planes = F.pad(images, (reach,) * 4, mode="reflect").flatten(0, 1)[None]
    planes = F.conv2d(planes, kernel[:, :, None], groups=len(kernel))
    blurred = F.conv2d(planes, kernel[..., None], groups=len(kernel)).view_as(images)
    return torch.where(_per_image(sigma) > 0, blurred, images)


def _per_image(values: Tensor) -> Tensor:
    return values[:, None, None, None]
