"""Weights: a model that shares with another all but the parameters that baking changes."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from vectorstore.errors import InvalidInputError, MisfitError
from vectorstore.hooks.baking.layout import bare_parameters
from vectorstore.hooks.baking.writer import Writer


def shared_copy(model: PreTrainedModel) -> PreTrainedModel:
    """Return a model with the very same parameters and buffers, but modules and a config of its own."""
    tensors = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})


@torch.no_grad()
def write(model: PreTrainedModel, writers: Iterable[Writer]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Write what the writers are to do into a model's parameters.

    Returns the names of those that are changed, and those of the biases that came with them and are zero.

    All arithmetic is in float64, and rounded once, to the parameter's own dtype.

    Raises:
        InvalidInputError: when a result is larger than the parameter's dtype holds.
    """
    wanted = [writer for writer in writers if writer.gain is not None or writer.outer.units or writer.inner]
    added = _enable(model, {writer.flag for writer in wanted if writer.gain is not None and writer.flag})
    changed = []
    for writer in wanted:
        for path, tensor in _results(model, writer):
            if _is_tied(model, path):
                _untie(model)
            _put(model, path, tensor)
            changed.append(path)
    return tuple(changed), tuple(name for name in added if name not in changed)


def check_loadable(model: PreTrainedModel) -> None:
    """Check that plain transformers makes just these parameters for the model's config.

    Raises:
        MisfitError: naming the first that differs.
    """
    expected = dict(bare_parameters(model, {}))
    found = {name: parameter.shape for name, parameter in model.named_parameters(remove_duplicate=False)}
    differ = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if differ:
        raise MisfitError(
            f"plain transformers would not load {differ[0]} of the result",
            "the model was altered; bake into a plain one",
        )


def _results(model: PreTrainedModel, writer: Writer) -> Iterable[tuple[str, Tensor]]:
    tensors = {weight.path: _wide(model, weight.path) for weight in writer.weights}
    if writer.inner is not None:
        first = writer.weights[0]
        tensors[first.path] = writer.inner.transposed(tensors[first.path].movedim(first.axis, 0)).movedim(0, first.axis)
    if writer.outer.units:
        for weight in writer.weights:
            tensor = tensors[weight.path].movedim(weight.axis, -1)
            tensors[weight.path] = writer.outer.linear(tensor).movedim(-1, weight.axis)
    if writer.gain is not None and writer.constant is not None:
        before = tensors.get(writer.constant)
        tensors[writer.constant] = (_wide(model, writer.constant) if before is None else before) + writer.gain
    for path, tensor in tensors.items():
        if not torch.equal(tensor, _wide(model, path)):
            yield path, tensor


def _wide(model: nn.Module, path: str) -> Tensor:
    return model.get_parameter(path).detach().cpu().double()


def _enable(model: PreTrainedModel, flags: Iterable[str]) -> list[str]:
    """Set fields of the config to true, and give the model the biases, all zero, that they stand for."""
    added = []
    for flag in sorted(flags):
        present = {name for name, _ in model.named_parameters(remove_duplicate=False)}
        for name, shape in bare_parameters(model, {flag: True}).items():
            if name not in present:
                module = model.get_submodule(name.rpartition(".")[0])
                like = module.get_parameter("weight")
                bias = torch.zeros(shape, dtype=like.dtype, device=like.device)
                module.bias = nn.Parameter(bias, requires_grad=like.requires_grad)
                added.append(name)
        setattr(model.config, flag, True)
    return added


def _put(model: nn.Module, path: str, tensor: Tensor) -> None:
    old = model.get_parameter(path)
    narrow = tensor.to(old.dtype)
    if not torch.isfinite(narrow).all():
        raise InvalidInputError(
            f"{path} would be larger than {old.dtype} holds", "use a smaller coefficient, or load the model in float32"
        )
    owner, _, name = path.rpartition(".")
    new = nn.Parameter(narrow.contiguous().to(old.device), requires_grad=old.requires_grad)
    setattr(model.get_submodule(owner), name, new)


def _is_tied(model: PreTrainedModel, path: str) -> bool:
    head = _head(model)
    return head is not None and getattr(head, "weight", None) is model.get_parameter(path)


def _untie(model: PreTrainedModel) -> None:
    """Let the LM head keep the embeddings as they are, in a parameter of its own."""
    if (head := _head(model)) is not None:
        tied = head.get_parameter("weight")
        head.weight = nn.Parameter(tied.detach().clone(), requires_grad=tied.requires_grad)
    model.config.tie_word_embeddings = False
    if hasattr(model, "get_expanded_tied_weights_keys"):  # transformers 5 keeps what is tied
        model.all_tied_weights_keys = model.get_expanded_tied_weights_keys(all_submodels=True)


def _head(model: PreTrainedModel) -> nn.Module | None:
    head: nn.Module | None = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    return head
