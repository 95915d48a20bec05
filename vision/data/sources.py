"""Where encoded images lie: a folder, a Parquet table, WebDataset tars. Each gives bytes by number, and labels."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from vision.errors import InputError

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")


class Labels(NamedTuple):
    """What the images show."""

    numbers: NDArray[np.int64]  # (N,) in 0 … K-1
    names: tuple[str, ...]  # (K,)


class ImageSource(Protocol):
    """Encoded images by number."""

    labels: Labels | None

    def __len__(self) -> int: ...

    def content(self, index: int) -> bytes:
        """The encoded image."""
        ...

    def where(self, index: int) -> str:
        """What to call it in a message."""
        ...


class FolderSource:
    """Image files below a folder, in the order of their names; folders with images in them are classes.

    Without such folders (flat) there are no labels.
    """

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(
            path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_ENDINGS and not path.name.startswith(".")
        )
        if not self.paths:
            raise InputError(f"{folder} holds no images ({', '.join(IMAGE_ENDINGS)}), Parquet files, tars or arrays")
        classes = [path.relative_to(folder).parts[0] for path in self.paths if path.parent != folder]
        self.labels = name_labels(classes, str(folder)) if len(classes) == len(self.paths) else None

    def __len__(self) -> int:
        return len(self.paths)

    def content(self, index: int) -> bytes:
        return self.paths[index].read_bytes()

    def where(self, index: int) -> str:
        return str(self.paths[index])


class ParquetSource:
    """Parquet tables with a column of image bytes (or of structs with bytes, as Hugging Face writes them).

    The encoded images of all tables are held in memory; larger sets belong into tars or a folder.

    Parameters
    ----------
    paths : tables with the same columns.
    label_column : None = ``label`` where there is one.

    Raises
    ------
    InputError : a table cannot be read, has no column of images, or not the label column.
    """

    def __init__(self, paths: Sequence[Path], label_column: str | None = None) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.name = str(paths[0]) if len(paths) == 1 else str(paths[0].parent)
        try:
            table = pa.concat_tables([pq.read_table(path) for path in paths])
        except (OSError, pa.ArrowException) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{self.name} cannot be read as Parquet: {reason}") from None
        kinds = {name: table.schema.field(name).type for name in table.column_names}
        images = [name for name, kind in kinds.items() if _is_bytes(kind) or pa.types.is_struct(kind)]
        image_column = "image" if "image" in images else next(iter(images), None)
        if image_column is None:
            known = ", ".join(table.column_names)
            raise InputError(f"{self.name} has no column of image bytes; its columns: {known}")
        self._images = table[image_column]
        self._masks = table["mask"] if "mask" in kinds and _is_bytes(kinds["mask"]) else None
        self.labels = self._read_labels(table, label_column)

    def _read_labels(self, table: Any, label_column: str | None) -> Labels | None:
        name = label_column or "label"
        if name not in table.column_names:
            if label_column is None:
                return None
            known = ", ".join(table.column_names)
            raise InputError(f"{self.name} has no column {label_column!r}; its columns: {known}")
        return name_labels(table[name].to_pylist(), self.name)

    def __len__(self) -> int:
        return len(self._images)

    def content(self, index: int) -> bytes:
        value = self._images[index].as_py()
        return (value.get("bytes") if isinstance(value, dict) else value) or b""

    def mask(self, index: int) -> bytes | None:
        """The encoded label map beside the image, from the column ``mask``; None = the tables have none."""
        return None if self._masks is None else self._masks[index].as_py()

    def where(self, index: int) -> str:
        return f"{self.name}, row {index}"


class TarSource:
    """WebDataset tars: of each sample an image, and its class in ``key.cls`` or ``key.json`` (``label``).

    The tars must not be compressed, so that any image can be read without those before it.

    Raises
    ------
    InputError : a tar is damaged, compressed or holds no image; or some samples have a label and some not.
    """

    def __init__(self, paths: Sequence[Path], label_column: str | None = None) -> None:
        self._places: list[tuple[Path, str, int, int]] = []  # tar, member, offset, bytes
        labels: list[Any] = []
        for path in paths:
            for image, label in _tar_samples(path, label_column or "label"):
                self._places.append((path, image.name, image.offset_data, image.size))
                labels.append(label)
        name = str(paths[0]) if len(paths) == 1 else str(paths[0].parent)
        if not self._places:
            raise InputError(f"{name} holds no images ({', '.join(IMAGE_ENDINGS)})")
        is_known = [label is not None for label in labels]
        if any(is_known) and not all(is_known):
            raise InputError(f"{self.where(is_known.index(False))} has no label though others have")
        if label_column is not None and not all(is_known):
            raise InputError(f"{name}: no sample has a .cls or a .json with {label_column!r}")
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


def name_labels(values: Iterable[Any], source: str) -> Labels:
    """Labels of any kind -> numbers in the order of their names (of their values, where they are numbers).

    Raises InputError, which names the source and the row, for a row without one class.
    """
    given = list(values)
    for row, value in enumerate(given):
        if value is None or value != value:  # NaN
            raise InputError(f"{source}: row {row} has no label; leave it out, or name another column")
        if not isinstance(value, str | int | float | bytes):
            kind = type(value).__name__
            raise InputError(f"{source}: the label of row {row} is a {kind}; give each image a name or a number")
    if len({isinstance(value, str | bytes) for value in given}) > 1:
        raise InputError(f"{source}: some labels are names and some are numbers; give one kind")
    names = sorted(set(given))
    number = {name: place for place, name in enumerate(names)}
    return Labels(np.array([number[value] for value in given], dtype=np.int64), tuple(str(name) for name in names))


def _tar_samples(path: Path, label_key: str) -> Iterable[tuple[tarfile.TarInfo, Any]]:
    """(image, label or None) of each sample of a tar; a sample is what has the same name up to its first dot."""
    images: dict[str, tarfile.TarInfo] = {}
    labels: dict[str, Any] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                folder, _, name = member.name.rpartition("/")
                stem, _, ending = name.partition(".")
                key = f"{folder}/{stem}"
                if f".{ending.rpartition('.')[2].lower()}" in IMAGE_ENDINGS:
                    images.setdefault(key, member)
                elif ending == "cls" and (file := tar.extractfile(member)) is not None:
                    labels[key] = _class_of(file.read())
                elif ending == "json" and (file := tar.extractfile(member)) is not None:
                    labels.setdefault(key, json.loads(file.read()).get(label_key))
    except (tarfile.TarError, OSError, ValueError, AttributeError) as error:
        hint = "; tars must not be compressed" if path.read_bytes()[:2] in (b"\x1f\x8b", b"BZ") else ""
        raise InputError(f"{path} cannot be read as a tar of images ({error}){hint}") from None
    return [(image, labels.get(key)) for key, image in images.items()]


def _class_of(content: bytes) -> int | str:
    """What a ``.cls`` member holds: a number, or a name."""
    text = content.decode().strip()
    return int(text) if text.removeprefix("-").isdigit() else text


def _is_bytes(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
