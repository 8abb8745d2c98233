"""A program of ours with every thread under cProfile: `python -m benchmarks.profiled FILE serve --port 8000`.

Times are those of the CPU. They are written once it is told to stop (SIGTERM), for `python -m pstats FILE`.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import signal
import sys
import threading
import time

from cli.main import main


class ThreadProfile(cProfile.Profile):
    """What one thread does."""

    def create_stats(self) -> None:
        """Take what is finished, from any thread; the clock of another one would end what is not."""
        self.snapshot_stats()


_profiles: list[ThreadProfile] = []


def begin(*_event: object) -> None:
    """Profile the thread that calls this; each thread does, at its first event."""
    profile = ThreadProfile(time.thread_time)
    _profiles.append(profile)
    profile.enable()


def write(path: str) -> None:
    """Write what all threads did."""
    figures = pstats.Stats(_profiles[0])
    for profile in _profiles[1:]:
        figures.add(profile)
    figures.dump_stats(path)
    os._exit(0)  # other threads are still profiled


if __name__ == "__main__":
    out = sys.argv.pop(1)
    signal.signal(signal.SIGTERM, lambda *_: write(out))
    threading.setprofile(begin)
    begin()
    main()
