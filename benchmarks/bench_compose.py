"""What composing 100 vectors costs, against safetensors reading and numpy adding the same bytes.

    python -m benchmarks.bench_compose [--rounds N] [--profile] [--url postgresql+psycopg://…]

A library of 100 vectors of 16 KB (one layer of width 4,096) and 100 of 1 MB (64 layers) is made in a folder of its own.
Each round measures, one after another: safetensors' `load_file` of the 100 blobs and numpy adding their tensors; the
same from `safe_open`; `compose` of "v0 + v1 + … + v99"; and `compose` of the recipe that pins the same. The table gives
medians, and medians of the ratios to `load_file` within a round, by wall clock and by CPU time, which is the quieter of
the two. `first` is the first work of a process of its own, by CPU time: modules are imported and the library is open,
but the grammar is not built, no query was compiled and no header was read. `again` is the second.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file

from tests.builders import make_card, make_vector
from vectorstore.compose import compose, pin
from vectorstore.recipe import Recipe
from vectorstore.store import Store

COUNT = 100
SIZES = {"16 KB": 1, "1 MB": 64}
Pair = tuple[float, float]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--url", help="of an empty database; an SQLite file where it is left out")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(*first(*options.child))
        return
    heads = "".join(f"{head:>18}" for head in ("ms, wall clock", "ms, CPU", "first, CPU", "again, CPU"))
    print(f"{'':<28}{heads}")
    with tempfile.TemporaryDirectory() as folder:
        url = options.url or f"sqlite:///{folder}/library.sqlite"
        blobs = str(Path(folder) / "blobs")
        with Store.open(url, blobs=blobs) as store:
            for size, layers in SIZES.items():
                names = fill(store, size, layers)
                show(store, size, names, options.rounds, (url, blobs))
                if options.profile:
                    profile(lambda names=names: compose(store, " + ".join(names)))


def fill(store: Store, size: str, layers: int) -> list[str]:
    """Save the vectors, and return their names."""
    names = names_of(size)
    for number, name in enumerate(names):
        vector = make_vector(range(layers), width=4096, seed=number)
        store.save(name, vector, make_card(vector))
    return names


def names_of(size: str) -> list[str]:
    """Return the names of the vectors of one size."""
    return [f"v{size.replace(' ', '')}-{number}" for number in range(COUNT)]


def show(store: Store, size: str, names: list[str], rounds: int, where: tuple[str, str]) -> None:
    """Measure, and print the lines of one size."""
    text = " + ".join(names)
    paths = [path_of(store, name) for name in names]
    Path(f"{where[1]}-{size}.json").write_text(json.dumps(paths))
    recipe = pin(store, text)
    Path(f"{where[1]}-{size}.recipe").write_bytes(recipe.to_bytes())
    arms: dict[str, Callable[[], object]] = {
        "load_file and add": lambda: added(paths),
        "safe_open and add": lambda: opened(paths),
        "compose names": lambda: compose(store, text),
        "compose a recipe": lambda: compose(store, recipe),
    }
    measured = [{name: timed(work) for name, work in arms.items()} for _ in range(rounds + 1)][1:]
    alone = [firsts(arms, size, where) for _ in range(3)]
    for name in arms:
        columns = [(measured, 0), (measured, 1), (alone, 0), (alone, 1)]
        numbers = "".join(f"{cell(rounds, name, clock):>18}" for rounds, clock in columns)
        print(f"{size:<8}{name:<20}{numbers}", flush=True)


def cell(rounds: list[dict[str, Pair]], name: str, which: int) -> str:
    """Return `12.3 (x4.56)`: milliseconds, and the ratio to the first arm."""
    ratio = median(each[name][which] / each["load_file and add"][which] for each in rounds)
    return f"{1e3 * median(each[name][which] for each in rounds):.1f} (x{ratio:.2f})"


def path_of(store: Store, name: str) -> str:
    """Return the file of a vector's blob."""
    digest = store.resolve(name).blobs[0].digest.removeprefix("sha256:")
    return f"{store.blobs.root}/sha256/{digest[:2]}/{digest}"  # type: ignore[attr-defined]


def added(paths: list[str]) -> dict[str, object]:
    """Return the sums that numpy makes of what safetensors loads."""
    total: dict[str, np.ndarray] = {}
    for path in paths:
        for name, tensor in load_file(path).items():
            total[name] = total[name] + tensor if name in total else tensor
    return dict(total)


def opened(paths: list[str]) -> dict[str, object]:
    """Return the same from tensors that are fetched one by one, added in place."""
    total: dict[str, np.ndarray] = {}
    for path in paths:
        with safe_open(path, "numpy") as file:
            for name in file.keys():  # noqa: SIM118 - not a mapping
                if name in total:
                    total[name] += file.get_tensor(name)
                else:
                    total[name] = file.get_tensor(name)
    return dict(total)


def timed(work: Callable[[], object]) -> Pair:
    """Return the seconds that `work` takes, by wall clock and of CPU time."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def firsts(arms: dict[str, Callable[[], object]], size: str, where: tuple[str, str]) -> dict[str, Pair]:
    """Return the CPU time of each arm as the first and as the second work of a process."""
    command = [sys.executable, "-m", "benchmarks.bench_compose", "--child", *where, size]
    done = {name: subprocess.run([*command, name], capture_output=True, check=True) for name in arms}  # noqa: S603
    return {name: tuple(map(float, process.stdout.split())) for name, process in done.items()}  # type: ignore[misc]


def first(url: str, blobs: str, size: str, arm: str) -> Pair:
    """Return what one arm takes here, twice; opening the library is not counted."""
    text = " + ".join(names_of(size))
    if not arm.startswith("compose"):
        paths = json.loads(Path(f"{blobs}-{size}.json").read_text())
        work = added if arm.startswith("load") else opened
        return timed(lambda: work(paths))[1], timed(lambda: work(paths))[1]
    with Store.open(url, blobs=blobs) as store:
        wanted = Recipe.from_bytes(Path(f"{blobs}-{size}.recipe").read_bytes()) if arm.endswith("recipe") else text
        return timed(lambda: compose(store, wanted))[1], timed(lambda: compose(store, wanted))[1]


def profile(work: Callable[[], object]) -> None:
    """Print where the time goes."""
    profiler = cProfile.Profile()
    profiler.runcall(work)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(35)
    pstats.Stats(profiler).sort_stats("cumtime").print_stats(60)


if __name__ == "__main__":
    main()
