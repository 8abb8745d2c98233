"""`.pt`, `.pth` and `.bin`: what `torch.save` wrote, by weights-only loading. A pickle that wants code is refused."""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from pickle import UnpicklingError

import ml_dtypes
import torch
from torch import Tensor

from vectorstore.errors import IntegrityError
from vectorstore.vector import Array

_CODE = re.compile(r"GLOBAL ([\w.]+)")
MAX_VALUES = 1 << 18
MAX_NAME = 1000
MAX_NUMBER = 1 << 31
_WRITTEN = "write it again with torch.save({'layer.6': tensor}, FILE), or as .safetensors"


def read_pt(data: bytes, limit: int) -> dict[str, Array]:
    """Return the tensors by key: a lone tensor's is empty, a list's are its numbers, a nested one's are `a.b`.

    They may be a tensor, or lists and dictionaries of tensors, one in another; whatever else is in these is left out.
    Together they take `limit` bytes at most.

    Raises:
        IntegrityError: for bytes that are no such file, or that want code to run.
    """
    _check_size(data, limit)
    arrays: dict[str, Array] = {}
    size = 0
    for key, tensor in _tensors(_load(data), count(1)):
        if key in arrays:
            raise IntegrityError(f"two tensors of the name '{key[:60]}'", _WRITTEN)
        if _is_plain(tensor):
            size += tensor.numel() * tensor.element_size()
            if size > limit:  # a small storage can pretend to be tensors of any size
                shape = list(tensor.shape)[:4]
                raise IntegrityError(f"a tensor of shape {shape}, which is too large", "save the directions alone")
            arrays[key] = _array(tensor)
    return arrays


def _check_size(data: bytes, limit: int) -> None:
    """Refuse a zip file that unpacks to more than `limit`: PyTorch would unpack it whole."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError):
        return  # the older format, or damaged: loading it will tell
    if size > limit:
        raise IntegrityError(f"it unpacks to {size} bytes", "save the directions alone")


def _load(data: bytes) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True, mmap=False)
    except UnpicklingError as error:
        code = _CODE.search(str(error))
        if code is None:
            raise IntegrityError("no file of plain tensors that PyTorch can read", _WRITTEN) from error
        raise IntegrityError(f"not only tensors: it wants to run {code[1][:60]}", _WRITTEN) from error
    except Exception as error:  # a damaged pickle fails in any way there is
        raise IntegrityError(f"no file that PyTorch can read ({type(error).__name__})", _WRITTEN) from error


def _tensors(value: object, seen: Iterator[int], key: str = "", depth: int = 2) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors; `seen` counts the values, since a list may hold one other list a million times."""
    if isinstance(value, Tensor):
        yield key, value
    for name, child in _children(value) if depth else ():
        if next(seen) > MAX_VALUES:
            raise IntegrityError(f"more than {MAX_VALUES} values", _WRITTEN)
        if isinstance(child, Tensor | Mapping | list | tuple) and (text := _name(name)) is not None:
            dotted = f"{key}.{text}" if key and not text.startswith("[") else f"{key}{text}"
            yield from _tensors(child, seen, dotted, depth - 1)


def _children(value: object) -> Iterable[tuple[object, object]]:
    if isinstance(value, Mapping):
        return value.items()
    # In brackets: the place in a list is not the number of a layer.
    return ((f"[{index}]", child) for index, child in enumerate(value)) if isinstance(value, list | tuple) else ()


def _name(name: object) -> str | None:
    """Return the text of a key; None where it is neither a number nor text, or a long one."""
    if isinstance(name, int):
        return str(name) if abs(name) < MAX_NUMBER else None
    return name if isinstance(name, str) and len(name) <= MAX_NAME else None


def _is_plain(tensor: Tensor) -> bool:
    """Return whether NumPy has a word for it."""
    strided = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    return strided and (tensor.dtype == torch.bfloat16 or tensor.dtype in _NUMPY)


_NUMPY = {
    *(torch.float64, torch.float32, torch.float16, torch.complex64, torch.complex128),
    *(torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool),
}


def _array(tensor: Tensor) -> Array:
    tensor = tensor.detach().resolve_conj().resolve_neg().contiguous()
    if tensor.dtype != torch.bfloat16:
        return tensor.numpy()
    return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
