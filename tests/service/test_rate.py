"""How many requests somebody may make, asked in many threads at once."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from vectorstore.service.rate import Rate

THREADS, EACH = 8, 3000
PER_MINUTE, BUCKET = 60, 10


@pytest.fixture
def often() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("often")
def test_many_threads_admit_no_more_than_one_would():
    rate, began = Rate(PER_MINUTE), time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        admitted = sum(pool.map(lambda _: sum(rate.admits("ann") for _ in range(EACH)), range(THREADS)))
    assert BUCKET <= admitted <= BUCKET + (time.monotonic() - began) * PER_MINUTE / 60 + 1
