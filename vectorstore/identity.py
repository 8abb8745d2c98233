"""ModelIdentity: which model a vector belongs to, and how well another one fits it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal

from vectorstore.canonical import Json
from vectorstore.errors import IntegrityError, MisfitError
from vectorstore.fields import Fields
from vectorstore.place import SITES

Fit = Literal["same", "compatible", "mismatch"]


@dataclass(frozen=True)
class ModelIdentity:
    """A causal language model, as far as a steering vector cares.

    Attributes:
        reference: how it was asked for: a hub id, a folder's name, a GGUF file's name, `demo`.
        revision: the hub commit, or None.
        architecture: the model class, `LlamaForCausalLM`.
        layer_count: number of decoder layers.
        widths: the width of the activations at each site.
        dtype: the dtype the activations were computed in.
        tokenizer_digest: digest of the vocabulary, or empty where it is unknown.
        fingerprint: digest of samples of all parameters, rounded to bf16.
        bos_token_id: the id that was put first, or None where none was.
    """

    reference: str
    revision: str | None
    architecture: str
    layer_count: int
    widths: Mapping[str, int]
    dtype: str
    tokenizer_digest: str
    fingerprint: str
    bos_token_id: int | None

    def __post_init__(self) -> None:
        """Freeze the widths."""
        object.__setattr__(self, "widths", MappingProxyType(dict(self.widths)))

    @property
    def d_model(self) -> int:
        """The width of the residual stream."""
        return self.widths["resid_pre"]

    def to_json(self) -> Json:
        """Return the canonical form, as in the card."""
        return {**{name: getattr(self, name) for name in self.__dataclass_fields__}, "widths": dict(self.widths)}

    @classmethod
    def from_json(cls, fields: Fields) -> ModelIdentity:
        """Read the canonical form.

        Raises:
            IntegrityError: when a part is missing or not of its type, or the widths are not those of sites.
        """
        widths = fields.mapping("widths", int)
        if "resid_pre" not in widths or not set(widths) <= set(SITES) or min(widths.values()) < 1:
            raise IntegrityError("the model's widths are not those of sites", f"known sites: {', '.join(SITES)}")
        return _shared(
            tuple(widths.items()),
            reference=fields.text("reference"),
            revision=fields.maybe("revision", str),
            architecture=fields.text("architecture"),
            layer_count=fields.integer("layer_count"),
            dtype=fields.text("dtype"),
            tokenizer_digest=fields.text("tokenizer_digest"),
            fingerprint=fields.text("fingerprint"),
            bos_token_id=fields.maybe("bos_token_id", int),
        )

    def fit(self, other: ModelIdentity) -> Fit:
        """Say how well `other` fits: the `same` weights, a `compatible` build of them, or a `mismatch`.

        An unknown vocabulary counts as equal to any other. The same weights with another one are `compatible`.
        """
        if any(getattr(self, name) != getattr(other, name) for name in ("architecture", "widths", "layer_count")):
            return "mismatch"
        one_vocabulary = len({self.tokenizer_digest, other.tokenizer_digest} - {""}) < 2  # noqa: PLR2004 - or unknown
        if self.fingerprint == other.fingerprint:
            return "same" if one_vocabulary else "compatible"
        return "compatible" if one_vocabulary else "mismatch"

    def require_fit(self, other: ModelIdentity, what: str, *, force: bool = False) -> Fit:
        """Return the fit of `what`, made on this model, on `other`.

        Raises:
            MisfitError: for a mismatch without `force`, and for another width or too few layers always.
        """
        fit = self.fit(other)
        if fit != "mismatch":
            return fit
        if self.widths != other.widths or self.layer_count != other.layer_count:
            raise MisfitError(
                f"{what} was computed on {self.describe()}; this model is {other.describe()}",
                "compute it again on this model",
            )
        if not force:
            raise MisfitError(
                f"{what} was computed on {self.reference} ({self.architecture}), and this model "
                f"{other.reference} ({other.architecture}) has other weights and another tokenizer or architecture",
                "compute it again on this model, or ask for it all the same with --force (Python: force=True)",
            )
        return fit

    def describe(self) -> str:
        """Return `HuggingFaceTB/SmolLM2 (30 layers of width 576)`."""
        return f"{self.reference} ({self.layer_count} layers of width {self.d_model})"


@lru_cache(maxsize=64)
def _shared(widths: tuple[tuple[str, int], ...], **others: Any) -> ModelIdentity:  # noqa: ANN401 - as the class says
    """Return one object for the model of many cards: they are compared with each other, and held in memory."""
    return ModelIdentity(widths=dict(widths), **others)
