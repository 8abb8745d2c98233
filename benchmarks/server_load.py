"""Load: requests to a registry, and the CPU, time and syncs that they take."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import quantiles

from benchmarks.registries import Registry, Vector
from benchmarks.server_process import cpu_of, tree_of

STRACE = shutil.which("strace")
Work = Callable[[], object]


class Load:
    """What some requests took, in all.

    Attributes:
        server, database: seconds of CPU.
        walls: the seconds that each took.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.server, self.database, self.walls = 0.0, 0.0, list[float]()

    def add(self, other: Load) -> None:
        """Add what others took."""
        self.server += other.server
        self.database += other.database
        self.walls += other.walls

    def figures(self) -> list[str]:
        """Return the milliseconds of one: CPU of the server and of its database, and median and 95th percentile."""
        cuts, count = quantiles(self.walls, n=20), len(self.walls)
        database = f"{1e3 * self.database / count:.1f}" if self.database else ""
        return [f"{1e3 * self.server / count:.1f}", database, f"{1e3 * cuts[9]:.1f}", f"{1e3 * cuts[18]:.1f}"]


def load(registry: Registry, works: Sequence[Work]) -> Load:
    """Do this, and measure it."""
    found, database = Load(), registry.database
    server, beside = cpu_of(registry.server.pid), cpu_of(database) if database else 0.0
    for work in works:
        started = time.perf_counter()
        work()
        found.walls.append(time.perf_counter() - started)
    found.server = cpu_of(registry.server.pid) - server
    found.database = cpu_of(database) - beside if database else 0.0
    return found


def together(registry: Registry, vectors: Sequence[Vector], writers: int) -> tuple[float, int]:
    """Push vectors by so many writers at once; return the seconds, and how many pushes failed."""
    gate, failed = threading.Barrier(writers + 1), list[Exception]()

    def write(number: int) -> None:
        wire = registry.wire()
        gate.wait()
        for vector in vectors[number::writers]:
            try:
                registry.push(wire, vector)
            except (OSError, RuntimeError) as error:
                failed.append(error)
                wire = registry.wire()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    gate.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started, len(failed)


def syncs(registry: Registry, works: Sequence[Work], trace: Path) -> str:
    """Return how many fsync and fdatasync one of these takes, as strace sees them."""
    if STRACE is None:
        return "no strace"
    pids = [pid for root in (registry.server.pid, registry.database) if root for pid in tree_of(root)]
    looks = [STRACE, "-f", "-e", "trace=fsync,fdatasync", "-o", str(trace), *(f"-p{pid}" for pid in pids)]
    with subprocess.Popen(looks, stderr=subprocess.DEVNULL) as strace:  # noqa: S603 - a program that counts
        time.sleep(1)  # until it has attached
        for work in works:
            work()
        strace.send_signal(signal.SIGINT)
    found = re.findall(r"(?:fsync|fdatasync)\(", trace.read_text(encoding="utf-8"))
    return f"{len(found) / len(works):.1f}"
