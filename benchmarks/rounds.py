"""Rounds: arms measured one after another, again and again, and medians of what is within a round as a table.

A machine that slows down slows all arms of a round down, so that differences and ratios within it stay what they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median, quantiles

Arm = Callable[[], float]
"""Does what is measured, and returns how many seconds it took."""
Clock = Callable[[], float]
Measured = dict[str, list[float]]
"""The seconds of each arm, round by round."""


def interleaved(arms: Mapping[str, Arm], rounds: int) -> Measured:
    """Return what each arm takes; a first round is not counted, and each round begins with another arm."""
    names = list(arms)
    measured: Measured = {name: [] for name in names}
    for number in range(rounds + 1):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            seconds = arms[name]()
            if number:
                measured[name].append(seconds)
    return measured


def timed(work: Callable[[], object], clock: Clock = time.process_time) -> float:
    """Return the seconds that `work` takes; by default those of the CPU, which count all threads."""
    start = clock()
    work()
    return clock() - start


def ratios(measured: Measured, name: str, base: str) -> list[float]:
    """Return round by round how many times as long as `base` an arm takes."""
    return [seconds / floor for seconds, floor in zip(measured[name], measured[base], strict=True)]


def spread(values: Iterable[float], digits: int = 2) -> tuple[str, str]:
    """Return the median, and the quartiles, as a table shows them."""
    numbers = list(values)
    low, _, high = quantiles(numbers)
    return f"{median(numbers):.{digits}f}", f"{low:.{digits}f} to {high:.{digits}f}"


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table in Markdown; all columns but the first are numbers."""
    print(f"\n| {' | '.join(heads)} |")
    print(f"|{'|'.join(['---', *['---:'] * (len(heads) - 1)])}|")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)
