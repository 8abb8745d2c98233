"""The decoder of a sparse autoencoder: found by the file's header alone, and read one feature at a time.

Such files have gigabytes, and a feature some kilobytes of them: the matrix is mapped, and never read whole.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from os import SEEK_CUR
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vectorstore.canonical import check_text, strict_loads
from vectorstore.codec import DTYPES, MAX_HEADER
from vectorstore.errors import IntegrityError, InvalidInputError, MisfitError, NotFoundError, UnavailableError
from vectorstore.fields import Fields
from vectorstore.formats.numpy_file import npy_header
from vectorstore.vector import Array

ROWS, COLUMNS = "W_dec", "decoder.weight"
DECODERS = (ROWS, COLUMNS)
"""What decoders are called: a feature is a row of `W_dec` `[features, d]` (SAELens, Gemma Scope, sparsify), or a column
of `decoder.weight` `[d, features]`, a `torch.nn.Linear` (dictionary_learning)."""

SHOWN = 8
_LOCAL_HEADER = 30
_NPY_HEADER = 1 << 14


@dataclass(frozen=True)
class Matrix:
    """An array of a file that is not read yet.

    Attributes:
        path: the file.
        key: its name there.
        dtype, shape: as stored.
        start: the byte of the file that it begins at; None where it is compressed, and begins nowhere.
        fortran: whether the first axis is the one whose values lie together.
    """

    path: Path = field(repr=False)
    key: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    start: int | None
    fortran: bool = False

    def feature(self, number: int, width: int) -> tuple[str, Array]:
        """Return how the direction `[width]` of a feature is called, and the direction.

        Raises:
            MisfitError: when the matrix has no side of that width.
            InvalidInputError: when there is no such feature.
            IntegrityError: for NaN and infinite values.
            UnavailableError: when the file cannot be read.
        """
        by_row = self._by_row(width)
        count = self.shape[0 if by_row else 1]
        if not 0 <= number < count:
            raise InvalidInputError(
                f"feature {number} is out of range: {self.key} has {count} features", f"choose 0..{count - 1}"
            )
        try:
            mapped = np.memmap(self.path, self.dtype, "r", self.start or 0, self.shape, "F" if self.fortran else "C")
            direction = np.array(mapped[number] if by_row else mapped[:, number], self.dtype.newbyteorder("<"))
        except OSError as error:
            raise UnavailableError(
                f"cannot read {self.path} ({error.strerror})", "check that you may read it"
            ) from error
        name = f"{self.key}[{number}]" if by_row else f"{self.key}[:, {number}]"
        if not np.isfinite(direction).all():
            raise IntegrityError(f"{name} of {self.path.name} has NaN or infinite values", "choose another feature")
        return name, direction

    def _by_row(self, width: int) -> bool:
        """Return whether features are rows; a square matrix is what its name says."""
        if width not in self.shape:
            raise MisfitError(
                f"{self.key} has shape {list(self.shape)}, and directions there have width {width}",
                "name the model and site that the autoencoder was trained on",
            )
        return self.shape[1] == width and not (self.shape[0] == width and _is_called(self.key, COLUMNS))


def find_decoder(path: str | Path, key: str | None = None) -> Matrix:
    """Return the decoder of an autoencoder's `.safetensors` or `.npz` file; reads the header alone.

    Args:
        path: the file.
        key: the decoder's name; found by itself where it is one of DECODERS, or ends in one after a dot.

    Raises:
        InvalidInputError: for another kind of file, or a tensor that is no matrix of floats or is compressed.
        NotFoundError: when the file or the tensor is not there.
        IntegrityError: for a file that is damaged.
        UnavailableError: when it cannot be read.
    """
    path = Path(path)
    name = check_text(path.name, "the file's name")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InvalidInputError(
            f"one feature cannot be read of '{name}', by its ending",
            f"known: {', '.join(_READERS)}; write it again with safetensors.torch.save_file()",
        )
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}", "check the path")
    try:
        with path.open("rb") as file:
            return _checked(_chosen(reader(path, file), key, name), name)
    except OSError as error:
        raise UnavailableError(f"cannot read {path} ({error.strerror})", "check that you may read it") from error
    except IntegrityError as error:
        raise IntegrityError(f"{name}: {error.problem}", error.hint) from error


def _chosen(matrices: Mapping[str, Matrix], key: str | None, name: str) -> Matrix:
    listed = ", ".join(f"{each[:60]} {list(matrix.shape)}" for each, matrix in list(matrices.items())[:SHOWN])
    if key is not None:
        if key not in matrices:
            raise NotFoundError(f"{name} has no tensor '{key[:80]}'", f"it has {listed or 'none'}")
        return matrices[key]
    found = [matrix for matrix in matrices.values() if any(_is_called(matrix.key, known) for known in DECODERS)]
    if len(found) != 1:
        said = f"{len(found)} decoders" if found else f"no decoder: neither {' nor '.join(DECODERS)}"
        raise NotFoundError(f"{name} has {said}", f"name it with --key; it has {listed or 'nothing'}")
    return found[0]


def _is_called(key: str, known: str) -> bool:
    return key == known or key.endswith(f".{known}")


def _checked(matrix: Matrix, name: str) -> Matrix:
    what = f"'{matrix.key[:80]}' of {name}"
    if matrix.start is None:
        raise InvalidInputError(f"{what} is compressed, so it has no rows to find", "write it with numpy.savez()")
    if len(matrix.shape) != 2 or not all(matrix.shape):  # noqa: PLR2004 - rows and columns
        raise InvalidInputError(f"{what} has shape {list(matrix.shape)[:4]}", "a decoder is [features, width]")
    if matrix.dtype.newbyteorder("<") not in DTYPES.values():
        raise InvalidInputError(f"{what} has dtype {matrix.dtype}", f"use {', '.join(map(str, DTYPES.values()))}")
    if matrix.start + prod(matrix.shape) * matrix.dtype.itemsize > matrix.path.stat().st_size:
        raise IntegrityError(f"'{matrix.key[:60]}' goes on after the file's end: it is truncated", "get it again")
    return matrix


def _safetensors(path: Path, file: BinaryIO) -> dict[str, Matrix]:
    """Return the float tensors; others hold nothing to find here."""
    size = path.stat().st_size
    length = int.from_bytes(file.read(8), "little")
    if not 0 < length <= min(MAX_HEADER, size - 8):
        raise IntegrityError(f"truncated, or the header is too long ({length} bytes)", "get the file again")
    fields = strict_loads(file.read(length), "the header")
    if not isinstance(fields, dict):
        raise IntegrityError("the header is not a JSON object", "get the file again")
    fields.pop("__metadata__", None)
    tensors = {key: Fields(value, f"tensor '{key[:60]}'") for key, value in fields.items()}
    stop = max((0, *(offset for tensor in tensors.values() for offset in tensor.sequence("data_offsets", int))))
    if 8 + length + stop != size:
        raise IntegrityError(f"its tensors take {stop} bytes, and it has {size - 8 - length}", "get the file again")
    found = {key: tensor for key, tensor in tensors.items() if tensor.text("dtype") in DTYPES}
    return {key: _tensor(path, key, tensor, 8 + length) for key, tensor in found.items()}


def _tensor(path: Path, key: str, tensor: Fields, base: int) -> Matrix:
    dtype, shape = DTYPES[tensor.text("dtype")], tensor.sequence("shape", int)
    offsets = tensor.sequence("data_offsets", int)
    start, stop = offsets if len(offsets) == 2 else (0, -1)  # noqa: PLR2004 - from and to
    if start < 0 or min((0, *shape)) < 0 or start + prod(shape) * dtype.itemsize != stop:
        raise IntegrityError(f"tensor '{key[:60]}' has a shape that does not fill its bytes", "get the file again")
    return Matrix(path, key, dtype, shape, base + start)


def _npz(path: Path, file: BinaryIO) -> dict[str, Matrix]:
    try:
        with zipfile.ZipFile(file) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            return {key: _member(path, file, key, info) for key, info in members.items()}
    except (IntegrityError, OSError):
        raise
    except Exception as error:  # a damaged archive fails in any way there is
        raise IntegrityError(f"no .npz file ({type(error).__name__})", "write it again with numpy.savez()") from error


def _member(path: Path, file: BinaryIO, key: str, info: zipfile.ZipInfo) -> Matrix:
    if info.compress_type != zipfile.ZIP_STORED:
        return Matrix(path, key, np.dtype(np.float32), (), None)
    file.seek(info.header_offset)
    local = file.read(_LOCAL_HEADER)
    file.seek(int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little"), SEEK_CUR)
    start = file.tell()
    dtype, fortran, shape, head = npy_header(file.read(_NPY_HEADER))
    return Matrix(path, key, dtype, shape, start + head, fortran)


_READERS: Mapping[str, Callable[[Path, BinaryIO], dict[str, Matrix]]] = {".safetensors": _safetensors, ".npz": _npz}
