"""Reach the activations at a place of a running model, whatever its layers take and return.

Layers differ: some take the hidden states by position and some by name, some return a tensor and some a tuple that
begins with it, and OPT flattens batch and tokens before its MLP. Nothing above this module knows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from vectorstore.errors import InvalidInputError
from vectorstore.models.layers import site_module
from vectorstore.place import Place

Transform = Callable[[Tensor], Tensor | None]
"""Takes the activations `[..., width]` at a place; returns others to put there, or None to leave them as they are."""


def on_place(model: nn.Module, place: Place, transform: Transform) -> RemovableHandle:
    """Run `transform` on the activations at `place` in every forward pass, until the handle is removed.

    Raises:
        InvalidInputError: when the model has no such layer or site.
    """
    module, side = site_module(model, place)
    if side == "output":
        return module.register_forward_hook(_output_hook(transform))
    return module.register_forward_pre_hook(_input_hook(transform), with_kwargs=True)


def _output_hook(transform: Transform) -> Callable[[nn.Module, Any, Any], Any]:
    def hook(_module: nn.Module, _args: object, output: Any) -> Any:  # noqa: ANN401 - whatever the layer returns
        if isinstance(output, Tensor):
            return transform(output)
        changed = transform(output[0])
        return None if changed is None else type(output)((changed, *output[1:]))  # a tuple, or a list in GPT-1

    return hook


def _input_hook(transform: Transform) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], Any]:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
        if args:
            changed = transform(args[0])
            return None if changed is None else ((changed, *args[1:]), kwargs)
        name = _hidden_name(module, kwargs)
        changed = transform(kwargs[name])
        return None if changed is None else (args, {**kwargs, name: changed})

    return hook


def _hidden_name(module: nn.Module, kwargs: dict[str, Any]) -> str:
    if "hidden_states" in kwargs:
        return "hidden_states"
    floating = (name for name, value in kwargs.items() if isinstance(value, Tensor) and value.is_floating_point())
    name = next(floating, None)
    if name is None:
        raise InvalidInputError(
            f"a {type(module).__name__} was called without hidden states", "steer at another site of this model"
        )
    return name
