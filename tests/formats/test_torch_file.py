"""`.pt`: what people save is read, and code never runs."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from torch import nn

from vectorstore.errors import IntegrityError
from vectorstore.formats.torch_file import read_pt
from vectorstore.vector import Array

LIMIT = 1 << 20
ONE = torch.arange(8.0) + 1
TWO = torch.arange(8.0) - 3


class Code:
    """Runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return os.mkdir, (str(self.path),)


def saved(value: object, **options: Any) -> bytes:
    stream = BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


def read(value: object, **options: Any) -> dict[str, Array]:
    return read_pt(saved(value, **options), LIMIT)


@pytest.mark.parametrize(
    ("value", "keys"),
    [
        (ONE, [""]),
        ({"a": ONE, "b": TWO}, ["a", "b"]),
        (OrderedDict(a=ONE, b=TWO), ["a", "b"]),
        ({6: ONE, 7: TWO}, ["6", "7"]),
        ({-1: ONE, -2: TWO}, ["-1", "-2"]),
        ({"love": {6: ONE}, "hate": {6: TWO}}, ["love.6", "hate.6"]),
        ([ONE, TWO], ["[0]", "[1]"]),
        ((ONE, TWO), ["[0]", "[1]"]),
        ({"vectors": [ONE, TWO]}, ["vectors[0]", "vectors[1]"]),
        ({"direction": ONE, "layer": 14, "model": "gpt2", "none": None, "lr": 0.1}, ["direction"]),
        ({"a": {"b": {"c": ONE}}}, []),
        ([], []),
        (3, []),
    ],
)
def test_tensors_are_found_by_key_two_levels_deep(value: object, keys: list[str]):
    found = read(value)
    assert list(found) == keys
    for array in found.values():
        np.testing.assert_array_equal(array, TWO if array[0] < 0 else ONE)


def test_a_state_dict_is_read():
    layer = nn.Linear(8, 1)
    np.testing.assert_array_equal(read(layer.state_dict())["weight"], layer.weight.detach())


def test_a_file_of_the_older_format_is_read():
    np.testing.assert_array_equal(read({6: ONE}, _use_new_zipfile_serialization=False)["6"], ONE)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_floats_keep_their_dtype_and_bits(dtype: torch.dtype):
    array = read(nn.Parameter((ONE / 3).to(dtype)))[""]
    assert str(array.dtype) == str(dtype).removeprefix("torch.")
    np.testing.assert_array_equal(array.astype(np.float64), (ONE / 3).to(dtype).double())


@pytest.mark.parametrize("make", [lambda: ONE.expand(3, 8), lambda: torch.stack([ONE, TWO]).T, lambda: ONE[::2]])
def test_views_are_read_as_what_they_show(make: Callable[[], torch.Tensor]):
    np.testing.assert_array_equal(read(make())[""], make())
    assert read(make().bfloat16())[""].dtype == ml_dtypes.bfloat16


def test_what_numpy_has_no_word_for_is_left_out_and_integers_are_not():
    exotic = {"sparse": ONE.to_sparse(), "float8": ONE.to(torch.float8_e4m3fn), "meta": torch.empty(8, device="meta")}
    assert list(read({**exotic, "count": torch.tensor(3), "a": ONE})) == ["count", "a"]


def test_a_small_file_cannot_pretend_to_be_large():
    huge = torch.zeros(1).expand(1 << 20, 1 << 20)
    assert len(saved(huge)) < 10_000
    with pytest.raises(IntegrityError, match=r"shape \[1048576, 1048576\], which is too large"):
        read(huge)


def test_a_file_that_unpacks_to_more_than_the_limit_is_refused():
    stream = BytesIO()
    with zipfile.ZipFile(BytesIO(saved(torch.zeros(LIMIT)))) as plain:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
            for member in plain.infolist():
                packed.writestr(member.filename, plain.read(member), zipfile.ZIP_DEFLATED)
    assert len(stream.getvalue()) < LIMIT // 100
    with pytest.raises(IntegrityError, match=r"it unpacks to 4[0-9]* bytes"):
        read_pt(stream.getvalue(), LIMIT)
    np.testing.assert_array_equal(read_pt(stream.getvalue(), 8 * LIMIT)[""], np.zeros(LIMIT))


@pytest.mark.parametrize("value", [{6: ONE, "6": TWO}, {"a": {"b": ONE}, "a.b": TWO}])
def test_two_tensors_of_one_name_are_refused(value: object):
    with pytest.raises(IntegrityError, match="two tensors of the name"):
        read(value)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("environment", ["0", "1"])
def test_a_pickle_that_wants_code_is_refused_and_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, zipped: bool, environment: str
):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", environment)
    code = Code(tmp_path / "ran")
    with pytest.raises(IntegrityError, match=r"not only tensors: it wants to run posix\.mkdir"):
        read({"a": ONE, "b": code}, _use_new_zipfile_serialization=zipped)
    with pytest.raises(IntegrityError):
        read_pt(pickle.dumps(code), LIMIT)
    assert not (tmp_path / "ran").exists()
    pickle.loads(pickle.dumps(code))  # noqa: S301 - to show that it is as hostile as it looks
    assert (tmp_path / "ran").exists()


def test_a_whole_module_is_refused():
    with pytest.raises(IntegrityError, match=r"it wants to run torch\.nn\.modules\.linear\.Linear"):
        read(nn.Linear(2, 2))


@pytest.mark.parametrize("data", [b"x", b"\x80\x02.", b"PK\x03\x04", b'{"a": 1}', saved(ONE)[:-30], saved(ONE)[:500]])
def test_bytes_that_are_no_such_file_are_refused(data: bytes):
    with pytest.raises(IntegrityError, match="PyTorch can read"):
        read_pt(data, LIMIT)


def test_many_tensors_of_one_small_storage_are_refused_for_their_size_together():
    value = {f"a{number}": torch.zeros(1).expand(1 << 16) for number in range(8)}  # 256 KiB each, 4 bytes in the file
    assert len(saved(value)) < LIMIT // 64
    with pytest.raises(IntegrityError, match=r"shape \[65536\], which is too large"):
        read(value)


def test_a_list_that_holds_one_list_many_times_is_refused_before_it_is_walked():
    long = [0.5] * 20_000
    with pytest.raises(IntegrityError, match="more than 262144 values"):
        read([long] * 20_000)


@pytest.mark.parametrize(
    "name", [10**400, ("a", 1), "a" * 2000, None], ids=["a long number", "a tuple", "a long text", "nothing"]
)
def test_a_tensor_whose_name_is_no_short_text_or_number_is_left_out(name: object):
    assert list(read({name: ONE, "b": TWO})) == ["b"]
