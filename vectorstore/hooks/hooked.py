"""Hooked: one hook at each place of a model that is steered, which does what all open blocks want there, in order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from weakref import WeakKeyDictionary

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from vectorstore.hooks.hidden import Transform, on_place
from vectorstore.hooks.tracker import Tracker
from vectorstore.place import Place


class Hooked:
    """The blocks that steer one model, the outer first, and the hooks that they share."""

    def __init__(self) -> None:
        """Begin with none."""
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
            self._handles[place] = on_place(model, place, self._transform(place))
        for place in self._handles.keys() - wanted:
            self._handles.pop(place).remove()

    def _transform(self, place: Place) -> Transform:
        def transform(hidden: Tensor) -> Tensor | None:
            changed = None
            for tracker in self._trackers:
                span, actions = tracker.under_way
                for action in actions.get(place, ()):
                    steered = action.apply(hidden if changed is None else changed, span)
                    changed = changed if steered is None else steered
            return changed

        return transform


_hooked: WeakKeyDictionary[nn.Module, Hooked] = WeakKeyDictionary()
_lock = Lock()


@contextmanager
def hooking(model: nn.Module, tracker: Tracker) -> Iterator[Hooked]:
    """Hook the places where `tracker` steers; blocks may end in any order, and afterwards the model is as it was."""
    with _lock:
        hooked = _hooked.setdefault(model, Hooked())
    try:
        hooked.open(model, tracker)
        yield hooked
    finally:
        with _lock:
            if hooked.close(model, tracker):
                _hooked.pop(model, None)
