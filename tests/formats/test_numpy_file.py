"""`.npy` and `.npz`: what NumPy writes is read; nothing is unpickled, and no header asks for more than there is."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.lib import format as npy

from tests.formats.files import direction, npy_bytes, npz_bytes
from vectorstore.errors import IntegrityError
from vectorstore.formats.numpy_file import read_npy, read_npz

LIMIT = 1 << 20


class Code:
    """Runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("dtype", ["<f4", "<f8", "<f2", ">f4", ">f8", "<i8", "?"])
@pytest.mark.parametrize("shape", [(), (8,), (3, 8), (2, 3, 8), (0, 8)])
def test_every_array_comes_back_in_little_endian(dtype: str, shape: tuple[int, ...]):
    array = np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)
    read = read_npy(npy_bytes(array), LIMIT)[""]
    np.testing.assert_array_equal(read, array)
    assert read.dtype == np.dtype(dtype).newbyteorder("<")


def test_columns_first_comes_back_as_it_was():
    array = np.asfortranarray(direction(3, 8))
    assert b"'fortran_order': True" in npy_bytes(array)
    np.testing.assert_array_equal(read_npy(npy_bytes(array), LIMIT)[""], array)


def test_format_version_2_is_read():
    stream, array = io.BytesIO(), direction(8)
    npy.write_array_header_2_0(stream, npy.header_data_from_array_1_0(array))
    np.testing.assert_array_equal(read_npy(stream.getvalue() + array.tobytes(), LIMIT)[""], array)


def test_objects_are_refused_and_not_opened(tmp_path: Path):
    array = np.array([Code(tmp_path / "ran")], dtype=object)
    with pytest.raises(IntegrityError, match="values of type object, not numbers"):
        read_npy(npy_bytes(array), LIMIT)
    with pytest.raises(IntegrityError, match="values of type object, not numbers"):
        read_npz(npz_bytes(a=array), LIMIT)
    assert not (tmp_path / "ran").exists()


def header(text: str, data: bytes = b"", version: int = 1) -> bytes:
    return (
        b"\x93NUMPY"
        + bytes([version, 0])
        + len(text).to_bytes(2 if version == 1 else 4, "little")
        + text.encode()
        + data
    )


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"no", "no .npy file"),
        (b"\x93NUMPY", "no .npy file"),
        (header("", version=3), "no .npy file of format version 1 or 2"),
        (npy_bytes(direction(8))[:-1], "truncated or damaged"),
        (npy_bytes(direction(8)) + b"x", "truncated or damaged"),
        (npy_bytes(direction(8))[:20], "header that is truncated"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,)}"), "truncated or damaged"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}"), "header that is damaged"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (True,)}"), "header that is damaged"),
        (header("{'descr': '<q9', 'fortran_order': False, 'shape': ()}"), "header that is damaged"),
        (header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': ()}"), "header that is damaged"),
        (header("{'descr': '<f4', 'shape': ()}"), "header that is damaged"),
        (header("{'descr': 'S0', 'fortran_order': False, 'shape': (3,)}"), "values of type .*, not numbers"),
        (header("__import__('os').getcwd()"), "header that is damaged"),
        (header("(" * 5000), "header that is damaged"),
        (header(" " * 20_000), "header that is truncated or too long"),
    ],
)
def test_a_damaged_header_is_refused(data: bytes, said: str):
    with pytest.raises(IntegrityError, match=said):
        read_npy(data, LIMIT)


def test_arrays_of_an_npz_have_their_names():
    read = read_npz(npz_bytes(layer_6=direction(8), layer_7=direction(8, seed=1)), LIMIT)
    assert sorted(read) == ["layer_6", "layer_7"]
    np.testing.assert_array_equal(read["layer_7"], direction(8, seed=1))


def test_an_npz_that_unpacks_to_more_than_the_limit_is_refused():
    stream = io.BytesIO()
    np.savez_compressed(stream, a=np.zeros(LIMIT, np.float32))
    assert len(stream.getvalue()) < LIMIT // 100
    with pytest.raises(IntegrityError, match=f"1 arrays of {4 * LIMIT + 128} bytes"):
        read_npz(stream.getvalue(), LIMIT)


def test_an_npz_with_two_arrays_of_one_name_is_refused():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.npy", npy_bytes(direction(8)))
        archive.writestr("a", npy_bytes(direction(8, seed=1)))
    with pytest.raises(IntegrityError, match="two arrays of one name"):
        read_npz(stream.getvalue(), LIMIT)


def test_an_npz_of_a_packing_that_does_not_unpack_is_refused():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", npy_bytes(direction(8)))
    packed = bytearray(stream.getvalue())
    packed[45:60] = b"\xff" * 15  # after the local header
    with pytest.raises(IntegrityError, match=r"no \.npz file \(BadZipFile\)"):
        read_npz(bytes(packed), LIMIT)


def test_an_npz_of_too_many_arrays_or_other_files_is_refused():
    with pytest.raises(IntegrityError, match="2000 arrays"):
        read_npz(npz_bytes(**{f"a{n}": direction(1) for n in range(2000)}), LIMIT)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(IntegrityError, match=r"no \.npy file"):
        read_npz(stream.getvalue(), LIMIT)
    with pytest.raises(IntegrityError, match=r"no \.npz file"):
        read_npz(b"PK\x03\x04", LIMIT)


@pytest.mark.parametrize(("descr", "shape"), [("(2,)<f4", (4,)), ("<f4", (1,) * 80)])
def test_headers_that_numpy_itself_stumbles_over_are_refused(descr: str, shape: tuple[int, ...]):
    stream = io.BytesIO()
    npy.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    values = b"\0" * (np.dtype(descr).itemsize * int(np.prod(shape)))
    with pytest.raises(IntegrityError, match="a header that is damaged"):
        read_npy(stream.getvalue() + values, LIMIT)


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_that_is_packed_as_numpy_never_does_is_refused_before_it_is_unpacked(packing: int):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", packing) as archive:
        archive.writestr("a.npy", npy_bytes(direction(8)))
    with pytest.raises(IntegrityError, match="NumPy never packs"):
        read_npz(stream.getvalue(), LIMIT)
