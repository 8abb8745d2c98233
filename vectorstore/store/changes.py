"""What may change about a version: aliases, labels, presets, description, yanked or not. Each change is one event."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from vectorstore.canonical import Json
from vectorstore.errors import InvalidInputError, NotFoundError
from vectorstore.preset import Preset
from vectorstore.reference import Reference, check_name
from vectorstore.store import lookup
from vectorstore.store.catalogue import summarise
from vectorstore.store.newest import appoint
from vectorstore.store.presets import check_preset
from vectorstore.store.reading import undamaged
from vectorstore.store.rows import preset_values
from vectorstore.store.schema import AliasRow, ArtifactRow, LabelRow, PresetRow, VersionRow
from vectorstore.store.texts import MAX_DESCRIPTION, check_label, check_text
from vectorstore.store.version import Version


@dataclass(frozen=True)
class Change:
    """A change for the log: what was done, and the changed part before and after."""

    action: str
    before: Json | None
    after: Json | None


def locked(session: Session, reference: Reference) -> VersionRow:
    """Return the row of a version with its name locked, so that changes of one name come one after another.

    Raises:
        InvalidInputError, NotFoundError, ConflictError: as for `lookup.find`.
    """
    lookup.require_local(reference)
    name = lookup.artifact(session, reference.namespace, reference.name)
    session.scalars(select(ArtifactRow).where(ArtifactRow.id == name.id).with_for_update(key_share=True)).one()
    # Asked under the lock: until then another program may move the alias, or delete the version.
    version_id = lookup.find(session, reference)
    with undamaged():
        return session.get_one(VersionRow, version_id, populate_existing=True)


def set_alias(
    session: Session,
    row: VersionRow,
    version: Version,
    alias: str,
    *,
    expect: Callable[[str | None], object] | None = None,
) -> Change | None:
    """Let `alias` mean this version; it moves here if it meant another. None where it did already.

    `expect` is given the digest of the version that it means now, if any, and raises if it shall not move.
    """
    check_name(alias, "alias")
    if alias.startswith("sha256"):
        raise InvalidInputError(f"the alias '{alias}' would read as a digest", "choose another")
    present = session.get(AliasRow, (row.artifact_id, alias))
    if expect is not None:
        expect(
            session.scalar(select(VersionRow.digest).where(VersionRow.id == present.version_id)) if present else None
        )
    if present is not None and present.version_id == row.id:
        return None
    before = None
    if present is not None:
        number = session.scalar(select(VersionRow.number).where(VersionRow.id == present.version_id))
        before = {"alias": alias, "version": number}
        former, present.version_id = present.version_id, row.id
        summarise(session, [former])
    else:
        session.add(AliasRow(artifact_id=row.artifact_id, alias=alias, version_id=row.id))
    return Change("alias.set", before, {"alias": alias, "version": version.number})


def remove_alias(session: Session, row: VersionRow, version: Version, alias: str) -> Change:
    """Remove an alias of this version."""
    if alias not in version.aliases:
        raise _missing(version, "alias", alias, version.aliases)
    session.execute(delete(AliasRow).where(AliasRow.artifact_id == row.artifact_id, AliasRow.alias == alias))
    return Change("alias.remove", {"alias": alias, "version": version.number}, None)


def set_label(session: Session, row: VersionRow, version: Version, key: str, value: str) -> Change | None:
    """Set a label, or change its value. None where it has it already."""
    check_label(key, value)
    old = version.labels.get(key)
    if old == value:
        return None
    session.merge(LabelRow(version_id=row.id, key=key, value=value))
    return Change("label.set", None if old is None else {key: old}, {key: value})


def remove_label(session: Session, row: VersionRow, version: Version, key: str) -> Change:
    """Remove a label."""
    if key not in version.labels:
        raise _missing(version, "label", key, version.labels)
    session.execute(delete(LabelRow).where(LabelRow.version_id == row.id, LabelRow.key == key))
    return Change("label.remove", {key: version.labels[key]}, None)


def set_preset(session: Session, row: VersionRow, version: Version, name: str, preset: Preset) -> Change | None:
    """Set a preset, or change what it means. None where it means that already."""
    check_preset(name, preset, version.directions)
    old = version.presets.get(name)
    if old == preset:
        return None
    session.merge(PresetRow(version_id=row.id, **preset_values(name, preset)))
    return Change("preset.set", None if old is None else {name: old.to_json()}, {name: preset.to_json()})


def remove_preset(session: Session, row: VersionRow, version: Version, name: str) -> Change:
    """Remove a preset."""
    if name not in version.presets:
        raise _missing(version, "preset", name, version.presets)
    session.execute(delete(PresetRow).where(PresetRow.version_id == row.id, PresetRow.name == name))
    return Change("preset.remove", {name: version.presets[name].to_json()}, None)


def set_description(_session: Session, row: VersionRow, version: Version, description: str) -> Change | None:
    """Describe a version anew. None where that is its description already."""
    check_text("description", description, MAX_DESCRIPTION, lines=True)
    if description == version.description:
        return None
    row.description = description
    return Change("description.set", {"description": version.description}, {"description": description})


def yank(session: Session, row: VersionRow, version: Version, reason: str) -> Change | None:
    """Let a bare name no longer mean this version; who names it outright still gets it. None where it is yanked."""
    if version.yanked:
        return None
    row.yanked_at, row.yank_reason = datetime.now(UTC), reason or None
    appoint(session, row.artifact_id)
    return Change("version.yank", {"yanked": False}, {"yanked": True} | ({"reason": reason} if reason else {}))


def restore(session: Session, row: VersionRow, version: Version) -> Change | None:
    """Take a yank back. None where there is none."""
    if not version.yanked:
        return None
    row.yanked_at = row.yank_reason = None
    appoint(session, row.artifact_id)
    return Change("version.restore", {"yanked": True}, {"yanked": False})


def deprecate(_session: Session, row: VersionRow, version: Version, reason: str) -> Change | None:
    """Tell whoever uses it why they should no longer; it goes on working. None where that is said already."""
    if not reason.strip():
        raise InvalidInputError("there is no reason for deprecating it", "say what to use instead")
    if version.deprecation == reason:
        return None
    row.deprecation = reason
    return Change("version.deprecate", _deprecated(version), {"deprecation": reason})


def undeprecate(_session: Session, row: VersionRow, version: Version) -> Change | None:
    """Take a deprecation back. None where there is none."""
    if version.deprecation is None:
        return None
    row.deprecation = None
    return Change("version.undeprecate", _deprecated(version), None)


def _deprecated(version: Version) -> Json | None:
    return None if version.deprecation is None else {"deprecation": version.deprecation}


def _missing(version: Version, what: str, name: str, present: Iterable[str]) -> NotFoundError:
    listed = ", ".join(sorted(present))
    return NotFoundError(f"{version.reference} has no {what} '{name[:60]}'", f"it has {listed}" if listed else "")
