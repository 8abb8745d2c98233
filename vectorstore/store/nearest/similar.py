"""Similar: the nearest directions in a library, by one exact pass over all of them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from vectorstore.errors import ConflictError, InvalidInputError
from vectorstore.manifest import VECTOR_BLOB
from vectorstore.place import SITES, Place, layers_text
from vectorstore.reference import Reference, parse_reference
from vectorstore.store.nearest.neighbour import Neighbour, Neighbourhood, Similar
from vectorstore.store.nearest.news import chunks
from vectorstore.store.nearest.space import Space, unit_direction
from vectorstore.store.nearest.survey import Survey, survey
from vectorstore.store.reading import read_versions
from vectorstore.store.schema import VersionBlobRow
from vectorstore.store.store import Store
from vectorstore.store.version import Version
from vectorstore.vector import SteeringVector

LIMIT = 10
MAX_LIMIT = 1000
_SLACK = 32  # what is looked at beyond the limit at first: deleted versions, and the version itself


def similar(
    store: Store,
    reference: str | Reference,
    *,
    site: str | None = None,
    layer: int | None = None,
    limit: int = LIMIT,
) -> Similar:
    """Return the directions of the same model, site and layer that are nearest to those of a version.

    Nearest by absolute cosine. A direction `[t, d]` counts as the sum over its rows, which points where their mean
    does. All numbers of all names are compared, yanked ones too; only the version itself is not among the answers.
    Cosines that differ by less than 1e-6 count as equal.

    Args:
        store: the library.
        reference: a vector; `love[6]` or `love[6..12]` asks about these layers alone.
        site: ask about this site alone.
        layer: ask about this layer alone.
        limit: at most so many neighbours for each place, up to 1,000.

    Raises:
        ConflictError: when it is a recipe.
        InvalidInputError: for a place that the vector has not, or a limit that cannot be.
        NotFoundError: as for `Store.resolve`.
        IntegrityError: when its own blob is missing or damaged; others are left out, with a note.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidInputError(f"{limit} neighbours", f"ask for 1 to {MAX_LIMIT}")
    parsed = reference if isinstance(reference, Reference) else parse_reference(reference)
    version, vector = _asked(store, parsed)
    found, notes = [], []
    for place in _places(parsed, vector, site, layer):
        hood, said = _neighbourhood(store, version, vector, place, limit)
        found.append(hood)
        notes += said
    return Similar(version, tuple(found), tuple(dict.fromkeys(notes)))


def _asked(store: Store, reference: Reference) -> tuple[Version, SteeringVector]:
    if reference.preset is not None:
        raise InvalidInputError(f"'{reference}' has a preset", "name the version alone: its strength changes no cosine")
    version = store.resolve(reference)
    if version.kind == "recipe":
        raise ConflictError(
            f"{version.reference} is a recipe, which has no directions of its own",
            f"save what it composes to as a vector: steer compose {version.reference} --save NAME --as vector",
        )
    return version, store.read(version)[0]


def _places(reference: Reference, vector: SteeringVector, site: str | None, layer: int | None) -> list[Place]:
    """Return the vector's places that are asked about."""
    if site not in (None, *SITES):
        raise InvalidInputError(f"there is no site '{site}'", f"sites: {', '.join(SITES)}")
    if reference.layers is not None:
        first, last = reference.layers
        vector = vector.select(range(first, last + 1))
    chosen = [place for place in vector.places if site in (None, place.site) and layer in (None, place.layer)]
    if not chosen:
        has = f"{', '.join(vector.sites)} {layers_text(vector.layers)}"
        raise InvalidInputError(f"{reference.version_text} has no direction there", f"it has {has}")
    return chosen


def _neighbourhood(
    store: Store, version: Version, vector: SteeringVector, place: Place, limit: int
) -> tuple[Neighbourhood, list[str]]:
    direction, norm = vector.directions[place], version.directions[place].norm
    unit = unit_direction(direction)
    if not unit.any():
        return Neighbourhood(place, norm, ()), [f"{version.reference} is zero at {place}, and like nothing"]
    surveyed = survey(store, Space(version.fingerprint or "", place, direction.shape[-1]), unit)
    with store.database.read() as session:
        found = _neighbours(session, surveyed, version, place, limit)
    alone = [] if found else [f"nothing else of this model is at {place}: {version.reference} is alone there"]
    return Neighbourhood(place, norm, tuple(found)), [*surveyed.notes, *alone]


def _neighbours(session: Session, surveyed: Survey, version: Version, place: Place, limit: int) -> list[Neighbour]:
    """Return the versions that have the nearest directions; what no version has any more is passed over."""
    ranked: list[tuple[int, str, float]] = []
    for cosines in surveyed.nearest(limit + _SLACK):
        having = [(version_id, blob, cosines[blob]) for version_id, blob in _having(session, list(cosines))]
        ranked += sorted(having, key=lambda found: (-round(abs(found[2]), 6), -found[0]))
        if len(ranked) > limit:  # one of them may be the version itself
            break
    versions = _load(session, [version_id for version_id, _, _ in ranked[: limit + 1]])
    found = [
        _neighbour(versions[version_id], version, place, blob, cosine)
        for version_id, blob, cosine in ranked[: limit + 1]
        if str(versions[version_id]) != str(version)
    ]
    return sorted(found, key=lambda neighbour: neighbour.order)[:limit]


def _neighbour(found: Version, version: Version, place: Place, blob: str, cosine: float) -> Neighbour:
    same_blob = any(blob == mine.digest for mine in version.blobs)
    same_name = (found.namespace, found.name) == (version.namespace, version.name)
    return Neighbour(found, cosine, found.directions[place].norm, same_blob, same_name)


def _having(session: Session, digests: list[str]) -> list[tuple[int, str]]:
    """Return the versions that have these blobs: row and digest, for each."""
    rows = select(VersionBlobRow.version_id, VersionBlobRow.digest).where(VersionBlobRow.media_type == VECTOR_BLOB)
    return [(row.version_id, row.digest) for row in session.execute(rows.where(VersionBlobRow.digest.in_(digests)))]


def _load(session: Session, ids: Sequence[int]) -> dict[int, Version]:
    return {
        version_id: version
        for chunk in chunks(ids)
        for version_id, version in zip(chunk, read_versions(session, chunk), strict=True)
    }
