"""Tensors as pictures: arrays of bytes (H, W, 3), side by side, as PNG files."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vision.files import write_bytes

Picture = npt.NDArray[np.uint8]  # (H, W, 3)

NOT_OBSERVED = 128  # grey
WHITE = 255
HEAT = ((0, 0, 0), (120, 20, 20), (230, 90, 20), (250, 200, 60), (255, 255, 255))  # from nothing to all


def to_pictures(
    images: Tensor, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
) -> list[Picture]:
    """Images (B, C, H, W) -> B pictures. A pixel that is NaN is grey.

    With ``mean`` and ``std`` per channel the normalisation is undone and [0, 1] becomes black to white; without
    them each image is stretched from its least to its greatest value. Of any other number of channels than 3, the
    first is shown in grey.
    """
    values = images.detach().float().cpu()
    if mean is not None and std is not None:
        values = values * torch.tensor(std).view(-1, 1, 1) + torch.tensor(mean).view(-1, 1, 1)
    if values.shape[1] != 3:
        values = values[:, :1].expand(-1, 3, -1, -1)
    if mean is None or std is None:
        flat = values.flatten(1)
        low = flat.nan_to_num(torch.inf, torch.inf, -torch.inf).amin(dim=1).view(-1, 1, 1, 1)
        high = flat.nan_to_num(-torch.inf, torch.inf, -torch.inf).amax(dim=1).view(-1, 1, 1, 1)
        values = (values - low) / (high - low).clamp(min=1e-12)
    pixels = (values.clamp(0, 1) * 255).round().nan_to_num(NOT_OBSERVED).to(torch.uint8)
    return list(pixels.permute(0, 2, 3, 1).numpy())


def heat(values: Tensor, size: tuple[int, int]) -> Picture:
    """Values (R, C), the greatest the brightest, as cells that fill ``size`` (H, W) pixels."""
    scaled = (values.detach().float().cpu() / values.max().clamp(min=1e-12).cpu()).clamp(0, 1)
    rows = torch.arange(size[0]) * values.shape[0] // size[0]
    columns = torch.arange(size[1]) * values.shape[1] // size[1]
    place = scaled[rows][:, columns].numpy() * (len(HEAT) - 1)
    steps = np.arange(len(HEAT))
    channels = [np.interp(place, steps, [colour[channel] for colour in HEAT]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def class_pictures(classes: Tensor) -> list[Picture]:
    """Classes (B, H, W) of integers -> B pictures in the colours of PASCAL VOC, by the bits of a class: 0 is black."""
    numbers = classes.detach().cpu().numpy().astype(np.int64) % 256
    colours = [sum((numbers >> (3 * place + channel) & 1) << (7 - place) for place in range(3)) for channel in range(3)]
    return list(np.stack(colours, axis=-1).astype(np.uint8))


def montage(rows: Sequence[Sequence[Picture]], gap: int = 2) -> Picture:
    """Rows of pictures of one size, with white between them."""
    height, width = rows[0][0].shape[:2]
    columns = max(len(row) for row in rows)
    shape = (len(rows) * (height + gap) - gap, columns * (width + gap) - gap, 3)
    whole = np.full(shape, WHITE, dtype=np.uint8)
    for number, row in enumerate(rows):
        for place, picture in enumerate(row):
            top, left = number * (height + gap), place * (width + gap)
            whole[top : top + height, left : left + width] = picture
    return whole


def enlarge(picture: Picture, factor: int) -> Picture:
    """Each pixel as a square of ``factor`` × ``factor``."""
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def png(picture: Picture) -> bytes:
    """The picture as the content of a PNG file."""
    from PIL import Image  # here, so that the numbers need no Pillow

    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="PNG", optimize=True)
    return file.getvalue()


def data_uri(picture: Picture) -> str:
    """The picture as an address that an HTML page can hold."""
    return "data:image/png;base64," + base64.b64encode(png(picture)).decode("ascii")


def save_picture(picture: Picture, path: str | Path) -> None:
    """Write a PNG file; its folder is made if it is not there."""
    write_bytes(png(picture), Path(path))
