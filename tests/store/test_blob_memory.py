"""Reading many small blobs again finds the memory of the first time."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from vectorstore.store.blobs.local_blobs import LocalBlobs

COUNT, SIZE = 100, 17_000
READER = """
import resource, sys
from pathlib import Path
from vectorstore.store.blobs.local_blobs import LocalBlobs

blobs, size, digests = LocalBlobs(Path(sys.argv[1])), int(sys.argv[2]), sys.argv[3:]
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    views = [blobs.open(digest, size) for digest in digests]
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    del views
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have rules of their own")
def test_small_blobs_that_are_read_again_take_no_new_pages(tmp_path: Path):
    blobs = LocalBlobs(tmp_path)
    digests = []
    for number in range(COUNT):
        staged = blobs.stage(number.to_bytes(4, "little") * (SIZE // 4))
        staged.publish()
        digests.append(staged.digest)
    command = [sys.executable, "-c", READER, str(tmp_path), str(SIZE), *digests]
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(command, capture_output=True, check=True, env=settings)
    first, *again = map(int, done.stdout.split())
    assert first > COUNT  # they are 4 pages each
    assert max(again) < COUNT // 2
