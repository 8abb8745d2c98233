"""Weights: the tensors that a model keeps them in, also where a quantiser has packed them or they are offloaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from vectorstore.models.layers import is_linear


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Return each parameter by its name, the offloaded ones on the device `meta`.

    Of a quantised one it has the tensors that it is made of (torchao), and of linear layers without a weight whatever
    tensors they save (GPTQ, AWQ, torch's own dynamic quantisation).
    """
    found: dict[str, Tensor] = {}
    seen: set[int] = set()  # a name for each: what is tied has the first
    for path, module in model.named_modules():
        parameters = module._parameters  # noqa: SLF001 - named_parameters() takes three times as long
        for name, parameter in parameters.items():
            if parameter is not None and id(parameter) not in seen:
                seen.add(id(parameter))
                found.update(_parts(_joined(path, name), parameter))
        if "weight" not in parameters and is_linear(module):
            for name, tensor in _saved(module):
                found.setdefault(_joined(path, name), tensor)
    return found


def offloaded(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield each parameter that accelerate has offloaded, brought back for the moment, as for a forward pass."""
    for path, module in model.named_modules():
        own = dict(module.named_parameters(recurse=False))
        away = [name for name, parameter in own.items() if parameter.is_meta]
        if away and hasattr(module, "_hf_hook"):
            with _brought(module):
                yield from ((_joined(path, name), getattr(module, name)) for name in away)


@contextmanager
def _brought(module: nn.Module) -> Iterator[None]:
    module._hf_hook.pre_forward(module)  # type: ignore[operator, union-attr]  # noqa: SLF001 - accelerate's name for it
    try:
        yield
    finally:
        module._hf_hook.post_forward(module, None)  # type: ignore[operator, union-attr]  # noqa: SLF001


def _parts(name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    flatten = getattr(tensor, "__tensor_flatten__", None)  # of tensors that are made of others
    if flatten is None:
        yield name, tensor
        return
    for part in flatten()[0]:
        yield from _parts(f"{name}.{part}", getattr(tensor, part))


def _saved(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, value in module.state_dict().items():
        values = value if isinstance(value, tuple) else (value,)  # of torch's own: weight and bias
        for number, each in enumerate(values):
            if isinstance(each, Tensor):
                yield f"{name}.{number}", each.dequantize() if each.is_quantized else each


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
