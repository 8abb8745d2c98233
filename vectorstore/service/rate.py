"""Rate: how many requests somebody may still make. Each process counts for itself."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from threading import Lock

KNOWN = 10_000


class Rate:
    """A bucket of tokens for each client: it fills evenly, and holds those of ten seconds."""

    def __init__(self, per_minute: int) -> None:
        """Admit so many requests per minute of each client; all of them where it is 0."""
        self._per_second = per_minute / 60
        self._most = max(10.0, per_minute / 6)
        self._buckets: OrderedDict[bytes, tuple[float, float]] = OrderedDict()
        self._lock = Lock()  # those with a token are counted in the threads that look it up

    def admits(self, client: str) -> bool:
        """Return whether a client may make one more request now."""
        if not self._per_second:
            return True
        now, key = time.monotonic(), hashlib.blake2b(client.encode(), digest_size=16).digest()  # no tokens in memory
        with self._lock:
            left, then = self._buckets.pop(key, (self._most, now))
            left = min(self._most, left + (now - then) * self._per_second)
            admitted = left >= 1
            self._buckets[key] = (left - 1 if admitted else left, now)
            while len(self._buckets) > KNOWN:
                self._buckets.popitem(last=False)
        return admitted
