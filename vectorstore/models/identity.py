"""Say which model this is, so that a vector is only used where it fits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from vectorstore.canonical import canonical_bytes, digest
from vectorstore.errors import InvalidInputError
from vectorstore.identity import ModelIdentity
from vectorstore.models.layers import decoder_layers, site_widths, text_config
from vectorstore.models.tokenizer import first_id
from vectorstore.models.weights import offloaded, weights

SAMPLES = 64
"""How many values of each parameter go into the fingerprint."""


@dataclass(frozen=True)
class Origin:
    """Where a model came from, as far as loading knew.

    Attributes:
        reference: how it was asked for; of a path only the last part, since the rest is nobody else's business.
        revision: the hub commit, or None.
        tokenizer: the one that was loaded with it.
    """

    reference: str
    revision: str | None
    tokenizer: PreTrainedTokenizerBase | None = None


_origins: WeakKeyDictionary[nn.Module, Origin] = WeakKeyDictionary()
_vocabularies: WeakKeyDictionary[PreTrainedTokenizerBase, tuple[int, str]] = WeakKeyDictionary()


def remember(model: nn.Module, origin: Origin) -> None:
    """Keep where `model` came from, for `identify`."""
    _origins[model] = origin


def identify(model: nn.Module, tokenizer: PreTrainedTokenizerBase | None = None) -> ModelIdentity:
    """Return the identity of `model`, as it is now.

    Args:
        model: a Hugging Face causal language model.
        tokenizer: the one in use; where it is left out, the one that `load_model` gave with the model. Without either,
            `tokenizer_digest` is empty, which means unknown, and `bos_token_id` is None.

    Raises:
        InvalidInputError: for a module that is no Hugging Face language model.
    """
    model = getattr(model, "_orig_mod", model)  # what torch.compile wrapped
    origin = _origins.get(model) or _origin(model)
    tokenizer = tokenizer or origin.tokenizer
    return ModelIdentity(
        reference=origin.reference,
        revision=origin.revision,
        architecture=type(model).__name__,
        layer_count=len(decoder_layers(model)),
        widths=site_widths(model),
        dtype=str(next(model.parameters()).dtype).removeprefix("torch."),
        tokenizer_digest="" if tokenizer is None else tokenizer_digest(tokenizer),
        fingerprint=fingerprint(model),
        bos_token_id=None if tokenizer is None else first_id(tokenizer),
    )


@torch.no_grad()
def fingerprint(model: nn.Module) -> str:
    """Return the digest of the names, shapes and 64 evenly spaced values of each weight, rounded to bf16.

    It is equal for fp32 and bf16 loads of the same weights, and does not depend on whether an LM head that equals the
    embeddings is tied to them. It is computed afresh each time, in about 0.002 s for 300 parameters, so it notices
    every way of changing weights, but not a change that leaves all the samples as they were. Weights that accelerate
    has offloaded are brought once, as for a forward pass.

    Raises:
        InvalidInputError: when weights are not in memory.
    """
    tensors = weights(model)
    values = {name: _values(tensor) for name, tensor in tensors.items() if not tensor.is_meta}
    if len(values) < len(tensors):
        values |= {name: _values(tensor).clone() for name, tensor in offloaded(model)}
    if missing := [name for name in tensors if name not in values]:
        raise InvalidInputError(
            f"{missing[0]} of {type(model).__name__} is not in memory", "load the model without offloading"
        )
    samples = _samples(values)
    _drop_tied_head(model, tensors, samples)
    result = hashlib.sha256()
    for name in sorted(samples):
        result.update(f"{name}{list(tensors[name].shape)}".encode())
        result.update(samples[name])
    return f"sha256:{result.hexdigest()}"


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the digest of the vocabulary: every token with its id."""
    known = _vocabularies.get(tokenizer)
    if known is None or known[0] != len(tokenizer):
        vocabulary = canonical_bytes(sorted(tokenizer.get_vocab().items()))
        known = _vocabularies[tokenizer] = (len(tokenizer), digest(vocabulary))
    return known[1]


def public_name(reference: str) -> str:
    """Return `reference`, or of a path only its last part."""
    return Path(reference).resolve().name if is_path(reference) else reference


def is_path(reference: str) -> bool:
    """Say whether `reference` is a path, and no hub id."""
    return reference.startswith((".", "~", "/")) or (bool(reference) and Path(reference).exists())


def _origin(model: nn.Module) -> Origin:
    config = text_config(model)
    name = public_name(str(getattr(model, "name_or_path", "") or getattr(config, "_name_or_path", "") or ""))
    return Origin(name or type(model).__name__, getattr(model.config, "_commit_hash", None))


def _samples(values: Mapping[str, Tensor]) -> dict[str, bytes]:
    """Return the bytes of each; those that are alike are taken together, which is much faster."""
    groups: dict[tuple[torch.device, torch.dtype, int], dict[str, Tensor]] = {}
    for name, each in values.items():
        groups.setdefault((each.device, each.dtype, len(each)), {})[name] = each
    samples: dict[str, bytes] = {}
    for members in groups.values():
        rows = torch.stack(list(members.values())).to(torch.bfloat16).view(torch.int16).cpu().numpy()
        samples |= {name: row.tobytes() for name, row in zip(members, rows, strict=True)}
    return samples


def _values(tensor: Tensor) -> Tensor:
    """Return SAMPLES evenly spaced values, or all where there are fewer."""
    size = tensor.numel()
    plain = type(tensor) in (Tensor, nn.Parameter) and tensor.is_contiguous()
    if plain and size and size % SAMPLES == 0:
        return tensor.as_strided((SAMPLES,), (size // SAMPLES,))
    places = torch.arange(min(size, SAMPLES), device=tensor.device) * max(size, SAMPLES) // SAMPLES
    return tensor.detach().reshape(-1)[places]


def _drop_tied_head(model: nn.Module, tensors: Mapping[str, Tensor], samples: dict[str, bytes]) -> None:
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()  # type: ignore[operator]
    names = {id(tensor): name for name, tensor in tensors.items()}
    one, other = (names.get(id(getattr(module, "weight", None))) for module in (embeddings, head))
    if one is not None and other is not None and one != other and samples[one] == samples[other]:
        del samples[other]
