"""Images of any origin as a dataset: folders, Parquet, WebDataset tars, and arrays of any number of channels.

Encoded images are RGB in uint8; arrays keep their values. What cannot be read is named and left out, up to a
stated share; above it, and where nothing is left, that is an error.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from vision.data.arrays import ArrayImages
from vision.data.decode import decode, turn_like
from vision.data.folders import open_folder
from vision.data.sources import ImageSource, Labels, ParquetSource
from vision.data.tars import TarSource
from vision.errors import InputError

Track: TypeAlias = Callable[[range, str], Iterable[int]]

MEMORY_BYTES = 2 * 1024**3  # decoded images of one size are kept up to this; more are decoded as they come
SHOWN = 5  # unreadable images that are named one by one
PROBES = 64  # images, evenly spread, that tell whether all have one size


class ImageSet(Protocol):
    """What training and evaluation read."""

    name: str
    labels: Labels | None
    label_advice: str  # how to give labels where there are none
    channels: int
    is_encoded: bool  # RGB in uint8, as files hold it
    size: tuple[int, int] | None  # (height, width) of all images, pixels; None = they differ

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor | None]:
        """(image (C, H, W), observed (H, W) bool or None = all)."""
        ...


def open_images(
    path: str | Path,
    *,
    shortest: int | None = None,
    label_column: str | None = None,
    max_unreadable: float = 0.01,
    track: Track | None = None,
) -> ImageSet:
    """Open a data set by what it is: a folder (of images, of Parquet tables, of tars) or a file.

    Parameters
    ----------
    path : folder, ``.parquet``, ``.tar``, ``.npy`` or ``.npz``.
    shortest : encoded images whose shorter side has more pixels are scaled down to it, and all keep at most four
        times as many along the longer one, from the middle; None = they stay as they are.
    label_column : of a Parquet table, or key of the ``.json`` of a tar or of the ``.npz``; None = ``label``, and of a
        tar the ``.cls`` before it.
    max_unreadable : share of the images that may be unreadable and are left out.
    track : iterates over numbers and shows how far a long reading is; None = silent.

    Raises
    ------
    InputError : there is nothing there, nothing readable, or not the label column.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist; --data takes a folder of images, .parquet, .tar, .npy or .npz")
    ending = path.suffix.lower()
    if path.is_dir():
        source = open_folder(path, label_column)
    elif ending in (".npy", ".npz"):
        return ArrayImages(path, label_column)
    elif ending in (".parquet", ".tar"):
        source = (ParquetSource if ending == ".parquet" else TarSource)([path], label_column)
    else:
        raise InputError(f"{path}: expected a folder of images, .parquet, .tar, .npy or .npz, not {ending!r}")
    return EncodedImages(source, str(path), shortest, max_unreadable, track)


class EncodedImages:
    """JPEG, PNG and the like, in RGB (3, H, W) uint8.

    Small images of one size are decoded once and kept, and the unreadable ones are left out at once. Larger
    sets are decoded as they are asked for: an unreadable image is named when it is met, by every process that meets
    it, and in its place stands the next one, which training bears; who needs every image to be itself, and its label
    with it, calls :meth:`leave_out_unreadable` first.

    Parameters
    ----------
    source : the encoded images.
    name : of the set, for messages.
    shortest, max_unreadable, track : as in :func:`open_images`.
    """

    is_encoded, channels = True, 3

    def __init__(
        self,
        source: ImageSource,
        name: str,
        shortest: int | None = None,
        max_unreadable: float = 0.01,
        track: Track | None = None,
    ) -> None:
        self.source, self.name, self.shortest, self.max_unreadable = source, name, shortest, max_unreadable
        self.labels, self.label_advice, self._kept = source.labels, source.label_advice, None
        self._places: Sequence[int] = range(len(source))  # in the source, of the images that are there
        self._faults: dict[int, str] = {}
        self._num_named = 0  # of the faults
        if len(source) == 0:
            raise InputError(f"{name} holds no images")
        probes = [self._first_readable(start) for start in _probes(len(source))]
        shapes = {(probe.shape[-2], probe.shape[-1]) for probe in probes}
        self.size: tuple[int, int] | None = next(iter(shapes)) if len(shapes) == 1 else None
        if self.size is not None and len(source) * probes[0].numel() <= MEMORY_BYTES:
            self._keep(probes[0], track)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> tuple[Tensor, None]:
        return (self._first_readable(index) if self._kept is None else self._kept[index]), None

    def segmentation(self, index: int) -> Tensor | None:
        """The label map (H, W) long beside an image, upright as that is; None = the set has none."""
        read = getattr(self.source, "mask", None)
        content = None if read is None else read(self._places[index])
        if content is None:
            return None
        try:
            encoded = Image.open(io.BytesIO(content))
            encoded.load()
        except (UnidentifiedImageError, Image.DecompressionBombError, OSError) as error:
            where = self.source.where(self._places[index])
            raise InputError(f"{where}: the label map in column mask cannot be read ({error})") from None
        label_map = np.array(turn_like(encoded, self.source.content(self._places[index])))
        if label_map.ndim != 2:
            where = self.source.where(self._places[index])
            raise InputError(f"{where}: the label map has colours; it needs one number a pixel, its class")
        return torch.from_numpy(label_map).long()

    def leave_out_unreadable(self, track: Track | None = None) -> None:
        """Read every image that is not kept, name those that cannot be read, and leave them out with their labels."""
        if self._kept is None:
            for place in self._places if track is None else track(range(len(self.source)), "looking for damage"):
                self._decode(place, shortest=1)  # a JPEG is decoded faster if it is to be small
            self._leave_out()

    def _leave_out(self) -> None:
        self._name_faults()
        self._places = [place for place in self._places if place not in self._faults]
        labels = self.source.labels
        self.labels = None if labels is None else labels._replace(numbers=labels.numbers[self._places])

    def _name_faults(self) -> None:
        """Name the faults that were not named yet on stderr."""
        new = list(self._faults.values())[self._num_named :]
        self._num_named = len(self._faults)
        if new:
            named = "".join(f"\n  {fault}" for fault in new[:SHOWN])
            more = f"\n  and {len(new) - SHOWN} more" if len(new) > SHOWN else ""
            print(f"{self.name}: left out what cannot be read:{named}{more}", file=sys.stderr)

    def _keep(self, probe: Tensor, track: Track | None) -> None:
        """Decode everything into one tensor, if all images have the size of ``probe``."""
        kept = torch.empty(len(self.source), *probe.shape, dtype=torch.uint8)
        count = 0
        numbers = range(len(self.source))
        for index in numbers if track is None else track(numbers, "reading"):
            image = self._decode(index, self.shortest)
            if image is None:
                continue
            if image.shape != probe.shape:
                self.size = None
                return
            kept[count] = image
            count += 1
        self._leave_out()
        self._kept = kept[:count]

    def _first_readable(self, index: int) -> Tensor:
        for number in range(index, index + len(self)):
            image = self._decode(self._places[number % len(self)], self.shortest)
            if image is not None:
                self._name_faults()
                return image
        raise InputError(f"{self.name} holds no readable image")

    def _decode(self, index: int, shortest: int | None) -> Tensor | None:
        """Image (3, H, W) uint8 of the source; None if it cannot be read. Raises InputError at too many of these."""
        if index in self._faults:
            return None
        try:
            return decode(self.source.content(index), shortest)
        except UnidentifiedImageError:
            self._faults[index] = f"{self.source.where(index)} (not an image)"
        except Exception as error:  # of damaged files Pillow's readers raise what comes
            reason = " ".join(str(error).split())[:100]
            self._faults[index] = f"{self.source.where(index)} ({reason})"
        if len(self._faults) > self.max_unreadable * len(self.source):
            raise InputError(
                f"{len(self._faults)} of the {len(self.source)} images of {self.name} cannot be read, more than "
                f"the share of {self.max_unreadable:g} that may be left out (--max-unreadable, in "
                f"pretrain --images.max-unreadable), the last of them {self._faults[index]}"
            )
        return None


def _probes(count: int) -> list[int]:
    """Places of some images, evenly spread over ``count``."""
    return sorted({int(place) for place in np.linspace(0, count - 1, PROBES)})
