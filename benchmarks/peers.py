"""Other libraries that add directions to a running model, each used as its documentation says.

    scripts/peers-venv   # makes .venv-peers, where their pins do not matter

Each is given a model of its own, since some change what they are given, and directions by layer, to be added to what
the layers put out, for every token.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from benchmarks.steered import generate, options_of

Generate = Callable[[Tensor, int], object]
"""Takes the prompt `[1, tokens]` and how many tokens to write."""
Steering = Callable[[], AbstractContextManager[Generate]]
"""Steers inside the block, where the function that it gives is to be used."""
Directions = Mapping[int, Tensor]
Hook = Callable[[object, object, Tensor], Tensor]
Peer = Callable[[PreTrainedModel, Directions], Steering]


def raw_hook(model: PreTrainedModel, directions: Directions, operator: str = "add") -> Steering:
    """Carry out an operator by the shortest hook there is."""

    @contextmanager
    def steering() -> Iterator[Generate]:
        layers = model.model.layers
        handles = [layers[number].register_forward_hook(RAW[operator](each)) for number, each in directions.items()]
        yield lambda ids, tokens: generate(model, ids, tokens)
        for handle in handles:
            handle.remove()

    return steering


def _adds(direction: Tensor) -> Hook:
    return lambda _module, _args, output: output + direction


def _ablates(direction: Tensor) -> Hook:
    unit = direction / direction.norm()
    return lambda _module, _args, output: output - (output * unit).sum(dim=-1, keepdim=True) * unit


def _keeps_norm(direction: Tensor) -> Hook:
    def hook(_module: object, _args: object, output: Tensor) -> Tensor:
        moved = output + direction
        return moved * (output.norm(dim=-1, keepdim=True) / moved.norm(dim=-1, keepdim=True))

    return hook


def _keeps_norm_of_nothing(direction: Tensor) -> Hook:
    def hook(_module: object, _args: object, output: Tensor) -> Tensor:
        moved = output + direction
        norm = moved.norm(dim=-1, keepdim=True)
        return torch.where(norm > 0, moved * (output.norm(dim=-1, keepdim=True) / norm), output)

    return hook


RAW: dict[str, Callable[[Tensor], Hook]] = {
    "add": _adds,
    "ablate": _ablates,
    "keepnorm": _keeps_norm,
    "keepnorm, h for 0/0": _keeps_norm_of_nothing,
}
"""By operator and, after a comma, what ours minds too."""


def steering_vectors(model: PreTrainedModel, directions: Directions, *, ablate: bool = False) -> Steering:
    """Use steering-vectors."""
    from steering_vectors import SteeringVector, ablation_operator  # noqa: PLC0415 - where it is installed

    vector = SteeringVector(dict(directions))
    operator = ablation_operator() if ablate else None

    @contextmanager
    def steering() -> Iterator[Generate]:
        with vector.apply(model, operator=operator):
            yield lambda ids, tokens: generate(model, ids, tokens)

    return steering


def repeng(model: PreTrainedModel, directions: Directions, *, normalize: bool = False) -> Steering:
    """Use repeng, which wraps the layers for good."""
    np.float_ = np.float64  # type: ignore[attr-defined]  # noqa: NPY201 - repeng 0.4 names it, and numpy 2 does not have it
    from repeng import ControlModel, ControlVector  # noqa: PLC0415 - where it is installed

    controlled = ControlModel(model, list(directions))
    vector = ControlVector("llama", {number: each.numpy() for number, each in directions.items()})
    controlled.set_control(vector, normalize=normalize)
    return lambda: contextlib.nullcontext(
        lambda ids, tokens: controlled.generate(ids, attention_mask=torch.ones_like(ids), **options_of(tokens))
    )


def repsteer(model: PreTrainedModel, directions: Directions) -> Steering:
    """Use repsteer."""
    import repsteer as rs  # noqa: PLC0415 - where it is installed

    wrapped = rs.models.from_model(model)

    def intervention(layer: int, direction: Tensor) -> object:
        artifact = rs.DirectionArtifact(rs.ArtifactMetadata(), direction)
        site, everywhere = rs.sites.resid_post(layer=layer), rs.positions.AllTokens()
        return rs.Intervention(artifact, rs.operators.Add(), everywhere, rs.schedules.Constant(1.0), site=site)

    plan = rs.SteeringPlan([intervention(layer, each) for layer, each in directions.items()])

    @contextmanager
    def steering() -> Iterator[Generate]:
        with wrapped.steer(plan, compatibility="dimension"):  # it knows no revision of a random model
            yield lambda ids, tokens: wrapped.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), **options_of(tokens)
            )

    return steering


def rotalabs_steer(model: PreTrainedModel, directions: Directions) -> Steering:
    """Use rotalabs-steer."""
    from rotalabs_steer import ActivationInjector, SteeringVector  # noqa: PLC0415 - where it is installed

    vectors = [SteeringVector("x", number, each, "llama") for number, each in directions.items()]

    @contextmanager
    def steering() -> Iterator[Generate]:
        with ActivationInjector(model, vectors):
            yield lambda ids, tokens: generate(model, ids, tokens)

    return steering


def nnsight(model: PreTrainedModel, directions: Directions) -> Steering:
    """Use nnsight, which writes each layer's output anew in each step of the text."""
    from nnsight import LanguageModel  # noqa: PLC0415 - where it is installed

    wrapped = LanguageModel(model, tokenizer=_tokenizer())

    def written(ids: Tensor, tokens: int) -> object:
        with wrapped.generate(ids, **options_of(tokens)) as tracer:
            for _ in tracer.iter[:tokens]:
                for number, direction in directions.items():
                    wrapped.model.layers[number].output = wrapped.model.layers[number].output + direction
        return tracer

    return lambda: contextlib.nullcontext(written)


PEERS: dict[str, tuple[str, Peer]] = {
    "rotalabs-steer 1.2": ("add", rotalabs_steer),
    "steering-vectors 0.12": ("add", steering_vectors),
    "nnsight 0.8": ("add", nnsight),
    "repeng 0.4": ("add", repeng),
    "repsteer 0.2": ("add", repsteer),
    "steering-vectors 0.12, ablation": ("ablate", partial(steering_vectors, ablate=True)),
    "repeng 0.4, normalized": ("keepnorm", partial(repeng, normalize=True)),
}
"""Each with the operator that it does."""


def peers(make_model: Callable[[], PreTrainedModel], directions: Directions) -> tuple[dict[str, Steering], list[str]]:
    """Return those that are installed, and why others are left out, a line for each."""
    found, missing = {}, []
    for name, (_, peer) in PEERS.items():
        try:
            with warnings.catch_warnings(action="ignore"):
                found[name] = peer(make_model(), directions)
        except ImportError as error:
            missing.append(f"{name} is left out: {error}")
    return found, missing


def _tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer that nnsight asks for, and no prompt here needs."""
    from tokenizers import Tokenizer, models  # noqa: PLC0415 - for nnsight alone

    vocabulary = {f"<{number}>": number for number in range(64)}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<0>"))  # noqa: S106 - no password
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<0>")  # noqa: S106 - no password
