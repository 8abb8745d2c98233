"""What the service takes, next to MLflow's registry and Debian's docker-registry.

    python -m benchmarks.bench_service [--rounds N] [--mlflow-python PYTHON]
    python -m benchmarks.bench_service --profile push.prof     # pushes under cProfile; then python -m pstats push.prof

All are real servers on this machine, asked one after another, round by round, by a client on one open connection whose
own work is not counted: CPU is user and system of a server's processes. PYTHON is one that has MLflow; without it, or
without docker-registry, those arms are left out, and say so. Syncs are counted by strace, where that may look.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.mlflow_registry import Mlflow, MlflowRuns, mlflow
from benchmarks.registries import (
    DOCKER_REGISTRY,
    PAGE,
    PULL,
    SAME_BYTES,
    SAME_VERSION,
    SEARCH,
    Ours,
    Registry,
    Vector,
    oci,
    ours,
)
from benchmarks.rounds import print_table
from benchmarks.server_load import Load, load, syncs, together
from tests.builders import make_card, make_identity
from vectorstore.place import Place
from vectorstore.store import Store
from vectorstore.vector import SteeringVector

WIDTH = 4096
A_ROUND = 40  # vectors, and questions of each kind
VERSIONS = 4  # of each name
TRACED = 12  # vectors
QUESTIONS = (PAGE, SEARCH, PULL, SAME_VERSION, SAME_BYTES)
WRITERS, EACH, RACES = 16, 6, 3


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mlflow-python", default=os.environ.get("MLFLOW_PYTHON"))
    parser.add_argument("--profile", type=Path, help="file for the profile of our service on SQLite")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pg-service-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        vectors = make(folder, A_ROUND * (options.rounds + 1) + TRACED)
        if options.profile:
            profiled(stack.enter_context(ours(folder, "SQLite", options.profile)), vectors)
            return
        registries = list(started(stack, folder, options.mlflow_python))
        know(registries, vectors)
        counted = A_ROUND * (options.rounds + 1)
        pushes(registries, vectors[:counted], vectors[counted:], folder / "trace")
        questions(registries, vectors, options.rounds)
        races(registries, make(folder, RACES * (WRITERS * EACH + 1), seed=1))


def started(stack: ExitStack, folder: Path, mlflow_python: str | None) -> Iterator[Registry]:
    """Start every registry that is there."""
    for backend in ("SQLite", "PostgreSQL"):
        yield stack.enter_context(ours(folder, backend))
    if mlflow_python:
        for kind in (Mlflow, MlflowRuns):
            yield stack.enter_context(mlflow(folder, mlflow_python, kind))
    else:
        print("MLflow: not installed (--mlflow-python)")
    if DOCKER_REGISTRY:
        yield stack.enter_context(oci(folder))
    else:
        print("docker-registry: not installed")


def make(folder: Path, count: int, seed: int = 0) -> list[Vector]:
    """Return vectors of 16 KiB with labels and descriptions, as another library would push them."""
    made = []
    with Store.open(f"sqlite:///{folder}/elsewhere.db", blobs=str(folder / "elsewhere")) as store:
        for n in range(count):
            values = np.random.default_rng((seed, n)).standard_normal(WIDTH).astype(np.float32)
            vector = SteeringVector({Place("resid_pre", 3): values})
            name, tag = f"name{n // VERSIONS}", str(n % VERSIONS + 1)
            labels = {"lang": "en", "topic": f"topic{n % 7}", "turn": tag}
            card = make_card(vector, model=make_identity(width=WIDTH))
            version = store.save(name, vector, card, labels=labels, description=f"some words about w{n % 11}").version
            made.append(Vector.of(store, version, tag))
    return made


def know(registries: list[Registry], vectors: list[Vector]) -> None:
    """Make the registered models that MLflow wants before versions."""
    for registry in registries:
        if isinstance(registry, Mlflow):
            registry.know({vector.name for vector in vectors} | {f"race{n}" for n in range(RACES)})


def pushes(registries: list[Registry], vectors: list[Vector], traced: list[Vector], trace: Path) -> None:
    """Push all vectors to all registries, some in each round; the first round is not counted."""
    measured = {registry.name: Load() for registry in registries}
    for number in range(0, len(vectors), A_ROUND):
        for registry in turned(registries, number // A_ROUND):
            wire = registry.wire()  # a new one: servers close those that wait
            some = vectors[number : number + A_ROUND]
            found = load(registry, [lambda v=v, r=registry, w=wire: r.push(w, v) for v in some])
            if number:
                measured[registry.name].add(found)
    synced = {}
    for registry in registries:
        wire = registry.wire()
        works = [lambda v=v, r=registry, w=wire: r.push(w, v) for v in traced]
        synced[registry.name] = syncs(registry, works, trace)
    rows = [[name, *found.figures(), synced[name]] for name, found in measured.items()]
    print_table(["a push", "CPU ms", "database, CPU ms", "p50 ms", "p95 ms", "syncs"], rows)


def questions(registries: list[Registry], vectors: list[Vector], rounds: int) -> None:
    """Ask all registries the same, some in each round; the first round is not counted."""
    asked = [registry for registry in registries if not isinstance(registry, MlflowRuns)]
    measured: dict[tuple[str, str], Load] = {}
    last = vectors[VERSIONS - 1 : A_ROUND * (rounds + 1) : VERSIONS]  # the newest of each name
    for number in range(rounds + 1):
        for question in QUESTIONS:
            for registry in turned(asked, number):
                wire = registry.wire()
                some = [last[(number * A_ROUND + n) % len(last)] for n in range(A_ROUND)]
                prepared = [registry.questions(wire, vector).get(question) for vector in some]
                works = [work for work in prepared if work is not None]
                if works:
                    found = load(registry, works)
                    if number:
                        measured.setdefault((question, registry.name), Load()).add(found)
    order = [(question, registry.name) for question in QUESTIONS for registry in asked]
    rows = [[", ".join(key), *measured[key].figures()] for key in order if key in measured]
    print_table(["question", "CPU ms", "database, CPU ms", "p50 ms", "p95 ms"], rows)


def races(registries: list[Registry], vectors: list[Vector]) -> None:
    """Let writers push to one name at once."""
    rows = []
    for registry in registries:
        rates, wrong = [], 0
        for number in range(RACES):
            count = WRITERS * EACH + 1
            some = vectors[number * count : (number + 1) * count]
            named = [replace(vector, name=f"race{number}", tag=str(n + 1)) for n, vector in enumerate(some)]
            registry.push(registry.wire(), named[0])
            seconds, errors = together(registry, named[1:], WRITERS)
            rates.append(WRITERS * EACH / seconds)
            wrong += errors + (sorted(registry.numbers(registry.wire(), f"race{number}")) != list(range(1, count + 1)))
        rows.append([registry.name, f"{sorted(rates)[RACES // 2]:.0f}", str(wrong)])
    print_table([f"{WRITERS} writers on one name", "versions a second", "errors"], rows)


def turned(registries: list[Registry], number: int) -> list[Registry]:
    """Return them in the order of a round: each begins with another one."""
    first = number % len(registries)
    return registries[first:] + registries[:first]


def profiled(registry: Ours, vectors: list[Vector]) -> None:
    """Push all vectors to a service that is profiled, and say what a push takes that way."""
    wire = registry.wire()
    found = load(registry, [lambda v=v: registry.push(wire, v) for v in vectors])
    print(f"{found.figures()[0]} ms of CPU for a push, with the profiler's own")


if __name__ == "__main__":
    main()
