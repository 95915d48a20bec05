"""Bytes of a file -> pixels."""

from __future__ import annotations

import io
import re
import warnings

import numpy as np
import torch
from PIL import ExifTags, Image, ImageFile
from torch import Tensor

LONGEST = 4  # times ``shortest``; of a side that is longer the middle is taken

_TURNS = {  # EXIF's orientation -> what shows the image upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(content: bytes, shortest: int | None = None) -> Tensor:
    """An encoded image -> (3, H, W) uint8, upright, its shorter side scaled down to ``shortest`` pixels.

    With ``shortest``, four times as many of the longer side are kept, from the middle. Raises what Pillow does where
    the image is damaged, and ValueError for one of more than 8 bits or of more pixels than Pillow takes.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of EXIF blocks and palettes that need not concern us
        try:
            image = Image.open(io.BytesIO(content))
        except Image.DecompressionBombError:
            raise ValueError("too many pixels for Pillow: cut it into tiles, or give .npy") from None
        if image.mode.startswith(("I", "F")):
            raise ValueError(f"mode {image.mode}: give images of more than 8 bits as .npy")
        if _is_deep(image):
            raise ValueError(f"16 bits in mode {image.mode}: give images of more than 8 bits as .npy")
        image = image.convert("RGB") if shortest is None else _reduced(image, shortest)
        return torch.from_numpy(np.array(_upright(image))).permute(2, 0, 1).contiguous()


def turn_like(label_map: Image.Image, content: bytes) -> Image.Image:
    """A label map turned as its photo, encoded in ``content``, is when decoded: maps know nothing of EXIF.

    One that has the size of the turned photo as it is, and would not have it turned, was drawn on the turned photo.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        photo = Image.open(io.BytesIO(content))
        turn = _turn(photo)
        if turn is None:
            return label_map
        photo.load()  # Pillow turns a TIFF then, and forgets what its block says
        turned = label_map.transpose(turn)
        return turned if turned.size == _upright(photo).size else label_map


def _is_deep(image: ImageFile.ImageFile) -> bool:
    """Whether an image that is not loaded yet has colours of more than 8 bits, of which Pillow keeps the high ones."""
    given = [tile[3] for tile in image.tile]
    arguments = [part for one in given for part in (one if isinstance(one, tuple) else (one,))]
    if image.format == "PPM":
        return any(isinstance(part, int) and part > 255 for part in arguments)  # the highest value there may be
    return any(re.search(r";16[BLN]", str(part)) for part in arguments)  # not BGR;16, whose pixels have 16 together


def _reduced(image: Image.Image, shortest: int) -> Image.Image:
    """The image in RGB, its shorter side at most ``shortest`` pixels, its longer one ``LONGEST`` times as many."""
    ratio = min(1.0, shortest / min(image.size))
    width, height = (max(1, round(side * ratio)) for side in image.size)
    if ratio < 1:
        image.draft("RGB", (width, height))  # a JPEG is decoded at less than its size, which is faster
        image = image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    longest = LONGEST * shortest
    if max(width, height) > longest:
        left, top = (max(0, side - longest) // 2 for side in (width, height))
        image = image.crop((left, top, left + min(width, longest), top + min(height, longest)))
    return image.convert("RGB")


def _upright(image: Image.Image) -> Image.Image:
    """The image turned and mirrored as its EXIF block says.

    ``ImageOps.exif_transpose`` also writes the block anew, and fails on what it cannot write.
    """
    turn = _turn(image)
    return image if turn is None else image.transpose(turn)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What shows an image upright by its EXIF block; one that cannot be read says nothing."""
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # Pillow's reader raises what comes
        return None
