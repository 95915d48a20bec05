"""Arrays as images: any number of channels, and gaps."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vision.data.sources import name_labels
from vision.errors import InputError

ARRAY_KEYS = ("images", "image", "x", "X", "arr_0", "data")
LABEL_KEYS = ("labels", "label", "y", "targets")


class ArrayImages:
    """Arrays (N, C, H, W), or (N, H, W) of one channel, from ``.npy`` or ``.npz``; NaN = not observed.

    uint8 is read as images are, from 0 to 255; everything else as it is. ``.npy`` files are mapped, not kept in
    memory. Where any value of the set is NaN, every image comes with its observed pixels, so that no batch differs in
    kind from another; else none does. Floats are looked through for it when the file is opened; infinite ones are an
    InputError when their image is read.

    Raises
    ------
    InputError : it is no such array, or has not the label key.
    """

    label_advice = "put them beside the images, as 'labels' of an .npz"

    def __init__(self, path: Path, label_key: str | None = None) -> None:
        self.name = str(path)
        array, labels = _load_arrays(path, label_key)
        if array.ndim == 3:
            array = array[:, None]
        if array.ndim != 4 or array.dtype.kind not in "fiub" or 0 in array.shape:
            raise InputError(
                f"{path} holds an array of shape {array.shape} and type {array.dtype}, expected numbers of shape "
                "(images, channels, height, width), or (images, height, width)"
            )
        is_square = array.shape[1] == array.shape[2] and array.shape[3] < array.shape[1]
        if array.shape[1] not in (1, 3, 4) and (array.shape[3] in (1, 3, 4) or is_square):
            raise InputError(
                f"{path} has shape {array.shape}: channels come second, as (images, channels, height, width)"
            )
        if labels is not None and labels.ndim == 0:
            raise InputError(f"{path} has a single label, expected one for each of {len(array)} images")
        if labels is not None and len(labels) != len(array):
            raise InputError(f"{path} has {len(labels)} labels for {len(array)} images")
        self._array = array
        self.labels = None if labels is None else name_labels(labels.tolist(), self.name)
        self.channels: int = array.shape[1]
        self.size: tuple[int, int] | None = (array.shape[2], array.shape[3])
        self.is_encoded = array.dtype == np.uint8 and self.channels == 3
        self.has_gaps = array.dtype.kind == "f" and any(bool(np.isnan(image).any()) for image in array)

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor | None]:
        values = np.array(self._array[index])
        if values.dtype == np.uint8:
            return torch.from_numpy(values), None
        with np.errstate(over="ignore"):
            image = torch.from_numpy(values.astype(np.float32))
        if values.dtype.kind == "f" and image.isinf().any():
            raise InputError(
                f"{self.name}: image {index} holds infinite values; put NaN where nothing was observed, and scale "
                "what is beyond float32"
            )
        if not self.has_gaps:
            return image, None
        observed = ~image.isnan().any(dim=0)
        return torch.where(observed, image, 0.0), observed


def _load_arrays(path: Path, label_key: str | None) -> tuple[NDArray, NDArray | None]:
    """(array, labels or None) of an ``.npy`` or ``.npz`` file."""
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            if label_key is not None:
                raise InputError(f"{path} holds no labels; put them beside the images, as {label_key!r} of an .npz")
            return loaded, None
        with loaded:
            key = next((key for key in ARRAY_KEYS if key in loaded), None)
            if key is None:
                raise InputError(f"{path} holds {', '.join(loaded.files)}; name the array of the images 'images'")
            wanted = (label_key,) if label_key is not None else LABEL_KEYS
            found = next((name for name in wanted if name in loaded), None)
            if label_key is not None and found is None:
                raise InputError(f"{path} has no {label_key!r}; it holds: {', '.join(loaded.files)}")
            return loaded[key], None if found is None else loaded[found]
    except InputError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} cannot be read as a NumPy array: {' '.join(str(error).split())}") from None
