"""Downloads of 64 MB from the service, next to a bare uvicorn with Starlette's FileResponse, and docker-registry.

    python -m benchmarks.bench_download [--rounds N]

One after another over one open connection, by a client that keeps nothing; the service asks for a token, and looks up
whether a version that the caller may see has the bytes. Memory is what a process has before the first download,
and how much more it ever had until after the last.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import fmean, median

import numpy as np

from benchmarks.registries import DOCKER_REGISTRY, Vector, oci, ours
from benchmarks.rounds import interleaved, print_table, ratios, spread
from benchmarks.server_process import ServerProcess, Wire, cpu_of, forget_peak, free_port, peak_memory
from tests.builders import make_card, make_identity
from vectorstore.place import Place
from vectorstore.store import Store
from vectorstore.vector import SteeringVector

LAYERS, POSITIONS, WIDTH = 16, 244, 4096  # 64.0 MB in float32
BARE = """
import sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import FileResponse, Response
from starlette.routing import Route
file = Route("/file", lambda request: FileResponse(sys.argv[1]))
app = Starlette(routes=[file, Route("/ready", lambda request: Response())])
uvicorn.run(app, port=int(sys.argv[2]), access_log=False)
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pg-download-") as root, ExitStack() as stack:
        folder = Path(root)
        arms = dict(started(stack, folder, made(folder)))
        walls = interleaved({name: arm.get for name, arm in arms.items()}, options.rounds)
        rows = []
        for name, arm in arms.items():
            middle, quartiles = spread(ratios(walls, name, "bare FileResponse"))
            times = [f"{1e3 * each:.0f}" for each in (median(walls[name]), fmean(arm.busy[1:]))]
            grown = peak_memory(arm.server.pid) - arm.before
            rows.append([name, times[0], middle, quartiles, times[1], f"{arm.before / 1e6:.0f}", f"{grown / 1e6:.1f}"])
        print_table(["", "p50 ms", "ratio", "quartiles", "CPU ms", "memory before, MB", "growth, MB"], rows)


class Arm:
    """Bytes at a server."""

    def __init__(self, server: ServerProcess, wire: Wire, path: str, size: int) -> None:
        """Say where they are."""
        self.server, self._ask = server, partial(wire.drain, path, memoryview(bytearray(1 << 20)))
        forget_peak(server.pid)
        self._size, self.busy, self.before = size, list[float](), peak_memory(server.pid)

    def get(self) -> float:
        """Return the seconds that getting them takes."""
        busy, started = cpu_of(self.server.pid), time.perf_counter()
        size = self._ask()
        seconds = time.perf_counter() - started
        self.busy.append(cpu_of(self.server.pid) - busy)
        if size != self._size:
            raise RuntimeError(f"{size} bytes came, of {self._size}")
        return seconds


def started(stack: ExitStack, folder: Path, vector: Vector) -> list[tuple[str, Arm]]:
    """Start the servers, each with the bytes."""
    file, port, size = folder / "bytes", free_port(), len(vector.data)
    file.write_bytes(vector.data)
    command = [sys.executable, "-c", BARE, str(file), str(port)]
    bare = stack.enter_context(ServerProcess(command, port, folder / "bare.log", ready="/ready"))
    arms = [("bare FileResponse", Arm(bare, Wire(port), "/file", size))]
    service = stack.enter_context(ours(folder, "SQLite"))
    service.push(service.wire(), vector)
    arms.append((service.name, Arm(service.server, service.wire(), f"/v1/team/blobs/{vector.digest}", size)))
    if DOCKER_REGISTRY:
        registry = stack.enter_context(oci(folder))
        registry.push(registry.wire(), vector)
        path = f"/v2/team/{vector.name}/blobs/{vector.digest}"
        arms.append((registry.name, Arm(registry.server, registry.wire(), path, size)))
    else:
        print("docker-registry: not installed")
    return arms


def made(folder: Path) -> Vector:
    """Return a large vector."""
    random = np.random.default_rng(0)
    places = [Place("resid_pre", layer) for layer in range(LAYERS)]
    vector = SteeringVector({place: random.standard_normal((POSITIONS, WIDTH), np.float32) for place in places})
    with Store.open(f"sqlite:///{folder}/elsewhere.db", blobs=str(folder / "elsewhere")) as store:
        card = make_card(vector, model=make_identity(width=WIDTH, layer_count=LAYERS))
        return Vector.of(store, store.save("large", vector, card).version, "1")


if __name__ == "__main__":
    main()
