"""Programs beside the test's own: they save at the same moment, or are killed in the middle of it."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from tests.builders import make_card, make_vector
from vectorstore.errors import VectorstoreError, exit_code
from vectorstore.store import Store

# Children start from a clean process that has imported everything already.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pytest", "vectorstore.store"])
MANY_ITEMS = tuple({"positive": f"{number:0200}", "negative": " "} for number in range(400))


class Fuse:
    """Kills its process, as `kill -9` does, at the n-th fsync, rename or commit; counts them where n is 0."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.count = 0

    def burn(self, *_: object) -> None:
        self.count += 1
        if self.count == self.step:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def fused(*args: object, **options: object) -> object:
            self.burn()
            result = function(*args, **options)
            self.burn()
            return result

        return fused

    def install(self) -> None:
        os.fsync = self.around(os.fsync)
        Path.replace = self.around(Path.replace)  # type: ignore[method-assign]
        event.listen(Engine, "commit", self.burn)  # before it reaches the database
        event.listen(Session, "after_commit", self.burn)


def save_until_killed(url: str, blobs: str, step: int, journal: str) -> None:
    """Save one vector with items of its own; write to the journal what was acknowledged, and how many steps it took."""
    fuse = Fuse(step)
    vector = make_vector((2, 3), seed=1000 + step)
    with Store.open(url, blobs=blobs) as store:
        fuse.install()
        saved = store.save("love", vector, make_card(vector, items=MANY_ITEMS), labels={"step": str(step)})
    Path(journal).write_text(f"{saved.version.digest} {fuse.count}")


def open_until_killed(url: str, blobs: str, step: int) -> None:
    """Make a library of an empty database, or be killed while doing so."""
    Fuse(step).install()
    Store.open(url, blobs=blobs).close()


def save_some(url: str, blobs: str, barrier: Barrier, seeds: list[int]) -> None:
    """Save vectors under one name, starting together with the others."""
    with Store.open(url, blobs=blobs) as store:
        barrier.wait()
        for seed in seeds:
            vector = make_vector(3, seed=seed)
            assert store.save("love", vector, make_card(vector)).version.name == "love"


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


def run_together(target: Callable[..., None], url: str, blobs: Path, work: list[list[int]]) -> list[int | None]:
    """Run one program for each share of the work, all starting at once; return their exit codes."""
    barrier = PROCESSES.Barrier(len(work))
    processes = [PROCESSES.Process(target=target, args=(url, str(blobs), barrier, share)) for share in work]
    for process in processes:
        process.start()
    return [finished(process) for process in processes]


def finished(process: BaseProcess) -> int | None:
    """Wait for a process and return its exit code."""
    process.join()
    code = process.exitcode
    process.close()
    return code
