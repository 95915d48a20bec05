"""Where crops lie, and the pixels of an image at another size: of boxes of a batch, or of one whole image."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

_ATTEMPTS = 10  # of drawing a crop that fits, as in torchvision


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


def crop(
    images: Tensor, observed: Tensor | None, boxes: Tensor, flips: Tensor, size: tuple[int, int], oversampling: int = 1
) -> tuple[Tensor, Tensor | None]:
    """One box of each image at ``size``, bicubic, flipped where asked.

    Images (B, C, H, W) float, observed (B, H, W) bool or None, boxes (B, 4) top, left, height, width in pixels,
    flips (B,) bool -> (B, C, h, w) and (B, h, w). With ``oversampling`` n, means over n × n samples of each pixel,
    against moiré in crops that are scaled down. With pixels that were not observed: bilinear means over the
    observed ones, and a pixel counts as observed where these make up at least half of it; elsewhere it is 0.
    """
    places = _sample_places(boxes, flips, (size[0] * oversampling, size[1] * oversampling), images.shape[-2:])

    def sample(values: Tensor, mode: str) -> Tensor:
        samples = F.grid_sample(values, places, mode=mode, padding_mode="border", align_corners=False)
        return samples if oversampling == 1 else F.avg_pool2d(samples, oversampling)

    if observed is None:
        return sample(images, "bicubic"), None
    weight = observed[:, None].to(images.dtype)
    share = sample(weight, "bilinear")
    seen = share[:, 0] >= 0.5
    mean = sample(torch.where(observed[:, None], images, 0.0), "bilinear") / share.clamp(min=1e-6)
    return torch.where(seen[:, None], mean, 0.0), seen


def _sample_places(boxes: Tensor, flips: Tensor, size: tuple[int, int], image_size: Sequence[int]) -> Tensor:
    """Where in its image each pixel lies, (B, h, w, 2) x and y from -1 to 1, the images' outer borders."""
    top, left, height, width = (column[:, None] for column in boxes.unbind(dim=1))
    rows, columns = (
        (torch.arange(count, device=boxes.device, dtype=boxes.dtype) + 0.5)[None] / count for count in size
    )
    columns = torch.where(flips[:, None], 1 - columns, columns)
    y = 2 * (top + rows * height) / image_size[0] - 1  # (B, h)
    x = 2 * (left + columns * width) / image_size[1] - 1  # (B, w)
    shape = (len(boxes), *size)
    return torch.stack([x[:, None, :].expand(shape), y[:, :, None].expand(shape)], dim=-1)


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
    mean = _interpolate(filled, size, "bilinear") / share.clamp(min=1e-6)
    return torch.where(seen, mean, 0.0), seen


def _interpolate(image: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    if tuple(image.shape[-2:]) == size:
        return image
    return F.interpolate(image[None], size, mode=mode, align_corners=False, antialias=True)[0]
