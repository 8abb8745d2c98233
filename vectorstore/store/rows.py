"""Rows into values and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from types import MappingProxyType

from vectorstore.card import Card
from vectorstore.coefficient import Coefficient, number_text
from vectorstore.errors import IntegrityError
from vectorstore.fields import Fields
from vectorstore.identity import ModelIdentity
from vectorstore.manifest import BlobEntry
from vectorstore.place import SITES, Place
from vectorstore.preset import Preset
from vectorstore.store.schema import PresetRow, VersionRow, VersionSiteRow
from vectorstore.store.version import Direction, Version
from vectorstore.vector import SteeringVector


@contextmanager
def undamaged() -> Iterator[None]:
    """Say of values that no row of ours has, whether the driver or we fail to read them, that they are damaged.

    Raises:
        IntegrityError: for such a value.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"a row of the library is damaged ({error})", "restore the database from a backup"
        ) from error


def to_version(row: VersionRow) -> Version:
    """Return the version of a row whose relations are loaded."""
    return Version(
        namespace=row.artifact.namespace.name,
        name=row.artifact.name,
        number=row.number,
        digest=row.digest,
        kind=row.artifact.kind,
        created_at=row.created_at,
        blobs=tuple(BlobEntry(blob.media_type, blob.digest, blob.size) for blob in row.blobs),
        model=to_model(row),
        method=row.method,
        directions=MappingProxyType(dict(map(_direction, sorted(row.sites, key=_order)))),
        labels=MappingProxyType({label.key: label.value for label in row.labels}),
        aliases=tuple(alias.alias for alias in row.aliases),
        presets=MappingProxyType({preset.name: to_preset(preset) for preset in row.presets}),
        description=row.description,
        license=row.license,
        authors=tuple(author.author for author in row.authors),
        yanked=row.yanked_at is not None,
    )


def to_model(row: VersionRow) -> ModelIdentity | None:
    """Return the model that a version was computed on; recipes have none."""
    return None if row.model is None else ModelIdentity.from_json(Fields(row.model, f"the model of version {row.id}"))


def to_preset(row: PresetRow) -> Preset:
    """Return the preset of a row."""
    unit = "r" if row.unit == "r" else "raw"
    layers = None if row.first_layer is None or row.last_layer is None else (row.first_layer, row.last_layer)
    return Preset(Coefficient(Fraction(row.coefficient), unit), layers, row.tokens)  # type: ignore[arg-type]


def preset_row(name: str, preset: Preset) -> PresetRow:
    """Return the row of a preset."""
    first, last = preset.layers or (None, None)
    return PresetRow(
        name=name,
        coefficient=number_text(preset.coefficient.number),
        unit=preset.coefficient.unit,
        first_layer=first,
        last_layer=last,
        tokens=preset.tokens,
    )


def directions(vector: SteeringVector, card: Card) -> dict[Place, Direction]:
    """Return what the catalogue keeps of each direction."""
    return {
        place: Direction(
            width=array.shape[-1],
            positions=array.shape[0] if array.ndim > 1 else None,
            norm=card.norms[place],
            residual_norm=card.residual_norms.get(place),
        )
        for place, array in vector.directions.items()
    }


def site_row(place: Place, direction: Direction) -> VersionSiteRow:
    """Return the row of a direction."""
    return VersionSiteRow(site=place.site, layer=place.layer, **vars(direction))


def _direction(row: VersionSiteRow) -> tuple[Place, Direction]:
    return Place(row.site, row.layer), Direction(row.width, row.positions, row.norm, row.residual_norm)


def _order(row: VersionSiteRow) -> tuple[int, int]:
    return SITES.index(row.site), row.layer
