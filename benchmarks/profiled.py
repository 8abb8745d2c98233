"""A program of ours with every thread under cProfile: `python -m benchmarks.profiled FILE serve --port 8000`.

The figures are written once it is told to stop (SIGTERM), for `python -m pstats FILE`.
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

_profiles: list[cProfile.Profile] = []


def begin(*_event: object) -> None:
    """Profile the thread that calls this; each thread does, at its first event."""
    profile = cProfile.Profile(time.thread_time)  # waiting is not counted
    _profiles.append(profile)
    profile.enable()


def write(path: str) -> None:
    """Write what all threads did."""
    _profiles[0].disable()
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
