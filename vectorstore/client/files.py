"""Files of the client in STEER_HOME: written whole or not at all, and readable by nobody else."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from vectorstore.errors import UnavailableError

WEEK = 7 * 86400.0  # seconds
LOCK = ".lock"


def write(path: Path, text: str, *, private: bool = True) -> None:
    """Write a file; whoever reads it meanwhile sees the old one or the new one. A private one only its owner can read.

    Raises:
        UnavailableError: when the disk does not take it.
    """
    with _translated(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp gives mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            if not private:
                Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Let nobody else change a file between reading and writing it.

    Raises:
        UnavailableError: when its folder cannot be written.
    """
    with _translated(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock"), mode=0o600)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def sweep(folder: Path) -> None:
    """Remove files of a cache that nobody has touched for a week: of transfers that were given up."""
    oldest = time.time() - WEEK
    for path in folder.iterdir() if folder.is_dir() else ():
        with suppress(OSError):
            if path.suffix != LOCK and path.stat().st_mtime < oldest:
                path.unlink()


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnavailableError(
            f"cannot write {path} ({error.strerror or error})", "check the folder's rights and the disk's space"
        ) from error
