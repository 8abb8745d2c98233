"""TensorFile: what a file holds: named arrays, the digest of its bytes, and its card if it is one of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from vectorstore.canonical import check_text, digest
from vectorstore.card import Card
from vectorstore.errors import IntegrityError, InvalidInputError, NotFoundError, UnavailableError
from vectorstore.formats.numpy_file import read_npy, read_npz
from vectorstore.formats.safetensors_file import read_blob, read_safetensors
from vectorstore.vector import Array, SteeringVector

MAX_FILE = 1 << 30
Reader = Callable[[bytes, int], dict[str, Array]]
"""(bytes, the most bytes that its arrays may take) -> arrays by key."""


@dataclass(frozen=True, eq=False)
class TensorFile:
    """What a file holds.

    Attributes:
        name: of the file, without the folder, which is nobody else's business.
        digest: of its bytes.
        tensors: by key, of any shape and dtype; an empty key where the file is one array.
        blob: the vector and card of a file that this program wrote.
    """

    name: str
    digest: str
    tensors: Mapping[str, Array]
    blob: tuple[SteeringVector, Card] | None = None


def read_tensors(path: str | Path) -> TensorFile:
    """Read `.safetensors`, `.npy`, `.npz`, or `.pt`, `.pth` and `.bin`; only the last three import torch.

    Raises:
        InvalidInputError: for any other kind of file, a folder, a device, or one larger than MAX_FILE.
        NotFoundError: when it is not there.
        IntegrityError: when it is damaged, or would run code.
        UnavailableError: when it cannot be read.
    """
    path = Path(path)
    name, suffix = check_text(path.name, "the file's name"), path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InvalidInputError(f"'{name}' is no file of tensors, by its ending", f"known: {', '.join(SUFFIXES)}")
    data = _bytes(path)
    try:
        tensors = _READERS[suffix](data, MAX_FILE)
        blob = read_blob(data) if suffix == ".safetensors" else None
    except IntegrityError as error:
        raise IntegrityError(f"{name}: {error.problem}", error.hint) from error
    return TensorFile(name, digest(data), tensors, blob)


def _read_pt(data: bytes, limit: int) -> dict[str, Array]:
    from vectorstore.formats.torch_file import read_pt  # noqa: PLC0415 - torch only for files that need it

    return read_pt(data, limit)


_READERS: Mapping[str, Reader] = {
    ".safetensors": read_safetensors,
    ".npy": read_npy,
    ".npz": read_npz,
    ".pt": _read_pt,
    ".pth": _read_pt,
    ".bin": _read_pt,
}
SUFFIXES = tuple(_READERS)


def _bytes(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise InvalidInputError(f"{path} is a folder", "name a file in it")
        status = path.stat()
        if not S_ISREG(status.st_mode):  # a pipe or a device may have no end
            raise InvalidInputError(f"{path} is a pipe or a device", "write what it gives to a file")
        size = status.st_size
        if size > MAX_FILE:
            raise InvalidInputError(f"{path} has {size} bytes, more than {MAX_FILE}", "save the directions alone")
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path}", "check the path") from error
    except OSError as error:
        raise UnavailableError(f"cannot read {path} ({error.strerror})", "check that you may read it") from error
    if not data:
        raise IntegrityError(f"{path.name} is empty", "get the file again from where it came")
    return data
