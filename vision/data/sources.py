"""Where encoded images lie: a folder, a Parquet table (tars: ``tars.py``). Each gives bytes by number, and labels."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from vision.errors import InputError

IMAGE_ENDINGS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".avif", ".jp2", ".tif", ".tiff", ".gif", ".ppm",
    ".pgm", ".tga",
)  # fmt: skip


class Labels(NamedTuple):
    """What the images show."""

    numbers: NDArray[np.int64]  # (N,) in 0 … K-1
    names: tuple[str, ...]  # (K,)


class ImageSource(Protocol):
    """Encoded images by number."""

    labels: Labels | None
    label_advice: str  # how to give labels where there are none

    def __len__(self) -> int: ...

    def content(self, index: int) -> bytes:
        """The encoded image."""
        ...

    def where(self, index: int) -> str:
        """What to call it in a message."""
        ...


class FolderSource:
    """Image files below a folder; folders with images in them are classes. Without such folders there are no labels.

    Parameters
    ----------
    folder : of them all.
    names : of the files, from there on (:func:`vision.data.folders.files_below`).
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder, self.names = folder, names
        classes = [name.partition(os.sep)[0] for name in names if os.sep in name]
        outside = [name for name in names if os.sep not in name]
        self.labels = None if outside else name_labels(classes, str(folder))
        self.label_advice = "sort the images into class folders"
        if outside and classes:
            self.label_advice = f"move {outside[0]} into a class folder, where others are"
            print(
                f"{folder}: no labels are read, for {outside[0]} lies in no class folder "
                f"({len(outside)} of {len(names)} images do not)",
                file=sys.stderr,
            )

    def __len__(self) -> int:
        return len(self.names)

    def content(self, index: int) -> bytes:
        return (self.folder / self.names[index]).read_bytes()

    def where(self, index: int) -> str:
        return str(self.folder / self.names[index])


class ParquetSource:
    """Parquet tables with a column of image bytes (or of structs with ``bytes``, as Hugging Face writes them).

    The column is ``image`` or ``img``, or of any name where there is one alone; ``mask`` is that of the label maps. The
    encoded images of all tables are held in memory; larger sets belong into tars or a folder.

    Parameters
    ----------
    paths : tables with the same columns.
    label_column : None = ``label`` where there is one.

    Raises
    ------
    InputError : a table cannot be read, has no column of images or several, or not the label column.
    """

    label_advice = "name the column of the labels (--label-column)"

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
        encoded = [name for name, kind in kinds.items() if _holds_bytes(kind)]
        self._images = table[_image_column([name for name in encoded if name != "mask"], list(kinds), self.name)]
        self._masks = table["mask"] if "mask" in encoded else None
        self.labels = self._read_labels(table, label_column)

    def _read_labels(self, table: Any, label_column: str | None) -> Labels | None:
        name = label_column or "label"
        if name not in table.column_names:
            if label_column is None:
                return None
            known = ", ".join(table.column_names)
            raise InputError(f"{self.name} has no column {label_column!r}; its columns: {known}")
        labels = name_labels(table[name].to_pylist(), self.name)
        known = _class_names(table.schema.metadata, name)
        return labels._replace(names=tuple(known.get(number, number) for number in labels.names))

    def __len__(self) -> int:
        return len(self._images)

    def content(self, index: int) -> bytes:
        """The encoded image. Raises ValueError for a row that says where the image is, and does not hold it."""
        value = self._images[index].as_py()
        content = _content(value)
        if content is None and isinstance(value, dict) and value.get("path"):
            raise ValueError("a path without bytes: write the images themselves into the table")
        return content or b""

    def mask(self, index: int) -> bytes | None:
        """The encoded label map beside the image, from the column ``mask``; None = the tables have none."""
        return None if self._masks is None else _content(self._masks[index].as_py())

    def where(self, index: int) -> str:
        return f"{self.name}, row {index}"


def name_labels(values: Iterable[Any], source: str) -> Labels:
    """Labels of any kind -> numbers in the order of their names (of their values, where they are numbers).

    A whole float, as pandas makes of integers in a column with gaps, is named as the integer.

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
    return Labels(np.array([number[value] for value in given], dtype=np.int64), tuple(_text(name) for name in names))


def _text(name: object) -> str:
    if isinstance(name, float) and name.is_integer():
        return str(int(name))
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


def _class_names(metadata: Mapping[bytes, bytes] | None, column: str) -> dict[str, str]:
    """Number of a class -> its name, where the table was written by Hugging Face's datasets with a ClassLabel."""
    try:
        names = json.loads((metadata or {})[b"huggingface"])["info"]["features"][column]["names"]
        return {str(number): str(name) for number, name in enumerate(names)}
    except (KeyError, TypeError, ValueError):
        return {}


def _image_column(encoded: Sequence[str], columns: Sequence[str], source: str) -> str:
    """Of the columns that hold bytes the one of the images. Raises InputError where that does not tell."""
    named = [name for name in ("image", "img") if name in encoded] or encoded
    if not named:
        raise InputError(f"{source} has no column of image bytes; its columns: {', '.join(columns)}")
    if len(named) > 1 and named is encoded:
        raise InputError(
            f"{source} has several columns of bytes ({', '.join(encoded)}): name that of the images 'image'"
        )
    return named[0]


def _content(value: Any) -> bytes | None:
    """Bytes of a cell, which holds them or a struct with them."""
    return value.get("bytes") if isinstance(value, dict) else value


def _holds_bytes(kind: Any) -> bool:
    """Whether a column of this type holds bytes, or structs whose field ``bytes`` does."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _holds_bytes(kind.field("bytes").type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
