"""Find a model's decoder layers by structure: the module list that runs in order over `[batch, tokens, d_model]`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from vectorstore.errors import InvalidInputError

Lists = Mapping[str, Sequence[nn.Module]]
_PROBE_TOKENS = 3


def find_layers(model: nn.Module, count: int | None, width: int) -> str:
    """Return the dotted path of the list of decoder layers.

    One list of `count` modules settles it. Where there are several (norms or adapters per layer, a vision tower), or
    none, one forward pass of three tokens shows which of them hands the residual stream from child to child.

    Args:
        model: the causal language model.
        count: the config's number of layers, or None where it does not say.
        width: d_model.

    Raises:
        InvalidInputError: when no list is it.
    """
    lists = module_lists(model)
    exact = {path: children for path, children in lists.items() if len(children) == count}
    if len(exact) == 1:
        return next(iter(exact))
    chains = _chains(model, exact or lists, width)
    if not chains:
        raise InvalidInputError(
            f"the decoder layers of {type(model).__name__} were not found",
            "name their module list: decoder_layers(model, 'model.layers')",
        )
    return max(chains, key=lambda path: _size(chains[path]))


def module_lists(model: nn.Module) -> dict[str, Sequence[nn.Module]]:
    """Return the outermost lists of modules that have modules inside, by dotted path."""
    lists: dict[str, Sequence[nn.Module]] = {}
    for path, module in model.named_modules():
        inside = any(path.startswith(f"{outer}.") for outer in lists)
        if isinstance(module, nn.ModuleList) and len(module) and not inside:
            children = list(module)
            if all(any(True for _ in child.children()) for child in children):
                lists[path] = children
    return lists


@dataclass
class _Trace:
    """What one list did in the probe: inputs and outputs of its children, in the order they ran."""

    ran: list[nn.Module] = field(default_factory=list)
    inputs: list[Tensor | None] = field(default_factory=list)
    outputs: list[Tensor | None] = field(default_factory=list)

    def is_chain(self, children: Sequence[nn.Module], width: int) -> bool:
        """Say whether the children ran once each, in order, each on what the one before returned."""
        shape = (1, _PROBE_TOKENS, width)
        hiddens = (*self.inputs, *self.outputs)
        return (
            len(self.ran) == len(children)
            and all(one is other for one, other in zip(self.ran, children, strict=True))
            and all(hidden is not None and tuple(hidden.shape) == shape for hidden in hiddens)
            and all(
                torch.equal(before, after)  # type: ignore[arg-type]
                for before, after in zip(self.outputs[:-1], self.inputs[1:], strict=True)
            )
        )


def _chains(model: nn.Module, lists: Lists, width: int) -> dict[str, Sequence[nn.Module]]:
    traces = {path: _Trace() for path in lists}
    with _traced(lists, traces):
        _probe(model)
    return {path: children for path, children in lists.items() if traces[path].is_chain(children, width)}


@contextmanager
def _traced(lists: Lists, traces: Mapping[str, _Trace]) -> Iterator[None]:
    with ExitStack() as stack:
        for path, children in lists.items():
            before, after = partial(_note_input, traces[path]), partial(_note_output, traces[path])
            for child in children:
                stack.callback(child.register_forward_pre_hook(before, with_kwargs=True).remove)
                stack.callback(child.register_forward_hook(after).remove)
        yield


def _note_input(trace: _Trace, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    trace.ran.append(module)
    first = args[0] if args else kwargs.get("hidden_states")
    trace.inputs.append(first.clone() if isinstance(first, Tensor) else None)


def _note_output(trace: _Trace, _module: nn.Module, _args: object, output: Any) -> None:  # noqa: ANN401
    first = output if isinstance(output, Tensor) else output[0]
    trace.outputs.append(first.clone() if isinstance(first, Tensor) else None)


@torch.no_grad()
def _probe(model: nn.Module) -> None:
    device = next(model.parameters()).device
    try:
        model(input_ids=torch.arange(_PROBE_TOKENS, device=device)[None])
    except Exception as error:
        raise InvalidInputError(
            f"{type(model).__name__} does not run on plain input_ids ({error})",
            "name its list of decoder layers: decoder_layers(model, 'model.layers')",
        ) from error


def _size(children: Sequence[nn.Module]) -> int:
    return sum(parameter.numel() for child in children for parameter in child.parameters())
