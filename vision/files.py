"""Results on disk: whole or not at all, never over a file that is there, and errors that say what to do."""

from __future__ import annotations

import errno
import os
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path

from vision.errors import InputError

_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space, or choose another place",
    errno.EDQUOT: "your disk quota is used up: free some space, or choose another place",
    errno.EACCES: "you may not write there: choose another place",
    errno.EPERM: "you may not write there: choose another place",
    errno.EROFS: "the file system is read-only: choose another place",
    errno.ENOTDIR: "a part of the path is a file, not a folder: choose another place",
    errno.EEXIST: "a part of the path is a file, not a folder: choose another place",
    errno.EISDIR: "it is a folder: name a file",
    errno.ENAMETOOLONG: "the name is too long: choose another",
}


def explain_write_error(error: OSError, path: str | Path | None = None) -> InputError | None:
    """The :class:`InputError` for a full disk, a read-only folder and the like; None for others."""
    remedy = _REMEDIES.get(error.errno or 0)
    if remedy is None:
        return None
    place = path if path is not None else error.filename
    return InputError(f"cannot write {place or 'the output'}: {remedy}")


def check_output(path: str | Path, *, overwrite: bool = False) -> Path:
    """Refuse before any long work what :func:`write_bytes` would refuse after it.

    Leaves nothing behind, no folder either. Raises :class:`InputError` where ``path`` exists and ``overwrite`` is
    False, is a folder, or lies in a folder that cannot be made or written to.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder: name a file")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists: choose another name, or allow it with --overwrite")
    try:
        with tempfile.TemporaryFile(dir=next(folder for folder in path.absolute().parents if folder.exists())):
            pass
    except OSError as error:
        raise explain_write_error(error, path) or error from error
    return path


def write_bytes(content: bytes | memoryview, path: Path) -> Path:
    """Fill a temporary file, then rename it: a reader sees the old file or the whole new one, whoever else writes.

    Makes the folder; what a link leads to is replaced, not the link. Raises :class:`InputError` for a full disk, a
    folder that cannot be written to and the like.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise explain_write_error(error, path) or error from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return path
