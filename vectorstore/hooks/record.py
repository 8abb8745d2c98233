"""Record activations at the place they will be written to; the forward pass stops as soon as all are there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from vectorstore.hooks.hidden import Transform, on_place
from vectorstore.place import Place


class _AllRecorded(Exception):  # noqa: N818 - a signal, not an error
    """Ends the forward pass early."""


@torch.no_grad()
def record(model: nn.Module, inputs: Mapping[str, Tensor], places: Sequence[Place]) -> dict[Place, Tensor]:
    """Return the activations `[batch, tokens, width]` at each place, for one forward pass of `inputs`.

    Activations are caught by hooks, never through `output_hidden_states`, whose last entry comes after the final norm.
    Only the layers up to the highest place run, and never the LM head. Dropout is off, and the cache is not used.

    Args:
        model: the causal language model.
        inputs: `input_ids` `[batch, tokens]`, and `attention_mask` where there is padding.
        places: where to read.

    Raises:
        InvalidInputError: when the model has no such layer or site.
    """
    batch, tokens = inputs["input_ids"].shape
    recorded: dict[Place, Tensor] = {}

    def catch(place: Place) -> Transform:
        def transform(hidden: Tensor) -> None:
            recorded[place] = hidden.detach().reshape(batch, tokens, -1).clone()
            if len(recorded) == len(wanted):
                raise _AllRecorded

        return transform

    wanted = dict.fromkeys(places)
    with ExitStack() as stack:
        stack.enter_context(evaluating(model))
        for place in wanted:
            stack.callback(on_place(model, place, catch(place)).remove)
        _run(lambda: model(**inputs, use_cache=False))
    return recorded


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch dropout off, and afterwards put every module back into the mode it was in."""
    training = _in_training(model)
    if training:  # telling a thousand modules what they know takes longer than a layer of a small model
        model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _in_training(model: nn.Module) -> list[nn.Module]:
    """Return the modules in training mode, some perhaps twice; `modules()` takes as long as a small layer."""
    found, ahead = [], [model]
    while ahead:
        module = ahead.pop()
        if module.training:
            found.append(module)
        ahead += filter(None, module._modules.values())  # noqa: SLF001 - children() asks which it has given already
    return found


def _run(forward: Callable[[], object]) -> None:
    try:
        forward()
    except _AllRecorded:
        return
