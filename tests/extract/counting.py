"""Which decoder layers of a model really ran."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from torch import nn
from transformers import PreTrainedModel

from vectorstore.models.layers import decoder_layers


@contextmanager
def counted_layers(model: PreTrainedModel) -> Iterator[list[int]]:
    """Collect the number of each layer that ran to its end, in order, and -1 for the LM head."""
    ran: list[int] = []

    def note(number: int, _module: nn.Module, _args: object, _output: object) -> None:
        ran.append(number)

    with ExitStack() as stack:
        for number, layer in enumerate(decoder_layers(model)):
            stack.callback(layer.register_forward_hook(partial(note, number)).remove)
        stack.callback(model.get_output_embeddings().register_forward_hook(partial(note, -1)).remove)
        yield ran
