"""Layout: the writers of a model, in the order in which they add to the residual stream."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers import PreTrainedModel

from vectorstore.errors import InvalidInputError, MisfitError
from vectorstore.hooks.baking.affine import Affine
from vectorstore.hooks.baking.flow import Flow, flow_of
from vectorstore.hooks.baking.writer import Weight, Writer
from vectorstore.models.layers import d_model, decoder_layers, is_linear, site_module, text_config
from vectorstore.place import Place

if TYPE_CHECKING:
    from transformers import PretrainedConfig

BIAS_FLAGS = ("attention_bias", "mlp_bias", "use_bias", "bias")
"""Fields of configs that give linear layers a bias; which of them is found out by making the model without weights."""

_EXPERTS_BIAS = "down_proj_bias"
"""GPT-OSS's, (experts, d_model): the shares of a token's experts sum to 1, so what all of them add, the MLP adds."""

_OUTPUTS = {
    *("down_proj", _EXPERTS_BIAS, "fc_out", "fc2", "c_proj", "dense_4h_to_h", "w2", "output_linear"),
}
"""What the parameters or linear layers are called that an MLP's output comes from."""


class Layout:
    """The writers of one model; each is made once."""

    def __init__(self, model: PreTrainedModel) -> None:
        """Take the model.

        Raises:
            MisfitError: when its architecture is not in the table, or its weights are quantised.
        """
        self.model, self.name = model, type(model).__name__
        flow = flow_of(text_config(model))
        if flow is None or text_config(model) is not model.config or not _is_of_transformers(model):
            raise MisfitError(
                f"how {self.name} adds to its residual stream is not known",
                "steer with hooks, or add a line to flow.py",
            )
        _require_plain(model)
        self.flow: Flow = flow
        self.width, self.layers = d_model(model), decoder_layers(model)
        self._paths = {id(module): path for path, module in model.named_modules()}
        self._names = {name for name, _ in model.named_parameters(remove_duplicate=False)}

    @cached_property
    def embeddings(self) -> Writer:
        """The embeddings: what the stream begins with."""
        flow, tokens = self.flow, self.model.get_input_embeddings()
        if flow.embedding_norm:
            return self._norm_writer("the norm of the embeddings", f"{self._base}.{flow.embedding_norm}")
        weights = [Weight(f"{self._path(tokens)}.weight", 1)]
        if flow.positions:
            weights.append(Weight(f"{self._base}.{flow.positions}.weight", 1))
        scale = getattr(tokens, "embed_scale", flow.embedding_scale)
        fixed = f"{flow.embedding_fixed} cannot be written into them" if flow.embedding_fixed else ""
        return Writer(
            "the embeddings", tuple(weights), weights[-1].path, self._identity(), scale=float(scale or 1.0), fixed=fixed
        )

    def attention(self, layer: int) -> Writer:
        """Return the attention of `layer`."""
        projection, _ = site_module(self.model, Place("head_out", layer))
        weights, constant, flag = self._linear(projection)
        return self._branch(f"the attention of layer {layer}", weights, constant, flag)

    def mlp(self, layer: int) -> Writer:
        """Return the MLP of `layer`, or its experts.

        Raises:
            MisfitError: when its weights are called otherwise than in any known architecture.
        """
        module, _ = site_module(self.model, Place("mlp_out", layer))
        name, path = f"the MLP of layer {layer}", self._path(module)
        outputs = [each for each, _ in module.named_parameters() if _OUTPUTS & set(each.split("."))]
        linears = [module] if is_linear(module) else [module.get_submodule(each) for each in _owners(outputs)]
        if len(linears) == 1 and is_linear(linears[0]):
            return self._branch(name, *self._linear(linears[0]))
        weights = tuple(Weight(f"{path}.{each}", self._axis(each, module.get_parameter(each))) for each in outputs)
        if not weights:
            raise MisfitError(f"the weights that give the output of {name} are not known", "steer with hooks instead")
        constant = next((weight.path for weight in weights if weight.path.endswith(_EXPERTS_BIAS)), None)
        return self._branch(name, weights, constant, "")

    def stream_norm(self, layer: int, number: int) -> Writer:
        """Return the norm that the stream goes through after attention (0) or MLP (1) of `layer`."""
        path = f"{self._path(self.layers[layer])}.{(self.flow.stream_norms or ('', ''))[number]}"
        return self._norm_writer(f"the norm after the {('attention', 'MLP')[number]} of layer {layer}", path)

    @cached_property
    def flags(self) -> dict[str, frozenset[str]]:
        """The fields of the config that would give more biases, and the names of these."""
        return {flag: new for flag in BIAS_FLAGS if (new := self._new_biases(flag))}

    @property
    def _base(self) -> str:
        return str(self.model.base_model_prefix)

    def _path(self, module: nn.Module) -> str:
        path: str = self._paths[id(module)]
        return path

    def _identity(self) -> Affine:
        return Affine.identity(self.width)

    def _branch(self, name: str, weights: tuple[Weight, ...], constant: str | None, flag: str) -> Writer:
        norm = self.flow.branch_norm
        return Writer(name, weights, constant, self._identity(), flag=flag, scale=self.flow.scale, norm=norm)

    def _norm_writer(self, name: str, path: str) -> Writer:
        bias = f"{path}.bias"
        constant = bias if bias in self._names else None
        return Writer(name, (), constant, self._identity(), fixed="a norm cannot leave out a direction")

    def _linear(self, module: nn.Module) -> tuple[tuple[Weight, ...], str | None, str]:
        """Return the weights of a linear layer, the path of its bias if it may have one, and what it takes."""
        path = self._path(module)
        weight = Weight(f"{path}.weight", 0 if hasattr(module, "in_features") else 1)  # GPT-2's Conv1D: (in, out)
        bias = f"{path}.bias"
        if bias in self._names:
            return (weight, Weight(bias, 0)), bias, ""
        flag = next((flag for flag, names in self.flags.items() if bias in names), "")
        return (weight,), bias if flag else None, flag

    def _axis(self, path: str, parameter: nn.Parameter) -> int:
        """Return the axis of d_model in a parameter of experts, or of a linear layer beside them."""
        if path.endswith(_EXPERTS_BIAS):
            return 1  # (experts, d_model)
        is_plain = path.endswith((".weight", ".bias")) and parameter.ndim < 3  # noqa: PLR2004 - (experts, out, in)
        return 0 if is_plain else self.flow.experts_axis

    def _new_biases(self, flag: str) -> frozenset[str]:
        if getattr(self.model.config, flag, None) is not False:
            return frozenset()
        names = frozenset(bare_parameters(self.model, {flag: True}))
        new = names - self._names
        return new if self._names <= names and all(name.endswith(".bias") for name in new) else frozenset()


def bare_parameters(model: PreTrainedModel, changes: dict[str, object]) -> dict[str, torch.Size]:
    """Return the names and shapes of the parameters that plain transformers makes for the config with `changes`."""
    known = _Known(type(model), model.config.to_json_string(use_diff=False), model.config)
    return _bare(known, tuple(changes.items()))


@dataclass(frozen=True)
class _Known:
    """A model without its weights, known by its class and the text of its config."""

    kind: type[PreTrainedModel]
    text: str
    config: PretrainedConfig = field(compare=False, repr=False)


@lru_cache(maxsize=64)  # the same model is asked about for each bias that it might have
def _bare(known: _Known, changes: tuple[tuple[str, object], ...]) -> dict[str, torch.Size]:
    config = copy.deepcopy(known.config)
    for name, value in changes:
        setattr(config, name, value)
    with torch.device("meta"):
        bare = known.kind(config)
    return {name: parameter.shape for name, parameter in bare.named_parameters(remove_duplicate=False)}


def _owners(parameters: list[str]) -> set[str]:
    return {path.rpartition(".")[0] for path in parameters}


def _is_of_transformers(model: nn.Module) -> bool:
    return type(model).__module__.startswith("transformers.")


def _require_plain(model: PreTrainedModel) -> None:
    if getattr(model.config, "quantization_config", None) is not None or getattr(model, "is_quantized", False):
        raise MisfitError(
            "the model's weights are quantised, and would have to be rounded anew",
            "bake into the model they were made from, and quantise the result",
        )
    for name, parameter in model.named_parameters():
        if parameter.is_meta:
            raise InvalidInputError(f"{name} is not in memory", "load the model without offloading")
        if not parameter.is_floating_point() or parameter.element_size() == 1:
            raise MisfitError(
                f"{name} is quantised ({str(parameter.dtype).removeprefix('torch.')})",
                "bake into the model it was made from",
            )
