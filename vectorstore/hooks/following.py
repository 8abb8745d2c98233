"""Tell those who follow a model of each `generate`: the one thing of a model that is replaced while it is steered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial, update_wrapper
from threading import Lock, get_ident
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn

from vectorstore.errors import ConflictError
from vectorstore.hooks.turn import in_two_threads

Follower = Callable[[tuple[Any, ...], dict[str, Any]], AbstractContextManager[None]]
"""Given `generate`'s arguments, a context that lasts as long as the call."""


@dataclass
class _Replaced:
    """A model's `generate`, and who is told of it.

    Attributes:
        before: what the model had in its own dictionary, to be put back; None where it had nothing.
        now: what stands there instead; None for a model that does not generate.
        followers: the outer block's first.
        thread: where the blocks were opened.
    """

    before: object
    now: object = None
    followers: list[Follower] = field(default_factory=list)
    thread: int = field(default_factory=get_ident)


_replaced: WeakKeyDictionary[nn.Module, _Replaced] = WeakKeyDictionary()
_lock = Lock()


@contextmanager
def following_generate(model: nn.Module, follower: Follower) -> Iterator[None]:
    """Tell `follower` of each `generate`; blocks may end in any order, and after the last the model is as it was.

    Raises:
        ConflictError: when another thread has opened a block on this model, and not ended it.
    """
    with _lock:
        replaced = _replaced.get(model) or _replace(model)
        if replaced.thread != get_ident():
            raise in_two_threads()
        replaced.followers.append(follower)
    try:
        yield
    finally:
        with _lock:
            replaced.followers.remove(follower)
            if not replaced.followers:
                del _replaced[model]
                _put_back(model, replaced)


def followers(model: nn.Module) -> int:
    """Return how many follow the model's `generate`."""
    replaced = _replaced.get(model)
    return len(replaced.followers) if replaced else 0


def _replace(model: nn.Module) -> _Replaced:
    replaced = _replaced[model] = _Replaced(model.__dict__.get("generate"))
    original: Any = getattr(model, "generate", None)
    if callable(original):
        model.__dict__["generate"] = replaced.now = _Followed(model, original, replaced)
    return replaced


class _Followed:
    """A model's `generate` that tells who follows it; a copy of the model cannot have it, for it runs this model."""

    def __init__(self, model: nn.Module, original: Any, replaced: _Replaced) -> None:  # noqa: ANN401 - generate
        self._model, self._original, self._replaced = model, original, replaced
        update_wrapper(self, original)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - generate's own
        with ExitStack() as stack:
            for follower in tuple(self._replaced.followers):
                stack.enter_context(follower(args, kwargs))
            stack.enter_context(_calling_in_chunks(self._model))
            return self._original(*args, **kwargs)

    def __deepcopy__(self, _memo: object) -> _Followed:
        raise ConflictError("a model that is being steered cannot be copied", "do it outside of the block")


@dataclass(frozen=True)
class _Called:
    """A model whose `forward` is a call of it, hooks included."""

    model: nn.Module

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the model's own
        return getattr(self.model, "__call__" if name == "forward" else name)


@contextmanager
def _calling_in_chunks(model: nn.Module) -> Iterator[None]:
    """Let a prefill in chunks pass the hooks of the model: transformers 4 runs its `forward` there, past them."""
    chunks = getattr(type(model), "_prefill_chunking", None)
    if chunks is None or "_prefill_chunking" in model.__dict__:
        yield
        return
    model.__dict__["_prefill_chunking"] = partial(chunks, _Called(model))
    try:
        yield
    finally:
        del model.__dict__["_prefill_chunking"]


def _put_back(model: nn.Module, replaced: _Replaced) -> None:
    if replaced.now is None or model.__dict__.get("generate") is not replaced.now:
        return  # nothing to put back, or somebody else has replaced it meanwhile; ours now tells nobody
    if replaced.before is None:
        del model.__dict__["generate"]
    else:
        model.__dict__["generate"] = replaced.before
