"""MLflow's registry, with the requests that do the work of ours.

It takes an artifact only below a run: `MlflowRuns` makes one for each vector, as its client does, and `Mlflow` has one
for all of them, which is the least that it takes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.registries import JSON, OCTETS, PAGE, PULL, SEARCH, SHOWN, Question, Vector
from benchmarks.server_process import ServerProcess, Wire, free_port
from vectorstore.canonical import Json


class Mlflow:
    """MLflow's registry, with one run for all vectors."""

    name, database = "MLflow", None

    def __init__(self, server: ServerProcess) -> None:
        """Take a server that runs."""
        self.server = server
        self._run = self.new_run(self.wire())

    def wire(self) -> Wire:
        """Connect."""
        return Wire(self.server.port)

    def know(self, names: Iterable[str]) -> None:
        """Make the registered models, which its client makes before their first versions."""
        wire = self.wire()
        for name in names:
            self.post(wire, "registered-models/create", name=name)

    def push(self, wire: Wire, vector: Vector) -> None:
        """Send the artifact, then the version."""
        self.push_below(wire, vector, self._run)

    def questions(self, wire: Wire, vector: Vector) -> dict[str, Question]:
        """Ask what is nearest: registered models with their newest versions, and versions by their tags."""
        like = " and ".join(f"tag.{key} = '{value}'" for key, value in vector.labels.items())
        search = f"model-versions/search?{urlencode({'max_results': SHOWN, 'filter': like})}"
        version = f"model-versions/get?{urlencode({'name': vector.name, 'version': vector.tag})}"

        def pull() -> bytes:
            about = self.get(wire, version)
            source = json.loads(about)["model_version"]["source"].removeprefix("mlflow-artifacts:/")
            return about + wire.ask("GET", f"/api/2.0/mlflow-artifacts/artifacts/{source}")[2]

        return {
            PAGE: lambda: self.get(wire, f"registered-models/search?max_results={SHOWN}"),
            SEARCH: lambda: self.get(wire, search),
            PULL: pull,
        }

    def numbers(self, wire: Wire, name: str) -> list[int]:
        """Search the versions of the name."""
        asked = urlencode({"max_results": 1000, "filter": f"name = '{name}'"})
        found = json.loads(self.get(wire, f"model-versions/search?{asked}"))
        return [int(version["version"]) for version in found["model_versions"]]

    def get(self, wire: Wire, path: str) -> bytes:
        """Ask its API."""
        return wire.ask("GET", f"/api/2.0/mlflow/{path}")[2]

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


class MlflowRuns(Mlflow):
    """MLflow's registry, with a run for each vector."""

    name = "MLflow, a run each"

    def push(self, wire: Wire, vector: Vector) -> None:
        """Make a run, send the artifact and the version, and end the run."""
        run = self.new_run(wire)
        self.push_below(wire, vector, run)
        self.post(wire, "runs/update", run_id=run, status="FINISHED", end_time=int(1e3 * time.time()))


@contextmanager
def mlflow(folder: Path, python: str, kind: type[Mlflow] = Mlflow) -> Iterator[Mlflow]:
    """Run MLflow's server on SQLite, in one process."""
    port, folder = free_port(), folder / kind.__name__
    folder.mkdir()
    where = [f"--backend-store-uri=sqlite:///{folder}/mlflow.db", f"--artifacts-destination={folder}/mlartifacts"]
    command = [python, "-m", "mlflow", "server", f"--port={port}", "--workers=1", *where]
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PATH": f"{Path(python).parent}:/usr/bin:/bin"}
    with ServerProcess(command, port, folder / "mlflow.log", ready="/health", settings=settings) as server:
        yield kind(server)
