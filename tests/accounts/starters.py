"""What a process of its own does when a service starts."""

from __future__ import annotations

from multiprocessing.synchronize import Barrier
from pathlib import Path

from vectorstore.accounts.first import make_admin
from vectorstore.store import Store


def start(url: str, blobs: str, barrier: Barrier, numbers: list[int]) -> None:
    """Make the administrator at the same moment as the others; keep what came back in a file."""
    with Store.open(url, blobs=blobs) as store:
        barrier.wait()
        Path(f"{blobs}-{numbers[0]}.first").write_text(make_admin(store) or "")
