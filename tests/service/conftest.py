"""A service over a library of its own, and people who use it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.blank import blank
from tests.builders import make_card, make_vector
from vectorstore.accounts.first import make_admin
from vectorstore.canonical import digest
from vectorstore.service.app import create_app
from vectorstore.service.options import Options
from vectorstore.store import Store


@dataclass
class Person:
    """Somebody with a token, or without one."""

    client: TestClient
    token: str | None

    def ask(self, method: str, path: str, **given: Any) -> Any:
        """Send a request, and return its answer."""
        headers = dict(given.pop("headers", {}))
        if self.token is not None:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        return self.client.request(method, path, headers=headers, **given)

    def get(self, path: str, **given: Any) -> Any:
        """Get something."""
        return self.ask("GET", path, **given)

    def put(self, path: str, **given: Any) -> Any:
        """Put something."""
        return self.ask("PUT", path, **given)

    def post(self, path: str, **given: Any) -> Any:
        """Post something."""
        return self.ask("POST", path, **given)


@dataclass
class Service:
    """A service, and its administrator."""

    store: Store
    client: TestClient
    admin: Person

    @property
    def anybody(self) -> Person:
        """Somebody without a token."""
        return Person(self.client, None)

    def person(self, name: str, **roles: str) -> Person:
        """Make a user with these roles by namespace."""
        assert self.admin.post("/v1/users", json={"name": name}).status_code == 201
        for namespace, role in roles.items():
            path = f"/v1/namespaces/{namespace}/members/{name}"
            assert self.admin.put(path, json={"role": role}).status_code == 200
        made = self.admin.post("/v1/tokens", json={"user": name, "name": "test", "scope": "own"})
        assert made.status_code == 201
        return Person(self.client, made.json()["token"])

    def namespace(self, name: str, visibility: str = "private") -> None:
        """Make a namespace."""
        assert self.admin.post("/v1/namespaces", json={"name": name, "visibility": visibility}).status_code == 201


@pytest.fixture
def service(store: Store) -> Iterator[Service]:
    """Serve the library in this process."""
    with serving(store) as made:
        yield made


@pytest.fixture(autouse=True)
def _quiet_logs() -> None:
    logging.getLogger("vectorstore.service").setLevel(logging.CRITICAL)


class serving:  # noqa: N801 - read as a word: `with serving(store)`
    """Serve a library in this process, with these options."""

    def __init__(self, store: Store, **options: Any) -> None:
        """Prepare it."""
        self._store, self._client = (
            store,
            TestClient(create_app(store, Options(**options)), raise_server_exceptions=False),
        )

    def __enter__(self) -> Service:
        """Start it."""
        self._client.__enter__()
        return Service(self._store, self._client, Person(self._client, make_admin(self._store)))

    def __exit__(self, *error: object) -> None:
        """Stop it."""
        self._client.__exit__(None, None, None)


@dataclass
class Made:
    """A version somewhere else, as its bytes."""

    manifest: bytes
    blobs: dict[str, bytes]

    @property
    def digest(self) -> str:
        """Its identity."""
        return digest(self.manifest)


def made_elsewhere(folder: Any, name: str = "love", seed: int = 0, **about: Any) -> Made:
    """Save a vector in another library, and return its bytes."""
    url = blank(folder / f"elsewhere-{name}-{seed}.db")
    with Store.open(url, blobs=str(folder / "elsewhere")) as other:
        vector = make_vector(seed=seed)
        version = other.save(name, vector, make_card(vector), **about).version
        blobs = {blob.digest: bytes(other.blobs.open(blob.digest, blob.size)) for blob in version.blobs}
        return Made(other.read_manifest(version), blobs)


def push(person: Person, made: Made, path: str) -> Any:
    """Push a version to `team/vectors/love`."""
    namespace, _, rest = path.partition("/")
    for name, data in made.blobs.items():
        assert person.put(f"/v1/{namespace}/blobs/{name}", content=data).status_code == 201
    return person.put(f"/v1/{namespace}/{rest}/versions/{made.digest}", content=made.manifest)
