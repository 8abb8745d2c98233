"""Reading any file of tensors: by its ending, whole or refused in one line."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.builders import make_card, make_vector
from tests.formats.files import direction, npy_bytes, npz_bytes, written
from tests.formats.test_torch_file import saved
from vectorstore.canonical import digest
from vectorstore.codec import pack
from vectorstore.errors import IntegrityError, InvalidInputError, NotFoundError, UnavailableError
from vectorstore.formats import tensor_file
from vectorstore.formats.tensor_file import SUFFIXES, read_tensors

VECTOR = make_vector([2, 3])
BLOB = pack(VECTOR, make_card(VECTOR))
SEEDS = {
    ".npy": npy_bytes(direction(3, 8)),
    ".npz": npz_bytes(a=direction(8), b=direction(8, seed=1)),
    ".pt": saved({6: torch.ones(8), "b": [torch.ones(8).bfloat16()]}),
    ".pth": saved(torch.ones(8), _use_new_zipfile_serialization=False),
    ".safetensors": BLOB,
}


@pytest.mark.parametrize("suffix", [*SEEDS, ".NPY"])
def test_a_file_has_its_name_its_digest_and_its_tensors(tmp_path: Path, suffix: str):
    data = SEEDS[suffix.lower()]
    file = read_tensors(written(tmp_path / f"love{suffix}", data))
    assert (file.name, file.digest) == (f"love{suffix}", digest(data))
    assert file.tensors
    assert (file.blob is None) == (suffix != ".safetensors")


def test_a_blob_of_ours_brings_its_vector_and_card(tmp_path: Path):
    file = read_tensors(str(written(tmp_path / "love.safetensors", BLOB)))
    assert file.blob == (VECTOR, make_card(VECTOR))


def test_another_tools_safetensors_has_tensors_alone(tmp_path: Path):
    file = read_tensors(written(tmp_path / "profile.safetensors", {"layer_6": direction()}))
    assert file.blob is None
    np.testing.assert_array_equal(file.tensors["layer_6"], direction())


def test_a_blob_of_ours_with_a_false_card_is_refused(tmp_path: Path):
    data = bytearray(BLOB)
    data[-1] ^= 0x01  # the exponent of the last value
    with pytest.raises(IntegrityError, match=r"love\.safetensors: the card says norm"):
        read_tensors(written(tmp_path / "love.safetensors", bytes(data)))


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path):
    with pytest.raises(NotFoundError, match="there is no file"):
        read_tensors(tmp_path / "none.npy")


def test_a_folder_is_refused(tmp_path: Path):
    (tmp_path / "love.npy").mkdir()
    with pytest.raises(InvalidInputError, match="is a folder"):
        read_tensors(tmp_path / "love.npy")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "love.npy")
    with pytest.raises(InvalidInputError, match="is a pipe or a device"):
        read_tensors(tmp_path / "love.npy")


def test_a_device_is_refused_and_not_read_forever(tmp_path: Path):
    (tmp_path / "love.npy").symlink_to("/dev/zero")
    with pytest.raises(InvalidInputError, match="is a pipe or a device"):
        read_tensors(tmp_path / "love.npy")


@pytest.mark.parametrize("name", ["love.gguf", "love", ".npy", "love.pkl", "love.npy.gz"])
def test_another_ending_is_refused_with_those_that_are_known(tmp_path: Path, name: str):
    with pytest.raises(InvalidInputError, match=r"known: \.safetensors, \.npy, \.npz, \.pt, \.pth, \.bin"):
        read_tensors(written(tmp_path / name, b"x"))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_empty_file_is_refused_and_so_is_another_kind_of_file(tmp_path: Path, suffix: str):
    with pytest.raises(IntegrityError, match="is empty"):
        read_tensors(written(tmp_path / f"love{suffix}", b""))
    with pytest.raises(IntegrityError, match=rf"love\{suffix}: "):
        read_tensors(written(tmp_path / f"love{suffix}", b"%PDF-1.7 and so on"))


def test_a_file_that_is_too_large_is_not_even_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tensor_file, "MAX_FILE", 100)
    with pytest.raises(InvalidInputError, match="more than 100"):
        read_tensors(written(tmp_path / "love.npy", direction(100)))


def test_a_file_that_may_not_be_read_is_unavailable(tmp_path: Path):
    (tmp_path / "loop.npy").symlink_to(tmp_path / "loop.npy")
    with pytest.raises(UnavailableError, match=r"cannot read .*loop"):
        read_tensors(tmp_path / "loop.npy")


def test_a_name_that_is_not_utf_8_is_refused(tmp_path: Path):
    with pytest.raises(InvalidInputError, match="is not valid UTF-8"):
        read_tensors(tmp_path / "\udcff.npy")


@pytest.mark.parametrize("suffix", SEEDS)
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_refused_by_our_errors_or_changes_values_alone(tmp_path: Path, suffix: str, data: st.DataObject):
    damaged = bytearray(SEEDS[suffix])
    for _ in range(data.draw(st.integers(0, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    stop = data.draw(st.integers(1, len(damaged)) | st.just(len(damaged)))
    path = written(tmp_path / f"love{suffix}", bytes(damaged[:stop]))
    try:
        file = read_tensors(path)
    except IntegrityError as error:
        assert "\n" not in str(error)  # noqa: PT017 - it may be raised, and need not
    else:
        assert sum(array.nbytes for array in file.tensors.values()) <= len(damaged) * 8
