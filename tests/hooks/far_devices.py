"""Devices that a machine without accelerators does not have: `cpu:1`, `cpu:2`, …, as strict as real ones.

A tensor there computes on the CPU, but it meets no tensor of another device unless it was moved first.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

_MOVES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


class FarTensor(Tensor):
    """A tensor that is said to be on another device."""

    near: Tensor

    @staticmethod
    def __new__(cls, near: Tensor, device: torch.device) -> Self:
        shape, strides, dtype = near.shape, near.stride(), near.dtype
        tensor = Tensor._make_wrapper_subclass(cls, shape, strides=strides, dtype=dtype, device=device)
        tensor.near = near
        return tensor

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})


class FarDevices(TorchDispatchMode):
    """Inside the block there are such devices.

    Attributes:
        crossings: how many tensors went from one device to another.
    """

    def __init__(self):
        super().__init__()
        self.crossings = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in _MOVES and kwargs.get("device") not in (None, args[0].device):
            self.crossings += 1
        return _run(function, args, kwargs)


def _run(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
    devices = {each.device for each in tensors if each.ndim and each.numel()}
    if function is torch.ops.aten.index.Tensor:
        devices.discard(torch.device("cpu"))  # a real device takes indices of the CPU, too
    if len(devices) > 1 and function not in _MOVES:
        raise RuntimeError(f"{function} of tensors on {', '.join(sorted(map(str, devices)))}")
    found = next(iter(devices or {each.device for each in tensors}), "cpu")
    device = torch.device(kwargs.get("device") or found)
    if "device" in kwargs:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    result = function(*tree_map(_near, args), **tree_map(_near, kwargs))
    given = {id(_near(each)): each for each in tensors}

    def far(each: Any) -> Any:
        if not isinstance(each, Tensor) or id(each) in given:
            return given.get(id(each), each)
        return each if device.index is None else FarTensor(each, device)

    return tree_map(far, result)


def _near(each: Any) -> Any:
    return each.near if isinstance(each, FarTensor) else each
