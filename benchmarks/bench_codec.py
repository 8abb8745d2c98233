"""What refusing a hostile blob costs at its worst: time, and memory beyond the mapped file.

    python -m benchmarks.bench_codec [--rounds N]

Each blob is written to a file, and read by a process of its own, as often as there are rounds: the time is the median
of CPU time, and the memory is the most that Python and numpy held at once in one more round. For scale, the last lines
give what the largest valid blobs cost.
"""

from __future__ import annotations

import argparse
import mmap
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path
from statistics import median

from tests.worst_blobs import HEADERS, VALUES, last_value
from vectorstore.codec import DTYPES, unpack
from vectorstore.errors import IntegrityError


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(*measured(options.child, options.rounds))
        return
    valid = {f"accepted, {dtype}": lambda dtype=dtype: last_value(dtype, 0.0) for dtype in DTYPES}
    print(f"{'blob':<48}{'MiB':>8}{'CPU ms':>8}{'MB':>8}  answer")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "blob"
        for name, make in {**HEADERS, **VALUES, **valid}.items():
            path.write_bytes(make())
            command = [sys.executable, "-m", "benchmarks.bench_codec", f"--child={path}", f"--rounds={options.rounds}"]
            done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - ourselves
            milliseconds, megabytes, answer = done.stdout.split(maxsplit=2)
            size = path.stat().st_size / 2**20
            print(f"{name:<48}{size:>8.2f}{milliseconds:>8}{megabytes:>8}  {answer.strip()[:60]}", flush=True)


def measured(path: Path, rounds: int) -> tuple[str, str, str]:
    """Return milliseconds, megabytes and the answer."""
    with path.open("rb") as file:
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    times, answers = zip(*(answered(view) for _ in range(rounds)), strict=True)
    tracemalloc.start()
    answered(view)
    return f"{1e3 * median(times):.1f}", f"{tracemalloc.get_traced_memory()[1] / 1e6:.1f}", answers[0]


def answered(view: memoryview) -> tuple[float, str]:
    """Return how long an answer takes, and the answer."""
    start = time.process_time()
    try:
        unpack(view)
    except IntegrityError as error:
        answer = error.problem
    else:
        answer = "accepted"
    return time.process_time() - start, answer


if __name__ == "__main__":
    main()
