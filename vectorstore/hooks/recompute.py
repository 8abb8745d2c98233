"""Gradient checkpointing: what a layer does again in the backward pass is steered as it was in the forward pass."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from vectorstore.hooks.tracker import Tracker

_NAME = "_gradient_checkpointing_func"
"""What transformers calls with a function whose activations are to be computed again, and its arguments."""


class Checkpoint:
    """A module's checkpoint function, for functions that remember the pass in which they ran first."""

    def __init__(self, original: Callable[..., Any]) -> None:
        """Take the module's own."""
        self.original = original
        self.trackers: list[Tracker] = []

    def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - theirs
        """Checkpoint `function`, which goes on with the passes that are under way whenever it runs."""
        if torch.compiler.is_compiling():  # the operations of steered places remember by themselves
            return self.original(function, *args, **kwargs)
        passes = [(tracker, tracker.under_way) for tracker in self.trackers]

        def steered(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - theirs
            with ExitStack() as stack:
                for tracker, under_way in passes:
                    stack.enter_context(tracker.resuming(under_way))
                return function(*args, **kwargs)

        return self.original(steered, *args, **kwargs)


def remember_passes(model: nn.Module, tracker: Tracker) -> None:
    """Let what is checkpointed in `model` remember the passes of `tracker`; it may be told several times."""
    for module in model.modules():
        function = module.__dict__.get(_NAME)
        if function is None:
            continue
        if not isinstance(function, Checkpoint):
            function = module.__dict__[_NAME] = Checkpoint(function)
        if tracker not in function.trackers:
            function.trackers.append(tracker)


def forget_passes(model: nn.Module, tracker: Tracker) -> None:
    """Undo it; after the last, every module has its own function again."""
    for module in model.modules():
        function = module.__dict__.get(_NAME)
        if isinstance(function, Checkpoint) and tracker in function.trackers:
            function.trackers.remove(tracker)
            if not function.trackers:
                module.__dict__[_NAME] = function.original
