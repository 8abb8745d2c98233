"""The decoder layers of any Hugging Face causal LM, and the module to hook for each site."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Literal
from weakref import WeakKeyDictionary

from torch import nn

from vectorstore.errors import InvalidInputError
from vectorstore.models.architectures import PROJECTIONS, Exceptions, exceptions
from vectorstore.models.structure import find_layers
from vectorstore.place import SITES, Place

Side = Literal["input", "output"]

_ATTENTION = re.compile(r"attn|attention")
_MLP = re.compile(r"mlp|ffn|feed_?forward|moe")
_USUAL = ("self_attn", "attn", "attention", "self_attention", "mlp", "ffn", "feed_forward")
_NEITHER = re.compile(r"norm|cross|encoder_att")
_paths: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
_widths: WeakKeyDictionary[nn.Module, tuple[tuple[int, ...], dict[str, int]]] = WeakKeyDictionary()


def decoder_layers(model: nn.Module, path: str | None = None) -> Sequence[nn.Module]:
    """Return the decoder layers, in the order they run.

    Args:
        model: a Hugging Face causal language model.
        path: the dotted path of their list, `model.layers`, where structure does not find it. It is remembered for
            this model, so that hooks and identity follow it too.

    Raises:
        InvalidInputError: when they are not found, or `path` is no list of modules.
    """
    found = path or _paths.get(model) or _find(model)
    layers = _at(model, found)
    if not isinstance(layers, (nn.ModuleList, nn.Sequential)) or not len(layers):
        raise InvalidInputError(
            f"{type(model).__name__} has no list of modules at '{found}'", "see model.named_modules()"
        )
    _paths[model] = found
    return list(layers)


def resolve_layer(model: nn.Module, layer: int) -> int:
    """Return the 0-based number of `layer`, which counts from the end when it is negative.

    Raises:
        InvalidInputError: when the model has no such layer.
    """
    count = len(decoder_layers(model))
    if not -count <= layer < count:
        raise InvalidInputError(
            f"layer {layer} is out of range for {type(model).__name__} with {count} layers",
            f"choose 0..{count - 1}, or -{count}..-1 from the end",
        )
    return layer % count


def site_module(model: nn.Module, place: Place) -> tuple[nn.Module, Side]:
    """Return the module to hook for `place`, and whether its input or its output is the site.

    The hidden states are the first argument (or the keyword `hidden_states`), and the output or its first item.
    `attn_out` and `mlp_out` are the module's own output: where the layer norms or scales it before adding it to the
    residual stream (Gemma 2 and 3, OLMo 2, Granite), the site is before that. An OPT MLP has no module of its own;
    its site is the output of `fc2`, `[batch * tokens, d_model]`.

    Raises:
        InvalidInputError: when the model has no such layer or site.
    """
    layer = decoder_layers(model)[resolve_layer(model, place.layer)]
    if place.site in ("resid_pre", "resid_post"):
        return layer, "input" if place.site == "resid_pre" else "output"
    module = _site(model, layer, place.site) if place.site in SITES else None
    if module is None:
        raise InvalidInputError(_missing(model, place), f"use one of {', '.join(site_widths(model))}")
    return module, "input" if place.site == "head_out" else "output"


def site_widths(model: nn.Module) -> dict[str, int]:
    """Return the width of the activations at each site that the model has, in the order of SITES.

    `head_out` is heads * head_dim, which may differ from d_model. It is left out where layers differ in it.
    """
    layers = decoder_layers(model)
    ids = tuple(map(id, layers))
    known = _widths.get(model)
    if known is None or known[0] != ids:
        known = _widths[model] = (ids, _site_widths(model, layers))
    return dict(known[1])


def text_config(model: nn.Module) -> Any:  # noqa: ANN401 - transformers' configs have no common type for what is read
    """Return the config of the language model, also where it is one part of a larger model.

    Raises:
        InvalidInputError: for a module that is no Hugging Face model.
    """
    config: Any = getattr(model, "config", None)
    if not hasattr(config, "get_text_config"):
        raise InvalidInputError(f"{type(model).__name__} is no Hugging Face model", "load it with load_model()")
    return config.get_text_config(decoder=True)


def d_model(model: nn.Module) -> int:
    """Return the width of the residual stream: the config's, or that of the embeddings where it has none."""
    width = getattr(text_config(model), "hidden_size", None)
    return int(width or model.get_input_embeddings().weight.shape[-1])  # type: ignore[operator]


def is_linear(module: nn.Module) -> bool:
    """Say whether it is a linear layer: torch's, a quantiser's, or GPT-2's `Conv1D`."""
    return (hasattr(module, "in_features") and hasattr(module, "out_features")) or (
        hasattr(module, "nx") and hasattr(module, "nf")
    )


def linear_widths(module: nn.Module) -> tuple[int, int]:
    """Return the input and output width of a linear layer; GPT-2's `Conv1D` too.

    Raises:
        InvalidInputError: for a module that is not linear.
    """
    if not is_linear(module):
        raise InvalidInputError(f"{type(module).__name__} is no linear layer", "see architectures.py")
    names = ("in_features", "out_features") if hasattr(module, "in_features") else ("nx", "nf")
    return int(getattr(module, names[0])), int(getattr(module, names[1]))


def _site_widths(model: nn.Module, layers: Sequence[nn.Module]) -> dict[str, int]:
    width = d_model(model)
    widths = {site: {width} for site in ("resid_pre", "resid_post")}
    for site in ("attn_out", "mlp_out", "head_out"):
        modules = [_site(model, layer, site) for layer in layers]
        widths[site] = {
            linear_widths(module)[0] if site == "head_out" else width for module in modules if module is not None
        }
    return {site: sizes.pop() for site, sizes in widths.items() if len(sizes) == 1}


def _find(model: nn.Module) -> str:
    config = text_config(model)
    count = getattr(config, "num_hidden_layers", None)
    return _exceptions(model).layers or find_layers(model, count, d_model(model))


def _exceptions(model: nn.Module) -> Exceptions:
    return exceptions(text_config(model).model_type)


def _at(module: nn.Module, path: str) -> nn.Module | None:
    try:
        return module.get_submodule(path)
    except AttributeError:
        return None


def _site(model: nn.Module, layer: nn.Module, site: str) -> nn.Module | None:
    known = _exceptions(model)
    if site == "mlp_out":
        return _at(layer, known.mlp) if known.mlp else _mlp(layer, d_model(model))
    if site == "attn_out":
        return _at(layer, known.attention) if known.attention else _attention(layer)
    if known.projection:
        return _at(layer, known.projection)
    attention = _attention(layer)
    return None if attention is None else _projection(attention, d_model(model))


def _attention(layer: nn.Module) -> nn.Module | None:
    blocks = _blocks(layer)
    named = {name: block for name, block in blocks.items() if _ATTENTION.search(name)}
    typed = {name: block for name, block in blocks.items() if type(block).__name__.endswith("Attention")}
    return _only(named or typed)


def _mlp(layer: nn.Module, width: int) -> nn.Module | None:
    attention = _attention(layer)
    others = {name: block for name, block in _blocks(layer).items() if block is not attention}
    if named := {name: block for name, block in others.items() if _MLP.search(name)}:
        return _only(named)
    if attention is None:
        return None
    linears = [block for block in others.values() if is_linear(block)]
    if linears and len(linears) == len(others):  # OPT: fc1 and fc2, in the layer itself
        return linears[-1] if linear_widths(linears[-1])[1] == width else None
    return _only(others)


def _projection(attention: nn.Module, width: int) -> nn.Module | None:
    linears = {
        path.rpartition(".")[2]: module
        for path, module in attention.named_modules()
        if is_linear(module) and linear_widths(module)[1] == width
    }
    named = (linears[name] for name in PROJECTIONS if name in linears)
    return next(named, next(reversed(linears.values()), None))


def _blocks(layer: nn.Module) -> dict[str, nn.Module]:
    """Return the children that hold matrices: attention and MLP, but no norm, dropout or cross-attention."""
    return {
        name: child for name, child in layer.named_children() if not _NEITHER.search(name) and _holds_matrices(child)
    }


def _holds_matrices(module: nn.Module) -> bool:
    tensors = chain(module.parameters(), module.buffers())
    return any(tensor.ndim > 1 for tensor in tensors) or any(map(is_linear, module.modules()))  # packed in no tensor


def _only(modules: Mapping[str, nn.Module]) -> nn.Module | None:
    """Return the one with a usual name, or the only one; None where it cannot be told."""
    candidates = [modules[name] for name in _USUAL if name in modules] or list(modules.values())
    return candidates[0] if len(candidates) == 1 else None


def _missing(model: nn.Module, place: Place) -> str:
    if place.site not in SITES:
        return f"'{place.site}' is no site"
    name = type(model).__name__
    layers = decoder_layers(model)
    having = [number for number, layer in enumerate(layers) if _site(model, layer, place.site) is not None]
    return f"{place.site} at layer {place.layer} is not one module of {name}" + (
        f" (it is in layers {', '.join(map(str, having))})" if having else ""
    )
