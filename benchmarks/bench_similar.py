"""What `similar` costs among many directions of one model and place, warm, beside numpy's bare product with them.

    python benchmarks/bench_similar.py [--count N] [--width D] [--rounds N] [--quick] [--database URL]

The catalogue has all the versions; the rows of their directions are written by the product's own cache, since saving
100,000 vectors would take an hour. Each round takes one whole `similar()` (the database asked for news, the rows mapped
anew, checked and multiplied, the nearest looked up) and one bare `rows @ direction` on rows that stay mapped. Every
answer is compared with an exact ranking in numpy. It needs disk for all the rows (1.6 GB) while it runs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import Table, insert, select

from vectorstore.canonical import digest
from vectorstore.card import Apply, Card, Data, MethodUse, ReadPositions
from vectorstore.identity import ModelIdentity
from vectorstore.place import SITES, Place
from vectorstore.store import Store
from vectorstore.store.blobs.local_blobs import LocalBlobs
from vectorstore.store.database import Database
from vectorstore.store.nearest.directions import DirectionsFolder, Index
from vectorstore.store.nearest.news import news
from vectorstore.store.nearest.similar import similar
from vectorstore.store.nearest.space import Space, unit_direction
from vectorstore.store.nearest.survey import folder_of
from vectorstore.store.schema import ArtifactRow, Base, BlobRow, VersionBlobRow, VersionRow, VersionSiteRow
from vectorstore.vector import SteeringVector

PLACE = Place("resid_pre", 16)
BATCH = 1000
NEAR = 20  # directions that are blends with the one that is asked about; the others are random
LIMIT = 10
T = TypeVar("T")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--quick", action="store_true", help="2,000 directions of width 512")
    parser.add_argument("--database", help="URL of an empty PostgreSQL database; SQLite in a temporary folder without")
    options = parser.parse_args()
    count, width = (2000, 512) if options.quick else (options.count, options.width)
    with tempfile.TemporaryDirectory(prefix="bench-similar-") as folder:
        url = options.database or f"sqlite:///{folder}/library.db"
        with Store(Database.open(url), LocalBlobs(Path(folder, "blobs")), Path(folder, "cache")) as store:
            measure(store, count, width, options.rounds)


def measure(store: Store, count: int, width: int, rounds: int) -> None:
    """Make the library, and print what asking it costs."""
    asked = np.random.default_rng(0).standard_normal(width).astype(np.float32)
    space = fill(store, asked, count)
    folder = DirectionsFolder(folder_of(store, space), width)
    index, rows = folder.read()
    unit = unit_direction(asked).astype(np.float32)
    expected = ranked(index, rows, unit)
    size = rows.nbytes / 1e9
    print(f"{len(rows):,} directions of width {width:,} ({size:.2f} GB), {LIMIT} answers, {rounds} rounds")
    whole, bare = [], []
    for number in range(rounds + 2):
        seconds, found = timed(lambda: similar(store, "asked", limit=LIMIT))
        answers = [neighbour.version.blobs[0].digest for neighbour in found.places[0].neighbours]
        if answers != expected or found.notes:
            raise SystemExit(f"wrong answers: {answers} {found.notes}")
        more, _ = timed(lambda: rows @ unit)
        if number > 1:  # the first two warm the machine up
            whole.append(seconds)
            bare.append(more)
    print(f"{'':<20} {'p50':>8} {'p95':>8}")
    for name, values in (("similar()", whole), ("rows @ direction", bare)):
        print(f"{name:<20} {1000 * np.percentile(values, 50):>5.0f} ms {1000 * np.percentile(values, 95):>5.0f} ms")
    ratio = np.median([one / other for one, other in zip(whole, bare, strict=True)])
    print(f"ratio, median        {ratio:>8.2f}")


def fill(store: Store, asked: np.ndarray, count: int) -> Space:
    """Save one vector, copy its rows for all the others, and write their directions as the product does."""
    vector = SteeringVector({PLACE: asked})
    saved = store.save("asked", vector, card_of(vector)).version
    space = Space(str(saved.fingerprint), PLACE, len(asked))
    others = [digest(f"blob {number}".encode()) for number in range(count - 1)]
    with store.database.write() as session:
        for table, rows in copies(session.connection(), others):
            session.execute(insert(table), rows)
    with store.database.read() as session:
        seen = news(session, space, {}).seen
    folder = DirectionsFolder(folder_of(store, space), len(asked))
    with folder.lock():
        index = folder.append(Index(), [saved.blobs[0].digest], unit_direction(asked).astype(np.float32)[None])
        for start in range(0, len(others), BATCH):
            digests = others[start : start + BATCH]
            index = folder.append(index, digests, directions(asked, start, len(digests)))
        folder.write(Index(index.name, index.entries, seen, {}))
    return space


def directions(asked: np.ndarray, start: int, count: int) -> np.ndarray:
    """Return unit rows `[n, d]`: random ones, and the first few of all near or opposite to `asked`."""
    rows = np.random.default_rng(start + 1).standard_normal((count, len(asked)), np.float32)
    for number in range(NEAR if start == 0 else 0):
        rows[number] = asked * (-1) ** number + rows[number] * (number + 1) / NEAR
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def copies(connection: Any, others: list[str]) -> Iterator[tuple[Table, list[dict[str, Any]]]]:  # noqa: ANN401
    """Yield the rows of further versions, each like the one that is there but with a name and a blob of its own."""

    def of(row: type[Base]) -> tuple[Table, dict[str, Any]]:
        table = Base.metadata.tables[row.__tablename__]
        return table, dict(connection.execute(select(table)).mappings().first())

    numbered = list(enumerate(others, 2))
    manifests = {number: digest(f"manifest {number}".encode()) for number, _ in numbered}
    table, blob = of(BlobRow)
    yield table, [blob | {"digest": name} for name in (*others, *manifests.values())]
    table, artifact = of(ArtifactRow)
    yield table, [artifact | {"id": number, "name": f"v{number}"} for number, _ in numbered]
    table, version = of(VersionRow)
    named = [{"id": n, "artifact_id": n, "full_name": f"default/v{n}", "digest": manifests[n]} for n, _ in numbered]
    yield table, [version | changes for changes in named]
    table, part = of(VersionBlobRow)
    yield table, [part | {"version_id": number, "digest": name} for number, name in numbered]
    table, site = of(VersionSiteRow)
    yield table, [site | {"version_id": number} for number, _ in numbered]


def card_of(vector: SteeringVector) -> Card:
    """Return a card that tells the truth about places and norms."""
    widths = dict.fromkeys(SITES, vector.directions[PLACE].shape[-1])
    model = ModelIdentity("bench", None, "LlamaForCausalLM", 32, widths, "float32", "", digest(b"weights"), 1)
    data = Data.of("pairs", ({"positive": "yes", "negative": "no"},))
    method = MethodUse("mean_difference", "1")
    return Card(model, method, data, ReadPositions("all"), Apply("all"), vector.norms, {}, {})


def ranked(index: Index, rows: np.ndarray, unit: np.ndarray) -> list[str]:
    """Return the blobs of the nearest directions but the first, which is the one that is asked about."""
    order = np.argsort(-np.abs(rows @ unit))[: LIMIT + 1]
    return [f"sha256:{index.entries[number]['digest'].tobytes().hex()}" for number in order if number]


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Return the wall-clock seconds that `work` takes, and what it returns."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


if __name__ == "__main__":
    main()
