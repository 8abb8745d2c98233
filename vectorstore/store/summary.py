"""Summary: a version as one text, with all that lists show, so that reading it takes one row instead of ten.

It says again what other tables say, and is written in the same transaction as they are; `steer fsck` compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from vectorstore.canonical import Json
from vectorstore.coefficient import Coefficient, number_text
from vectorstore.fields import Fields
from vectorstore.identity import ModelIdentity
from vectorstore.manifest import BlobEntry
from vectorstore.place import Place
from vectorstore.preset import Preset
from vectorstore.store.version import Direction, Version

_SELDOM = ("yank_reason", "deprecation")  # said only where they are: summaries without them are as they always were


def to_text(version: Version) -> str:
    """Return the summary of a version."""
    model = None if version.model is None else json.dumps(version.model.to_json())
    said = {
        "name": version.full_name,
        "number": version.number,
        "digest": version.digest,
        "method": version.method,
        "created_at": version.created_at.isoformat(),
        "blobs": [[blob.media_type, blob.digest, blob.size] for blob in version.blobs],
        "model": model,  # as a text: many versions have the same, which is then read once
        "directions": [[place.site, place.layer, *vars(each).values()] for place, each in version.directions.items()],
        "labels": dict(version.labels),
        "aliases": list(version.aliases),
        "presets": [[name, *_preset_values(preset)] for name, preset in version.presets.items()],
        "description": version.description,
        "license": version.license,
        "authors": list(version.authors),
        "yanked": version.yanked,
    } | {name: said for name in _SELDOM if (said := getattr(version, name))}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def from_text(text: str) -> Version:
    """Return the version of a summary.

    Raises:
        ArithmeticError, AttributeError, LookupError, TypeError, ValueError, IntegrityError: where it is damaged.
    """
    said: Mapping[str, Any] = json.loads(text)
    namespace, _, name = said["name"].partition("/")
    model, method = said["model"], said["method"]
    return Version(
        namespace=namespace,
        name=name,
        number=said["number"],
        digest=said["digest"],
        kind="recipe" if method is None else "vector",
        created_at=datetime.fromisoformat(said["created_at"]),
        blobs=tuple(BlobEntry(*blob) for blob in said["blobs"]),
        model=None if model is None else read_model(model),
        method=method,
        directions=MappingProxyType({Place(site, layer): Direction(*of) for site, layer, *of in said["directions"]}),
        labels=MappingProxyType(said["labels"]),
        aliases=tuple(said["aliases"]),
        presets=MappingProxyType({name: read_preset(*values) for name, *values in said["presets"]}),
        description=said["description"],
        license=said["license"],
        authors=tuple(said["authors"]),
        yanked=said["yanked"],
        **{name: said[name] for name in _SELDOM if name in said},
    )


@lru_cache(maxsize=1024)  # many versions have the same
def read_model(model: str) -> ModelIdentity | None:
    """Return the model of its JSON text."""
    read = json.loads(model)
    return None if read is None else ModelIdentity.from_json(Fields(read, "the model of a version"))


@lru_cache(maxsize=1024)
def read_preset(number: str, unit: str, first: int | None, last: int | None, tokens: str | None) -> Preset:
    """Return the preset of a row's values."""
    layers = None if first is None or last is None else (first, last)
    coefficient = Coefficient(Fraction(number), "r" if unit == "r" else "raw")
    return Preset(coefficient, layers, tokens)  # type: ignore[arg-type]


def _preset_values(preset: Preset) -> Sequence[Json]:
    coefficient = preset.coefficient
    return number_text(coefficient.number), coefficient.unit, *(preset.layers or (None, None)), preset.tokens
