"""SteeredForward: what a model's `forward` is while it is steered.

torch.compile keeps what it compiled with the code of the function that it met, and does not look at hooks again. So the
steered model has a `forward` whose code is its own, one for each set of places: steered and unsteered models never run
what was compiled for the other, and a block with the same places finds again what was compiled for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import update_wrapper
from itertools import count
from types import CodeType, FunctionType, MethodType
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn

from vectorstore.errors import InvalidInputError
from vectorstore.place import Place

_numbers = count()


@dataclass
class _Known:
    """What a model keeps between blocks: no more than numbers and code, which do not keep the model.

    Attributes:
        operations: the number of the operation at each place.
        codes: of the steered `forward`, by places.
    """

    operations: dict[Place, int] = field(default_factory=dict)
    codes: dict[tuple[bool, frozenset[Place]], CodeType] = field(default_factory=dict)


_known: WeakKeyDictionary[nn.Module, _Known] = WeakKeyDictionary()


def operation(model: nn.Module, place: Place) -> int:
    """Return the number of the operation at a place of a model, the same each time."""
    operations = _known.setdefault(model, _Known()).operations
    return operations.setdefault(place, next(_numbers))


class SteeredForward:
    """Puts another `forward` on one model, and its own back."""

    def __init__(self, model: nn.Module) -> None:
        """Look at what `forward` the model has in its own dictionary, if any: compiled, or somebody's replacement."""
        self._before: Any = model.__dict__.get("forward")
        self._now: object = None

    def put(self, model: nn.Module, places: frozenset[Place]) -> None:
        """Let the model run through code of its own for these places."""
        if self._now is not None and model.__dict__.get("forward") is not self._now:
            return  # somebody has replaced it meanwhile
        codes = _known.setdefault(model, _Known()).codes
        plain = self._before is None
        template: Any = _of_class if plain else _of_instance(_innermost(self._before))
        code = codes.setdefault((plain, places), template.__code__.replace(co_name="steered_forward"))
        function = FunctionType(code, template.__globals__, closure=template.__closure__)
        method = MethodType(update_wrapper(function, type(model).forward), model)
        self._now = model.__dict__["forward"] = method if plain else _compiled_alike(self._before, method)

    def put_back(self, model: nn.Module) -> None:
        """Let the model have its own again."""
        if self._now is None or model.__dict__.get("forward") is not self._now:
            return
        if self._before is None:
            del model.__dict__["forward"]
        else:
            model.__dict__["forward"] = self._before
        self._now = None


def is_compiled(model: nn.Module) -> bool:
    """Return whether calls of the model run what torch.compile made of it."""
    own = model.__dict__.get("forward")
    compiled = getattr(model, "_compiled_call_impl", None) is not None
    return compiled or hasattr(model, "_orig_mod") or hasattr(own, "_torchdynamo_orig_callable")


def _of_class(self: nn.Module, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - forward's own
    return type(self).forward(self, *args, **kwargs)


def _of_instance(own: Callable[..., Any]) -> Callable[..., Any]:
    def forward(_self: nn.Module, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - forward's own
        return own(*args, **kwargs)

    return forward


def _innermost(forward: Any) -> Any:  # noqa: ANN401 - any callable
    """Return what was compiled, or `forward` itself."""
    while hasattr(forward, "_torchdynamo_orig_callable"):
        forward = forward._torchdynamo_orig_callable  # noqa: SLF001 - as torch's own innermost_fn does
    return forward


def _compiled_alike(compiled: Any, method: MethodType) -> Any:  # noqa: ANN401 - any callable
    """Return `method`, compiled with the backend and options of `compiled`, if that was."""
    if not hasattr(compiled, "_torchdynamo_orig_callable"):
        return method
    closure = dict(zip(compiled.__code__.co_freevars, compiled.__closure__ or (), strict=True))
    if "self" not in closure:
        raise InvalidInputError(
            "this version of torch does not tell how the model's forward was compiled",
            "compile it by model.compile() or torch.compile(model)",
        )
    return closure["self"].cell_contents(method)
