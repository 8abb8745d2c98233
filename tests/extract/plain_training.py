"""Cross-entropy and additions in plain torch, one text at a time, without our objective, hooks or batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from tests.extract.tiny_tokenizer import ids_of
from vectorstore.texts import Target


def entropies(model: PreTrainedModel, targets: Sequence[Target]) -> Tensor:
    """Return the cross-entropy of each token of the targets, those of prompts left out `[tokens]`."""
    return torch.cat([_entropies(model, target) for target in targets])


def _entropies(model: PreTrainedModel, target: Target) -> Tensor:
    start, ids = len(ids_of(target.prompt)), ids_of(target.prompt + target.target)
    logits = model(torch.tensor([ids])).logits[0]
    return cross_entropy(logits[start - 1 : -1], torch.tensor(ids[start:]), reduction="none")


@contextmanager
def added_to_output(module: nn.Module, vector: Tensor, *, first: bool = False) -> Iterator[None]:
    """Add `vector` to what `module` returns, at every token or at the first one."""

    def add(_module: nn.Module, _args: object, output: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
        hidden = output if isinstance(output, Tensor) else output[0]
        changed = torch.cat([hidden[:, :1] + vector, hidden[:, 1:]], dim=1) if first else hidden + vector
        return changed if isinstance(output, Tensor) else (changed, *output[1:])

    handle = module.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()
