"""Library: the calls of a remote's service, with our names and values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vectorstore.canonical import Json, digest
from vectorstore.client.connection import Connection
from vectorstore.client.problems import said_problem
from vectorstore.client.remote import Remote
from vectorstore.client.there import There, read_there
from vectorstore.errors import IntegrityError, VectorstoreError
from vectorstore.fields import Fields
from vectorstore.identity import ModelIdentity
from vectorstore.manifest import MANIFEST_TYPE, MAX_MANIFEST
from vectorstore.reference import Reference, check_name, parse_reference

AT_ONCE = 100
DIGESTS_AT_ONCE = 1000
MAX_PAGES = 100
_KINDS = {"vector": "vectors", "recipe": "recipes"}


@dataclass(frozen=True)
class Library:
    """A remote's library, over a connection."""

    connection: Connection

    @property
    def remote(self) -> Remote:
        """Whose it is."""
        return self.connection.remote

    def me(self) -> Json:
        """Return who the token says we are."""
        document: Json = self.connection.document("GET", "/v1/me")
        Fields(document, "the answer")
        return document

    def resolve(self, reference: str | Reference) -> There:
        """Return the version that a reference means there now.

        Raises:
            NotFoundError: when there is none that the token may see.
        """
        (found,) = self.resolve_all([str(reference)])
        if isinstance(found, VectorstoreError):
            raise found
        return found

    def resolve_all(self, references: Sequence[str]) -> list[There | VectorstoreError]:
        """Return the version, or what is wrong, of each reference."""
        found: list[There | VectorstoreError] = []
        for start in range(0, len(references), AT_ONCE):
            some = references[start : start + AT_ONCE]
            answers = self._list("POST", "/v1/resolve", "answers", body={"references": some})
            if len(answers) != len(some):
                raise IntegrityError(f"{self.remote.name} answers {len(answers)} of {len(some)} questions", "try again")
            found += [self._answer(asked, answer) for asked, answer in zip(some, answers, strict=True)]
        return found

    def show(self, kind: str, full_name: str, which: str) -> There:
        """Return a version with all that it needs."""
        document = self.connection.document("GET", f"{name_path(kind, full_name)}/versions/{which}")
        return read_there(document).require(parse_reference(f"{full_name}@{which}"))

    def document(self, there: There) -> Json:
        """Return all that the remote says of a version."""
        document: Json = self.connection.document(
            "GET", f"{name_path(there.kind, there.full_name)}/versions/{there.digest}"
        )
        return document

    def fitting(self, there: There, model: ModelIdentity) -> There | None:
        """Return the newest version of a name that is not yanked and fits a model, or None."""
        path, cursor = f"{name_path(there.kind, there.full_name)}/versions", None
        for _ in range(MAX_PAGES):
            params = {"limit": AT_ONCE} | ({} if cursor is None else {"after": cursor})
            page = Fields(self.connection.document("GET", path, params=params), "the answer")
            for value in page.sequence("versions", dict):
                found = read_there(value).require(Reference(there.name, there.namespace))
                if not found.yanked and found.model is not None and found.model.fit(model) != "mismatch":
                    return found
            cursor = page.maybe("cursor", str)
            if cursor is None:
                break
        return None

    def manifest(self, there: There) -> bytes:
        """Return a version's manifest, whose digest was checked."""
        path = f"{name_path(there.kind, there.full_name)}/versions/{there.digest}/manifest"
        data = self.connection.data(path, MAX_MANIFEST)
        if digest(data) != there.digest:
            raise IntegrityError(
                f"{self.remote.name} sends another manifest than that of {there}", "tell whoever runs it"
            )
        return data

    def absent(self, namespace: str, digests: Sequence[str]) -> set[str]:
        """Return those blobs that have to be sent to a namespace before a version there can have them."""
        path, found = f"/v1/{check_name(namespace, 'namespace')}/absent", set[str]()
        for start in range(0, len(digests), DIGESTS_AT_ONCE):
            body = {"digests": digests[start : start + DIGESTS_AT_ONCE]}
            answer = Fields(self.connection.document("POST", path, body=body), f"the answer of {self.remote.name}")
            found.update(answer.sequence("absent", str))
        return found

    def put_version(self, kind: str, full_name: str, name: str, manifest: bytes, blobs: Sequence[bytes] = ()) -> There:
        """Save a version; `name` is its digest. Its blobs are there already, or they are small and all go with it."""
        path = f"{name_path(kind, full_name)}/versions/{name}"
        headers = {"Content-Type": MANIFEST_TYPE} | ({"Manifest-Size": str(len(manifest))} if blobs else {})
        saved = self.connection.document("PUT", path, content=b"".join((manifest, *blobs)), headers=headers)
        return read_there(saved).require(parse_reference(f"{full_name}@{name}"))

    def change(self, there: There, body: Json) -> There:
        """Change what is said of a version."""
        path = f"{name_path(there.kind, there.full_name)}/versions/{there.digest}"
        return read_there(self.connection.document("PATCH", path, body=body))

    def set_alias(self, there: There, alias: str) -> Json | None:
        """Let an alias mean a version; it moves if it meant another. The proposal where that has to be approved."""
        answer = self.connection.document("PUT", _alias_path(there, alias), body={"version": there.digest})
        moved = Fields(answer, "an alias").maybe("digest", str) == there.digest
        return None if moved else dict(answer)

    def events(self, namespace: str, after: int) -> Iterator[Json]:
        """Yield the events of a namespace after that of this number, oldest first."""
        path = f"/v1/{check_name(namespace, 'namespace')}/events"
        while True:
            page = self._list("GET", path, "events", params={"after": after, "limit": AT_ONCE})
            yield from page
            if len(page) < AT_ONCE:
                return
            after = Fields(page[-1], "an event").integer("seq")

    def _answer(self, asked: str, answer: Json) -> There | VectorstoreError:
        problem = answer.get("problem")
        if isinstance(problem, dict):
            return said_problem(self.remote, problem)
        return read_there(answer.get("version")).require(parse_reference(asked))

    def _list(self, method: str, path: str, key: str, **request: Any) -> Sequence[Json]:  # noqa: ANN401 - the connection's
        document = self.connection.document(method, path, **request)
        return Fields(document, f"the answer of {self.remote.name}").sequence(key, dict)


def blob_path(namespace: str, name: str) -> str:
    """Return where a namespace has the blob of this digest."""
    return f"/v1/{namespace}/blobs/{name}"


def _alias_path(there: There, alias: str) -> str:
    return f"{name_path(there.kind, there.full_name)}/aliases/{check_name(alias, 'alias')}"


def name_path(kind: str, full_name: str) -> str:
    """Return the path of a name."""
    namespace, _, name = full_name.partition("/")
    return f"/v1/{check_name(namespace, 'namespace')}/{_KINDS[kind]}/{check_name(name)}"
