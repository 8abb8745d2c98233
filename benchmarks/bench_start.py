"""How long `steer list` and `steer --help` take from the shell, next to importing what they are built on.

    python -m benchmarks.bench_start [--rounds N]

The library has 50 versions, which is a whole page. The commands run in turn, and each round's ratio is taken by itself;
the last column is the median of the ratios.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from statistics import median

from benchmarks.catalogue_data import Catalogue
from benchmarks.catalogue_load import load_sqlite
from vectorstore.store.database import upgrade

VERSIONS = 100
YARDSTICK = [sys.executable, "-c", "import click, sqlalchemy"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    steer = shutil.which("steer", path=Path(sys.executable).parent) or "steer"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "library.db"
        upgrade(f"sqlite:///{path}")
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            load_sqlite(connection, Catalogue(VERSIONS))
        commands = {
            "import click, sqlalchemy": YARDSTICK,
            "steer --help": [steer, "--help"],
            "steer list": [steer, "list"],
            "steer list --json": [steer, "list", "--json"],
            "steer list --label lang=en --text w1": [steer, "list", "--label", "lang=en", "--text", "w1"],
        }
        environment = {**os.environ, "STEER_HOME": folder}
        times = [{name: spent(command, environment) for name, command in commands.items()} for _ in range(rounds + 1)][
            1:
        ]
    print(f"{'command':<40}{'CPU ms':>8}{'wall ms':>9}{'CPU ratio':>11}{'wall ratio':>12}")
    yardstick = next(iter(commands))
    for name in commands:
        cpu, wall = (1e3 * median(row[name][kind] for row in times) for kind in (0, 1))
        ratios = (median(row[name][kind] / row[yardstick][kind] for row in times) for kind in (0, 1))
        print(f"{name:<40}{cpu:>8.0f}{wall:>9.0f}{next(ratios):>10.2f}x{next(ratios):>11.2f}x")


def spent(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Return the CPU and wall seconds of a command."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)  # noqa: S603 - ourselves
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.perf_counter() - began


if __name__ == "__main__":
    main()
