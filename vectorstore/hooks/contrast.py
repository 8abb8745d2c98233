"""Contrast vectors: steer each input by what two instructions make of it (RepE, arXiv 2310.01405, section 3.2).

With the activations h+ and h- of the input told the one thing and the other, every control layer adds
a = coefficient * (h+ - h-) to h of the input itself, and to h+ and h-, so that later layers see what earlier ones did.
After `rep_control_contrast_vec.py` of the authors' code. Theirs runs three streams and has no cache; here the two are
run first, up to the last control layer, and cached, which comes to the same.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.errors import InvalidInputError
from vectorstore.hooks.arrangement import Arrangement
from vectorstore.hooks.coefficients import Coefficients
from vectorstore.hooks.contrast_plan import ContrastPlan
from vectorstore.hooks.following import followers, following_generate
from vectorstore.hooks.hidden import Transform, on_place
from vectorstore.hooks.prompt import columns_before
from vectorstore.hooks.span import DecodeSpan
from vectorstore.hooks.steered_forward import is_compiled
from vectorstore.hooks.streams import Streams, added
from vectorstore.hooks.tracker import Tracker
from vectorstore.models.context import check_ids
from vectorstore.models.tokenizer import leading_ids, require_bos, text_ids
from vectorstore.place import Place


@contextmanager
def contrast(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    plan: ContrastPlan,
    *,
    prompt_length: int | None = None,
) -> Iterator[None]:
    """Steer every forward pass of `model` inside the block by contrast vectors; afterwards it is exactly as before.

    Works in bare forward passes and in `generate`, greedy and sampling, with and without a cache; beam search without
    one. Each pass costs two passes more, as far as the last control layer.

    Args:
        model: a causal language model; hooks are put on it, nothing is wrapped.
        tokenizer: its tokenizer, as `load_model` returns it; the instructions are tokenized by themselves.
        plan: the instructions, the layers, and how strongly.
        prompt_length: for bare forward passes, how many columns (padding included) are prompt. Without it all are.

    Raises:
        InvalidInputError: for a compiled model, a layer that is not there, or a block inside `steer` or another
            `contrast`; inside the block, for a prompt that is shorter than the plan's tail, ends in padding or comes in
            several passes, a cache that was filled elsewhere, and `steer` inside it.
    """
    if is_compiled(model):
        raise InvalidInputError(
            "contrast vectors cannot steer a compiled model", "load it again, without torch.compile"
        )
    _check_alone(model, among=0)
    require_bos(tokenizer)
    instructions = [text_ids(tokenizer, text) for text in (plan.positive, plan.negative)]
    check_ids(model, [token for instruction in instructions for token in instruction])
    streams, tracker = Streams(model, plan, instructions), Tracker(model, prompt_length, Arrangement(), Coefficients())
    beside = _Beside(streams, tracker, len(leading_ids(tokenizer)))
    with ExitStack() as stack:
        stack.enter_context(tracker.following())
        stack.enter_context(following_generate(model, lambda _args, kwargs: _no_cached_beams(model, kwargs)))
        stack.callback(model.register_forward_pre_hook(beside.begin, with_kwargs=True).remove)
        for layer in plan.layers:
            place = Place("resid_post", layer)
            stack.callback(on_place(model, place, beside.transform(layer)).remove)
        yield


class _Beside:
    """Runs the streams before each pass of the model, and adds what they found while it runs."""

    def __init__(self, streams: Streams, tracker: Tracker, leading: int) -> None:
        self._streams, self._tracker, self._leading = streams, tracker, leading

    def begin(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Run the streams as far as this pass goes."""
        _check_alone(model, among=2)
        given = dict(zip(inspect.signature(model.forward).parameters, args, strict=False)) | kwargs
        ids = given.get("input_ids")
        if ids is None:
            raise InvalidInputError("contrast vectors need the text's tokens", "pass input_ids, not inputs_embeds")
        span, start = self._tracker.under_way.span, columns_before(given)
        if isinstance(span, DecodeSpan):
            self._streams.go_on(ids, torch.ones_like(ids, dtype=torch.bool), start)
            return
        real = span.real[:, start : start + span.length]
        if start == 0:
            self._streams.begin(ids, real, int(span.prompt_end[0]), self._leading)
        else:
            self._streams.go_on(ids, real, start)

    def transform(self, layer: int) -> Transform:
        """Return what is done at one layer, in the streams' passes and in the model's."""

        def transform(hidden: Tensor) -> Tensor | None:
            if self._streams.running:
                return self._streams.at_layer(layer, hidden)
            _ = self._tracker.under_way  # an error where only a part of the model is being run
            change = self._streams.changes.get(layer)
            return None if change is None else added(hidden, change)

        return transform


@contextmanager
def _no_cached_beams(model: PreTrainedModel, kwargs: dict[str, Any]) -> Iterator[None]:
    """Refuse beams that exchange what is in the cache: the streams' own would not follow."""
    config = kwargs.get("generation_config") or model.generation_config
    beams, cached = (kwargs.get(name, getattr(config, name, None)) for name in ("num_beams", "use_cache"))
    if (beams or 1) > 1 and cached is not False:
        raise InvalidInputError(
            f"the {beams} beams of a search exchange what is in the cache, and contrast vectors cannot follow",
            "pass num_beams=1, or use_cache=False",
        )
    yield


def _check_alone(model: nn.Module, *, among: int) -> None:
    """Check that nobody else steers the model: `among` of those that follow it are our own."""
    if followers(model) > among:
        raise InvalidInputError(
            "contrast vectors and another block steer one model at once", "end the other block first"
        )
