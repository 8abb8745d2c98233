"""Arrays of NumPy: `.npy` (format versions 1 and 2) and `.npz`. Nothing in them is ever unpickled.

The header is read here, so that a file cannot ask for more memory than it has bytes. Source: numpy.lib.format.
"""

from __future__ import annotations

import ast
import io
import warnings
import zipfile
from math import prod

import numpy as np

from vectorstore.errors import IntegrityError
from vectorstore.vector import Array

MAGIC = b"\x93NUMPY"
MAX_HEADER = 10_000
MAX_MEMBERS = 1024
MAX_AXES = 32
_AGAIN = "write it again with numpy.save()"


def read_npy(data: bytes, limit: int) -> dict[str, Array]:  # noqa: ARG001 - readers share a signature
    """Return the one array of a `.npy` file; its key is empty.

    Raises:
        IntegrityError: for bytes that are no such file, are too few or too many, or hold Python objects.
    """
    return {"": _array(data)}


def read_npz(data: bytes, limit: int) -> dict[str, Array]:
    """Return the arrays of a `.npz` file by their names.

    Raises:
        IntegrityError: for bytes that are no such file, or more than `limit` once they are unpacked.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {name: _array(archive.read(member)) for name, member in _members(archive, limit).items()}
    except IntegrityError:
        raise
    except Exception as error:  # a damaged archive fails in any way there is
        raise IntegrityError(f"no .npz file ({type(error).__name__})", "write it again with numpy.savez()") from error


def _members(archive: zipfile.ZipFile, limit: int) -> dict[str, zipfile.ZipInfo]:
    listed = archive.infolist()
    members = {member.filename.removesuffix(".npy"): member for member in listed}
    size = sum(member.file_size for member in listed)
    if len(listed) > MAX_MEMBERS or size > limit:
        raise IntegrityError(f"{len(listed)} arrays of {size} bytes", "save the directions alone")
    if len(members) != len(listed):
        raise IntegrityError("two arrays of one name", "write it again with numpy.savez()")
    if {member.compress_type for member in listed} - {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        # zipfile unpacks others whole before it looks at their size: 445 bytes of bzip2 become 400 MB
        raise IntegrityError("arrays packed in a way NumPy never packs them", "write it again with numpy.savez()")
    return members


def _array(data: bytes) -> Array:
    dtype, fortran, shape, start = npy_header(data)
    if dtype.hasobject or not dtype.itemsize:
        raise IntegrityError(f"values of type {dtype}, not numbers", "save plain numbers, one array to a file")
    if prod(shape) * dtype.itemsize != len(data) - start:
        raise IntegrityError(
            f"shape {list(shape)[:4]} of {dtype} and {len(data) - start} bytes of values: truncated or damaged", _AGAIN
        )
    array = np.frombuffer(data, dtype, prod(shape), start).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("<"), copy=False)


def npy_header(data: bytes) -> tuple[np.dtype[np.generic], bool, tuple[int, ...], int]:
    """Return dtype, whether columns come first, shape, and where the values begin."""
    width = {1: 2, 2: 4}.get(data[6] if len(data) > len(MAGIC) else 0)
    if not data.startswith(MAGIC) or width is None:
        raise IntegrityError("no .npy file of format version 1 or 2", _AGAIN)
    start = 8 + width
    stop = start + int.from_bytes(data[8:start], "little")
    if stop > min(len(data), start + MAX_HEADER):
        raise IntegrityError("a header that is truncated or too long", _AGAIN)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged text may look like old Python
            fields = ast.literal_eval(data[start:stop].decode("latin-1").strip())
            return *_checked(fields), stop
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError, KeyError) as error:
        raise IntegrityError("a header that is damaged", _AGAIN) from error


def _checked(fields: object) -> tuple[np.dtype[np.generic], bool, tuple[int, ...]]:
    if not isinstance(fields, dict) or set(fields) != {"descr", "fortran_order", "shape"}:
        raise ValueError("not the three fields")
    descr, fortran, shape = fields["descr"], fields["fortran_order"], fields["shape"]
    if not isinstance(descr, str) or not isinstance(fortran, bool) or not isinstance(shape, tuple):
        raise TypeError("not their types")
    dtype = np.dtype(descr)
    if not all(type(length) is int and 0 <= length < 1 << 40 for length in shape) or len(shape) > MAX_AXES:
        raise ValueError("not a shape")
    if dtype.subdtype is not None:
        raise ValueError("a shape within a type")
    return dtype, fortran, shape
