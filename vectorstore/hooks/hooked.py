"""Hooked: one hook at each place of a model that is steered, which does what all open blocks want there, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from operator import attrgetter
from threading import Lock
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from vectorstore.errors import InvalidInputError
from vectorstore.hooks.hidden import Transform, on_place
from vectorstore.hooks.opaque import bind, release, steered
from vectorstore.hooks.steered_forward import SteeredForward, operation
from vectorstore.hooks.tracker import Pass, Tracker
from vectorstore.place import Place

_UNDER_WAY = attrgetter("under_way")


class Hooked:
    """The blocks that steer one model, the outer first, and the hooks that they share."""

    def __init__(self, model: nn.Module) -> None:
        """Begin with none."""
        self._forward = SteeredForward(model)
        self._trackers: tuple[Tracker, ...] = ()
        self._handles: dict[Place, RemovableHandle] = {}

    def open(self, model: nn.Module, tracker: Tracker) -> None:
        """Let another block steer, after those that are there."""
        self._trackers += (tracker,)
        self.renew(model)

    def close(self, model: nn.Module, tracker: Tracker) -> bool:
        """Let a block steer no more; return whether it was the last."""
        self._trackers = tuple(other for other in self._trackers if other is not tracker)
        self.renew(model)
        return not self._trackers

    def renew(self, model: nn.Module) -> None:
        """Hook the places where blocks now steer, and no others."""
        wanted = {place for tracker in self._trackers for place in tracker.places}
        for place in wanted - self._handles.keys():
            number = operation(model, place)
            self._handles[place] = on_place(model, place, self._transform(place, number))
            bind(number, partial(self._in_operation, place))
        for place in self._handles.keys() - wanted:
            self._handles.pop(place).remove()
            release(operation(model, place))
        if wanted:
            self._forward.put(model, frozenset(wanted))
        else:
            self._forward.put_back(model)

    def _transform(self, place: Place, number: int) -> Transform:
        def transform(hidden: Tensor) -> Tensor | None:
            if torch.compiler.is_compiling():
                changed: Tensor = steered(hidden, number)[0]
                return changed
            return _carried_out(place, hidden, map(_UNDER_WAY, self._trackers))

        return transform

    def _in_operation(self, place: Place) -> tuple[Transform, bool]:
        passes = [tracker.under_way for tracker in self._trackers]
        if any(tracker.arrangement.trained for tracker in self._trackers):
            raise InvalidInputError(
                "a tensor cannot steer a compiled model, which would give it no gradient",
                "run the model without torch.compile, or steer by its values: a plan",
            )
        return lambda hidden: _carried_out(place, hidden, passes), any(each.training for each in passes)


def _carried_out(place: Place, hidden: Tensor, passes: Iterable[Pass]) -> Tensor | None:
    changed = None
    for span, actions, _ in passes:
        for action in actions.get(place, ()):
            steered = action.apply(hidden if changed is None else changed, span)
            changed = changed if steered is None else steered
    return changed


_hooked: WeakKeyDictionary[nn.Module, Hooked] = WeakKeyDictionary()
_lock = Lock()


@contextmanager
def hooking(model: nn.Module, tracker: Tracker) -> Iterator[Hooked]:
    """Hook the places where `tracker` steers; blocks may end in any order, and afterwards the model is as it was."""
    with _lock:
        hooked = _hooked.get(model) or _hooked.setdefault(model, Hooked(model))
    try:
        hooked.open(model, tracker)
        yield hooked
    finally:
        with _lock:
            if hooked.close(model, tracker):
                _hooked.pop(model, None)
