"""Programs beside the test's own: each runs a function in a process of its own."""

from __future__ import annotations

import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path

from tests.builders import make_card, make_vector
from vectorstore.errors import VectorstoreError, exit_code
from vectorstore.store import Store
from vectorstore.store.database import upgrade

# Children start from a clean process that has imported, and prepared, what they need already.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pytest", "tests.store.prepared"])


def save_some(url: str, blobs: str, barrier: Barrier, seeds: list[int]) -> None:
    """Save vectors under one name, starting together with the others."""
    with Store.open(url, blobs=blobs) as store:
        barrier.wait()
        for seed in seeds:
            vector = make_vector(3, seed=seed)
            assert store.save("love", vector, make_card(vector)).version.name == "love"


def save_in_rounds(url: str, blobs: str, barrier: Barrier, seeds: list[int]) -> None:
    """Save vectors under one name, each together with the others'; note when, and as which version."""
    with Store.open(url, blobs=blobs) as store:
        for seed in seeds:
            vector = make_vector(3, seed=seed)
            barrier.wait()
            start = time.monotonic()
            version = store.save("love", vector, make_card(vector)).version
            done = {"writer": seeds[0], "seed": seed, "number": version.number, "digest": version.digest}
            line = json.dumps(done | {"start": start, "end": time.monotonic()})
            Path(f"{blobs}-{seed}.journal").write_text(line)


def open_and_save(url: str, blobs: str, barrier: Barrier, seeds: list[int]) -> None:
    """Open a library together with the others, who find it as empty; then save."""
    barrier.wait()
    with Store.open(url, blobs=blobs) as store:
        for seed in seeds:
            vector = make_vector(3, seed=seed)
            store.save(f"love{seed}", vector, make_card(vector))


def move_alias(url: str, blobs: str, barrier: Barrier, numbers: list[int]) -> None:
    """Move one alias about."""
    with Store.open(url, blobs=blobs) as store:
        barrier.wait()
        for number in numbers:
            store.set_alias(f"love@{number}", "prod")


def upgrade_together(url: str, _blobs: str, barrier: Barrier, _share: list[int]) -> None:
    """Upgrade a library at the same moment as the others."""
    barrier.wait()
    upgrade(url)


def delete_together(url: str, blobs: str, barrier: Barrier, numbers: list[int]) -> None:
    """Delete versions that the others delete too; exit with the code of the command line where one is gone."""
    with Store.open(url, blobs=blobs) as store:
        barrier.wait()
        try:
            for number in numbers:
                store.delete(f"love@{number}")
        except VectorstoreError as error:
            sys.exit(exit_code(error))


def save_on_a_full_disk(url: str, blobs: str, limit: int) -> None:
    """Save where no file may grow beyond `limit` bytes; end with the exit code of the command line."""
    vector = make_vector(3, seed=limit)
    with Store.open(url, blobs=blobs) as store:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            store.save("love", vector, make_card(vector))
        except VectorstoreError as error:
            sys.exit(exit_code(error))


def run(target: Callable[..., None], *args: object) -> int | None:
    """Run a program to its end; return its exit code."""
    process = PROCESSES.Process(target=target, args=args)
    process.start()
    return finished(process)


def run_all(programs: list[tuple[Callable[..., None], tuple[object, ...]]]) -> list[int | None]:
    """Run programs beside each other; return their exit codes."""
    processes = [PROCESSES.Process(target=target, args=args) for target, args in programs]
    for process in processes:
        process.start()
    return [finished(process) for process in processes]


def run_together(target: Callable[..., None], url: str, blobs: Path, work: list[list[int]]) -> list[int | None]:
    """Run one program for each share of the work, all starting at once; return their exit codes."""
    barrier = PROCESSES.Barrier(len(work))
    return run_all([(target, (url, str(blobs), barrier, share)) for share in work])


def finished(process: BaseProcess) -> int | None:
    """Wait for a process and return its exit code."""
    process.join()
    code = process.exitcode
    process.close()
    return code
