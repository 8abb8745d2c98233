"""Browse: what a remote has, as it describes it; nothing of it is taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from vectorstore.client.library import Library, name_path
from vectorstore.client.there import AGAIN, read_there
from vectorstore.errors import IntegrityError, InvalidInputError, NotFoundError
from vectorstore.fields import Fields
from vectorstore.manifest import BlobEntry
from vectorstore.place import Place
from vectorstore.reference import Reference, check_name
from vectorstore.store.lists.filter import Filter
from vectorstore.store.texts import MAX_DESCRIPTION, check_label, check_text
from vectorstore.store.version import Direction, Page, Version

_ASKED = ("model", "method", "layer", "site", "author", "text")


@dataclass(frozen=True)
class Visible:
    """A namespace of a remote that the token may know of.

    Attributes:
        name: what it is called.
        visibility: `public`, `internal` or `private`.
    """

    name: str
    visibility: str


def namespaces(library: Library, limit: int, after: str | None = None) -> tuple[list[Visible], str | None]:
    """Return the namespaces of a remote, by name, and the cursor of the next page."""
    answer = _asked(library, "/v1/namespaces", limit, after)
    found = [Fields(each, "a namespace of the remote") for each in answer.sequence("namespaces", dict)]
    try:
        seen = [Visible(check_name(each.text("name"), "namespace"), _word(each.text("visibility"))) for each in found]
    except InvalidInputError as error:
        raise _wrong(error) from error
    return seen, answer.maybe("cursor", str)


def newest(library: Library, wanted: Filter, sort: str, limit: int, after: str | None = None) -> Page:
    """Return a page of the newest versions of a namespace of a remote: those that `wanted` says."""
    kind = {None: "versions", "vector": "vectors", "recipe": "recipes"}[wanted.kind]
    path = f"/v1/{check_name(wanted.namespace or '', 'namespace')}/{kind}"
    asked = {name: value for name in _ASKED if (value := getattr(wanted, name)) is not None}
    labels = {"label": [f"{key}={value}" for key, value in wanted.labels.items()]} if wanted.labels else {}
    return _page(_asked(library, path, limit, after, **asked, **labels, sort=sort))


def history(library: Library, reference: Reference, limit: int, after: str | None = None) -> Page:
    """Return a page of all versions of a name of a remote, newest first.

    Raises:
        InvalidInputError: for a reference to one version.
        NotFoundError: for an unknown name.
    """
    if reference.is_one_version:
        name = replace(reference, version=None, alias=None, digest=None)
        raise InvalidInputError(f"'{reference}' is one version", f"give its name alone: {name}")
    full_name = f"{reference.namespace}/{reference.name}"
    try:
        return _page(_asked(library, f"{name_path('vector', full_name)}/versions", limit, after))
    except NotFoundError:
        return _page(_asked(library, f"{name_path('recipe', full_name)}/versions", limit, after))


def version(library: Library, reference: Reference) -> Version:
    """Return the version that a reference means at a remote."""
    there = library.resolve(reference)
    return read_version(library.document(there))


def read_version(value: object) -> Version:
    """Read the document of a version, every part of it: it is shown to people.

    Raises:
        IntegrityError: for anything else.
    """
    there, fields = read_there(value), Fields(value, "a version of the remote")
    blobs = [Fields(blob, "a blob of the remote") for blob in fields.sequence("blobs", dict)]
    directions = fields.mapping("directions", dict)
    try:
        for key, text in there.labels.items():
            check_label(key, text)
        for name, most in (("description", MAX_DESCRIPTION), ("yank_reason", MAX_DESCRIPTION)):
            check_text(name, fields.text(name), most, lines=True)
        check_text("deprecation", there.deprecation or "", MAX_DESCRIPTION, lines=True)
        return Version(
            **{name: getattr(there, name) for name in ("namespace", "name", "number", "digest", "kind", "model")},
            **{name: getattr(there, name) for name in ("labels", "presets", "description", "yanked")},
            yank_reason=there.yank_reason,
            deprecation=there.deprecation,
            blobs=tuple(
                BlobEntry(each.text("media_type"), each.text("digest"), each.integer("size")) for each in blobs
            ),
            created_at=datetime.fromisoformat(fields.text("created_at")),
            method=_maybe_word(fields.maybe("method", str)),
            directions=MappingProxyType({Place.parse(place): _direction(each) for place, each in directions.items()}),
            aliases=tuple(check_name(alias, "alias") for alias in fields.sequence("aliases", str)),
            license=check_text("license", fields.text("license")),
            authors=tuple(check_text("author", author) for author in fields.sequence("authors", str)),
        )
    except (InvalidInputError, ValueError) as error:
        raise _wrong(error) from error


def _asked(library: Library, path: str, limit: int, after: str | None, **params: Any) -> Fields:  # noqa: ANN401 - a query's
    going_on = {} if after is None else {"after": after}
    document = library.connection.document("GET", path, params={**params, "limit": limit, **going_on})
    return Fields(document, f"the answer of {library.remote.name}")


def _page(answer: Fields) -> Page:
    return Page(tuple(map(read_version, answer.sequence("versions", dict))), answer.maybe("cursor", str))


def _direction(value: Mapping[str, Any]) -> Direction:
    each = Fields(dict(value), "a direction of the remote")
    return Direction(
        each.integer("width"), each.maybe("positions", int), each.number("norm"), each.maybe("residual_norm", float)
    )


def _maybe_word(text: str | None) -> str | None:
    return None if text is None else _word(text)


def _word(text: str) -> str:
    return check_text("word", text)


def _wrong(error: Exception) -> IntegrityError:
    said = error.problem if isinstance(error, InvalidInputError) else str(error)
    return IntegrityError(f"the remote describes a version wrongly: {said}", AGAIN)
