"""What a folder holds: tars, else Parquet tables, else image files, of one set; what else lies there is told."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from vision.data.sources import IMAGE_ENDINGS, FolderSource, ImageSource, ParquetSource
from vision.data.tars import TarSource
from vision.errors import InputError

SIDE_FILES = (  # that lie beside images and tell of them
    "", ".cls", ".json", ".jsonl", ".txt", ".csv", ".tsv", ".md", ".rst", ".xml", ".html", ".yaml", ".yml", ".toml",
    ".idx", ".index", ".log", ".py", ".pdf", ".ini", ".db", ".lock", ".sha256", ".md5",
)  # fmt: skip
_ARRAYS = (".npy", ".npz")
_SPLIT = r"train|training|val|valid|validation|test|testing"
_WORD = re.compile(rf"(?<![^\W\d_])(?:{_SPLIT})(?![^\W\d_])")  # between what is no letter
_FOLDER = re.compile(rf"({_SPLIT})[-_ ]?\d*", re.IGNORECASE)  # of COCO: train2017
_SHARD = re.compile(r"(.+)-\d{5}-of-\d{5}")  # of Hugging Face and TensorFlow: the set, its number, of how many
_NUMBERS = re.compile(r"(?:[-_. ]?(?:of-)?\d+)+$")


def open_folder(path: Path, label_column: str | None) -> ImageSource:
    """The images below a folder. Raises InputError where there are none, or several sets of them."""
    names = files_below(path)
    endings = {"tars": (".tar",), "Parquet tables": (".parquet",), "image files": IMAGE_ENDINGS}
    kinds = {kind: [name for name in names if name.lower().endswith(of)] for kind, of in endings.items()}
    if not any(kinds.values()):
        raise InputError(_nothing(path, names))
    chosen, *others = [kind for kind, found in kinds.items() if found]
    _refuse_folders_of_sets(path, kinds[chosen])
    if chosen == "image files":
        if label_column is not None:
            raise InputError(
                f"{path}: --label-column (in Python label_column) is of tables, tars and arrays; in a folder of image "
                "files the class is the folder's name"
            )
    else:
        _refuse_several_sets(path, kinds[chosen])
    for kind in others:
        print(f"{path}: {len(kinds[chosen])} {chosen} are read, {len(kinds[kind])} {kind} left alone", file=sys.stderr)
    _tell_other_endings(path, names, tuple(ending for of in endings.values() for ending in of))
    if chosen == "image files":
        return FolderSource(path, kinds[chosen])
    return (TarSource if chosen == "tars" else ParquetSource)([path / name for name in kinds[chosen]], label_column)


def files_below(folder: Path) -> list[str]:
    """Names of the files below a folder, from there on, sorted folder by folder; hidden files and folders are left out.

    Links to folders are followed, each folder once.
    """
    found: list[str] = []
    seen = set()
    for above, folders, names in os.walk(folder, followlinks=True):
        status = os.stat(above)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = os.path.relpath(above, folder)
        found += [os.path.normpath(os.path.join(below, name)) for name in names if not name.startswith(".")]
    return sorted(found, key=lambda name: name.split(os.sep))


def _nothing(path: Path, names: Sequence[str]) -> str:
    """What to say of a folder in which nothing can be read."""
    array = next((name for name in names if name.lower().endswith(_ARRAYS)), None)
    if array is not None:
        return f"{path} holds arrays, and a set of images is one of them: give the array itself, as {path / array}"
    return f"{path} holds no images ({', '.join(IMAGE_ENDINGS)}), Parquet tables or tars"


def _tell_other_endings(path: Path, names: Sequence[str], known: tuple[str, ...]) -> None:
    """Tell on stderr how many files are neither of a known ending nor such as lie beside images."""
    found = Counter(os.path.splitext(name.lower())[1] for name in names)
    other = {ending: count for ending, count in found.most_common() if ending not in (*known, *SIDE_FILES)}
    if other:
        told = ", ".join(f"{count} {ending}" for ending, count in list(other.items())[:5])
        print(f"{path}: left alone {sum(other.values())} files of other endings ({told})", file=sys.stderr)


def _refuse_folders_of_sets(path: Path, names: Sequence[str]) -> None:
    """InputError for a folder whose folders are not classes but sets, ``train`` beside ``val``."""
    folders = {os.path.dirname(name) for name in names}
    shared = os.path.commonpath(folders)
    tops = {os.path.relpath(folder, shared or ".").split(os.sep)[0] for folder in folders if folder != shared}
    sets = [found[1].lower() for top in tops if (found := _FOLDER.fullmatch(top))]
    if len(sets) == len(tops) and len(set(sets)) > 1:
        first, said = min(tops), " and ".join(sorted(tops))
        raise InputError(
            f"{path / shared} holds several sets, {said}: give a folder that holds one of them, "
            f"as {path / shared / first}"
        )


def _refuse_several_sets(path: Path, names: Sequence[str]) -> None:
    """InputError for files of several sets, as ``train-00000-of-00001`` beside ``test-00000-of-00001``."""
    sets = {found[1] for name in names if (found := _SHARD.match(Path(name).name))}
    if len(sets) < 2:
        sets = _same_but_for_the_split(names)
    if len(sets) > 1:
        raise InputError(
            f"{path} holds shards of several sets, {' and '.join(sorted(sets))}: give a folder that holds one of them"
        )


def _same_but_for_the_split(names: Sequence[str]) -> set[str]:
    """Names without ending and numbers that differ by the word for the split alone, as a-train-0.tar and a-val-0.tar;
    empty where there are none.
    """
    alike: dict[str, set[str]] = {}
    for name in names:
        stem = os.path.splitext(name.lower())[0]
        shard = _SHARD.match(stem)
        stem = shard[1] if shard else _NUMBERS.sub("", stem).rstrip(os.sep)
        alike.setdefault(_WORD.sub("*", stem), set()).add(stem)
    return next((stems for stems in alike.values() if len(stems) > 1), set())
