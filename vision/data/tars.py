"""Encoded images in WebDataset tars, read in any order."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vision.data.sources import IMAGE_ENDINGS, name_labels
from vision.errors import InputError


class TarSource:
    """WebDataset tars: of each sample an image, and its class in ``key.cls``, else in ``key.json`` (``label``).

    The tars must not be compressed, so that any image can be read without those before it.

    Parameters
    ----------
    paths : tars, one after the other.
    label_column : key of the ``.json`` that holds the class, whatever a ``.cls`` says; None = as above.

    Raises
    ------
    InputError : a tar is damaged, compressed or holds no image; or some samples have a label and some not.
    """

    label_advice = "give each image a .cls or .json with its class, or name the key of the .json (--label-column)"

    def __init__(self, paths: Sequence[Path], label_column: str | None = None) -> None:
        self._places: list[tuple[Path, str, int, int]] = []  # tar, member, offset, bytes
        labels: list[Any] = []
        for path in paths:
            for image, label in _tar_samples(path, label_column):
                self._places.append((path, image.name, image.offset_data, image.size))
                labels.append(label)
        name = str(paths[0]) if len(paths) == 1 else str(paths[0].parent)
        if not self._places:
            raise InputError(f"{name} holds no images ({', '.join(IMAGE_ENDINGS)})")
        is_known = [label is not None for label in labels]
        if any(is_known) and not all(is_known):
            raise InputError(f"{self.where(is_known.index(False))} has no label though others have")
        if label_column is not None and not all(is_known):
            raise InputError(f"{name}: no sample has a .json with {label_column!r}")
        self.labels = name_labels(labels, name) if all(is_known) else None

    def __len__(self) -> int:
        return len(self._places)

    def content(self, index: int) -> bytes:
        path, _, offset, size = self._places[index]
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def where(self, index: int) -> str:
        path, member, _, _ = self._places[index]
        return f"{path}, {member}"


def _tar_samples(path: Path, label_column: str | None) -> Iterable[tuple[tarfile.TarInfo, Any]]:
    """(image, label or None) of each sample of a tar; a sample is what has the same name up to its first dot.

    Of several images the one with the plainest ending counts, as 7.png beside 7.mask.png. Raises InputError where
    that does not tell.
    """
    images: dict[str, tarfile.TarInfo] = {}
    labels: dict[str, Any] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                folder, _, name = member.name.rpartition("/")
                if name.startswith(".") or not member.isfile():
                    continue
                stem, _, ending = name.partition(".")
                key = f"{folder}/{stem}"
                if f".{ending.rpartition('.')[2].lower()}" in IMAGE_ENDINGS:
                    images[key] = _plainer(images.get(key, member), member, path)
                elif ending == "cls" and label_column is None and (file := tar.extractfile(member)) is not None:
                    labels[key] = _class_of(file.read())
                elif ending == "json" and (file := tar.extractfile(member)) is not None:
                    labels.setdefault(key, json.loads(file.read()).get(label_column or "label"))
    except (tarfile.TarError, OSError, ValueError, AttributeError) as error:
        hint = "; tars must not be compressed" if _starts_as(path, (b"\x1f\x8b", b"BZ")) else ""
        raise InputError(f"{path} cannot be read as a tar of images ({error}){hint}") from None
    return [(image, labels.get(key)) for key, image in images.items()]


def _starts_as(path: Path, beginnings: Sequence[bytes]) -> bool:
    """Whether a file begins with one of some bytes; False for one that cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(max(map(len, beginnings))) in beginnings
    except OSError:
        return False


def _plainer(one: tarfile.TarInfo, other: tarfile.TarInfo, path: Path) -> tarfile.TarInfo:
    """Of two images of a sample the one whose ending has fewer parts. Raises InputError where they have as many."""
    one_dots, other_dots = (member.name.rpartition("/")[2].count(".") for member in (one, other))
    if one is not other and one_dots == other_dots:
        raise InputError(
            f"{path}: {one.name} and {other.name} have the same name up to the first dot, which makes them one "
            "sample: rename them, or keep one of the two"
        )
    return one if one_dots <= other_dots else other


def _class_of(content: bytes) -> int | str:
    """What a ``.cls`` member holds: a number, or a name."""
    text = content.decode().strip()
    return int(text) if text.removeprefix("-").isdigit() else text
