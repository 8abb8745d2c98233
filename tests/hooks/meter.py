"""How many bytes of tensors are alive, counted operation by operation."""

from __future__ import annotations

import weakref
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Meter(TorchDispatchMode):
    """Counts the bytes of all storages that operations inside the block made, while they are alive.

    What an operation uses only within itself is not seen, and what was there before the block is not counted.

    Attributes:
        live: now.
        peak: the most since the block began.
    """

    def __init__(self) -> None:
        """Start at nothing."""
        super().__init__()
        self.live = self.peak = 0
        self._before: set[int] = set()
        self._known: dict[int, weakref.finalize[Any, Any]] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Carry out the operation, and count what is new."""
        given = {each.untyped_storage().data_ptr() for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)}
        result = function(*args, **(kwargs or {}))
        for each in tree_leaves(result):
            if isinstance(each, Tensor):
                self._count(each, given)
        return result

    def _count(self, tensor: Tensor, given: set[int]) -> None:
        storage = tensor.untyped_storage()
        key = storage.data_ptr()
        if key in given or key in self._known or not key:  # a view, or written into what was there
            return
        self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)
        self._known[key] = weakref.finalize(storage, self._forget, key, storage.nbytes())

    def _forget(self, key: int, size: int) -> None:
        del self._known[key]
        self.live -= size
