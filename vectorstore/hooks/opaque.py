"""Opaque: what torch.compile sees of a steered place, one operation, which looks up what to do when it runs.

So a compiled model need not be compiled again when plans, coefficients, tokens or rows change, and its graph is whole.
The operation is marked as unsafe for CUDA graphs, which would not look anything up.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any

import torch
from torch import Tensor

from vectorstore.errors import InvalidInputError
from vectorstore.hooks.hidden import Transform

Current = Callable[[], tuple[Transform, bool]]
"""Returns what the pass that is under way does at a place, and whether gradients may be asked for."""

_current: dict[int, Current] = {}
_kept: OrderedDict[int, Transform] = OrderedDict()
_tickets = count(1)
_MOST_KEPT = 4096
"""Places times passes whose backward pass may still come."""


def bind(number: int, current: Current) -> None:
    """Let the operation with this number do what `current` says, until `release`."""
    _current[number] = current


def release(number: int) -> None:
    """Let the operation with this number do nothing."""
    _current.pop(number, None)


@torch.library.custom_op("vectorstore::steered", mutates_args=(), tags=(torch.Tag.cudagraph_unsafe,))
def steered(hidden: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Return the steered `hidden` `[..., width]`, contiguous, and the ticket under which the pass is kept, or 0."""
    if number not in _current:
        return _own(hidden, None), torch.tensor(0)
    transform, training = _current[number]()
    ticket = next(_tickets) if training else 0
    if training:
        _kept[ticket] = transform
        if len(_kept) > _MOST_KEPT:
            _kept.popitem(last=False)
    return _own(hidden, transform(hidden)), torch.tensor(ticket)


@torch.library.custom_op("vectorstore::steered_backward", mutates_args=(), tags=(torch.Tag.cudagraph_unsafe,))
def steered_backward(gradient: Tensor, hidden: Tensor, ticket: Tensor) -> Tensor:
    """Return the gradient of `hidden`, given that of what it was steered to in the pass with this ticket."""
    if (transform := _kept.get(int(ticket))) is None:
        raise InvalidInputError(
            "a compiled forward pass is too long ago, or ran without gradients, to be gone through backwards",
            "call backward() soon after it, or run the model without torch.compile",
        )
    with torch.inference_mode(mode=False), _recording():
        before = hidden.detach().clone().requires_grad_()
        after = transform(before)
        if after is None:
            return gradient.clone()
        (result,) = torch.autograd.grad(after, before, gradient)
    return _own(gradient, result)


@steered.register_fake
def _(hidden: Tensor, number: int) -> tuple[Tensor, Tensor]:  # noqa: ARG001 - the operation's signature
    return hidden.new_empty(hidden.shape), torch.empty((), dtype=torch.int64)


@steered_backward.register_fake
def _(gradient: Tensor, hidden: Tensor, ticket: Tensor) -> Tensor:  # noqa: ARG001 - the operation's signature
    return gradient.new_empty(gradient.shape)


def _remember(ctx: Any, inputs: tuple[Tensor, int], output: tuple[Tensor, Tensor]) -> None:  # noqa: ANN401 - torch's
    ctx.save_for_backward(inputs[0], output[1])


def _backward(ctx: Any, gradient: Tensor, _ticket: object) -> tuple[Tensor, None]:  # noqa: ANN401 - torch's
    return steered_backward(gradient, *ctx.saved_tensors), None


steered.register_autograd(_backward, setup_context=_remember)


def _own(hidden: Tensor, changed: Tensor | None) -> Tensor:
    """Return what may leave an operation: contiguous, and no input of it."""
    if changed is None or changed is hidden:
        return hidden.clone(memory_format=torch.contiguous_format)
    return changed.contiguous()


@contextmanager
def _recording() -> Iterator[None]:
    """Record a graph inside of an operation, where torch has shut autograd out."""
    with ExitStack() as stack:
        stack.enter_context(torch.enable_grad())
        for key in (torch._C.DispatchKey.AutogradFunctionality, torch._C.DispatchKey.ADInplaceOrView):  # noqa: SLF001
            stack.enter_context(torch._C._SetExcludeDispatchKeyGuard(key, False))  # noqa: SLF001 - there is no other way
        yield
