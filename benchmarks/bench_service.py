"""What the service takes to register vectors, next to MLflow's registry and Debian's docker-registry.

    python -m benchmarks.bench_service [--rounds N] [--mlflow-python PYTHON]
    python -m benchmarks.bench_service --profile push.prof     # pushes under cProfile; then python -m pstats push.prof

All are real servers on this machine, asked one after another, round by round, by a client on one open connection whose
own work is not counted: CPU is user and system of a server's processes. PYTHON is one that has MLflow; without it, or
without docker-registry, those arms are left out, and say so.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.registries import DOCKER_REGISTRY, Mlflow, MlflowRuns, Ours, Registry, Vector, mlflow, oci, ours
from benchmarks.rounds import print_table
from benchmarks.server_process import cpu_of
from tests.builders import make_card, make_identity
from vectorstore.place import Place
from vectorstore.store import Store
from vectorstore.vector import SteeringVector

WIDTH = 4096
A_ROUND = 40  # vectors
VERSIONS = 4  # of each name


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--mlflow-python", default=os.environ.get("MLFLOW_PYTHON"))
    parser.add_argument("--profile", type=Path, help="file for the profile of our service on SQLite")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pg-service-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        vectors = make(folder, A_ROUND * (options.rounds + 1))
        if options.profile:
            profiled(stack.enter_context(ours(folder, "SQLite", nothing, options.profile)), vectors)
            return
        registries = list(started(stack, folder, options.mlflow_python))
        measured = pushes(registries, vectors, options.rounds)
        show_pushes(measured)


def started(stack: ExitStack, folder: Path, mlflow_python: str | None) -> Iterator[Registry]:
    """Start every registry that is there."""
    for backend in ("SQLite", "PostgreSQL"):
        yield stack.enter_context(ours(folder, backend, nothing))
    if mlflow_python:
        made = stack.enter_context(mlflow(folder, mlflow_python))
        yield made
        yield MlflowRuns(made)
    else:
        print("MLflow: not installed (--mlflow-python)")
    if DOCKER_REGISTRY:
        yield stack.enter_context(oci(folder))
    else:
        print("docker-registry: not installed")


def make(folder: Path, count: int) -> list[Vector]:
    """Return vectors of 16 KiB with labels and descriptions, as another library would push them."""
    made = []
    with Store.open(f"sqlite:///{folder}/elsewhere.db", blobs=str(folder / "elsewhere")) as store:
        for n in range(count):
            values = np.random.default_rng(n).standard_normal(WIDTH).astype(np.float32)
            vector = SteeringVector({Place("resid_pre", 3): values})
            labels = {"lang": "en", "topic": f"topic{n % 7}"}
            about = {"labels": labels, "presets": {"strong": 2}, "description": f"some words about w{n % 11}"}
            card = make_card(vector, model=make_identity(width=WIDTH))
            version = store.save(f"name{n // VERSIONS}", vector, card, **about).version
            (blob,) = version.blobs
            data = bytes(store.blobs.open(blob.digest, blob.size))
            manifest = store.read_manifest(version)
            tag, described = str(n % VERSIONS + 1), about["description"]
            made.append(Vector(version.name, tag, data, blob.digest, manifest, version.digest, labels, str(described)))
    return made


def nothing(_store: Store) -> None:
    """Save nothing."""


Batch = tuple[float, float | None, list[float]]
"""Seconds of CPU of the server, and of its database, and those on the clock of each request."""


def batch(registry: Registry, works: Sequence[Callable[[], object]]) -> Batch:
    """Measure some requests."""
    walls, pids = [], [pid for pid in (registry.server.pid, registry.database) if pid]
    before = [cpu_of(pid) for pid in pids]
    for work in works:
        started = time.perf_counter()
        work()
        walls.append(time.perf_counter() - started)
    server, *database = (cpu_of(pid) - start for pid, start in zip(pids, before, strict=True))
    return server, database[0] if database else None, walls


def pushes(registries: list[Registry], vectors: list[Vector], rounds: int) -> dict[str, list[Batch]]:
    """Push all vectors to all registries, some in each round; the first round is not counted."""
    measured: dict[str, list[Batch]] = {registry.name: [] for registry in registries}
    for registry in registries:
        if isinstance(registry, Mlflow):
            registry.know(vectors)
    for number in range(rounds + 1):
        some = vectors[number * A_ROUND : (number + 1) * A_ROUND]
        first = number % len(registries)
        for registry in registries[first:] + registries[:first]:
            wire = registry.wire()  # servers close those that wait
            found = batch(registry, [lambda v=v, r=registry, w=wire: r.push(w, v) for v in some])
            if number:
                measured[registry.name].append(found)
    return measured


def show_pushes(measured: dict[str, list[Batch]]) -> None:
    """Print what a registered vector takes."""
    base = median(cpu for cpu, _, _ in measured["ours, SQLite"])
    rows = []
    for name, batches in measured.items():
        cpu = median(cpu for cpu, _, _ in batches)
        database = [busy for _, busy, _ in batches if busy is not None]
        walls = sorted(wall for _, _, walls in batches for wall in walls)
        beside = f"{1e3 * median(database) / A_ROUND:.1f}" if database else ""
        times = [f"{1e3 * walls[int(len(walls) * part)]:.1f}" for part in (0.5, 0.95)]
        rows.append([name, f"{1e3 * cpu / A_ROUND:.1f}", beside, f"{cpu / base:.2f}", *times])
    print_table(["a push", "CPU ms", "database's CPU ms", "to ours on SQLite", "p50 ms", "p95 ms"], rows)


def profiled(registry: Ours, vectors: list[Vector]) -> None:
    """Push all vectors to a service that is profiled, and say what a push takes that way."""
    wire = registry.wire()
    cpu, _, _ = batch(registry, [lambda v=v: registry.push(wire, v) for v in vectors])
    print(f"{1e3 * cpu / len(vectors):.1f} ms of CPU for a push, with the profiler's own")


if __name__ == "__main__":
    main()
