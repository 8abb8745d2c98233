"""Programs that work on one library all at once, and the journals in which each says what was acknowledged.

A deleter writes what it is about to delete before it does: a version that nobody meant to delete must be there.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.builders import make_card, make_vector
from vectorstore.compose import pin
from vectorstore.errors import ConflictError, NotFoundError, UnavailableError
from vectorstore.store import Store
from vectorstore.store import save as saving
from vectorstore.store.upkeep.fsck import check
from vectorstore.store.upkeep.gc import collect

LEASE = timedelta(seconds=2)  # so that gc finds something within seconds; every program of a soak has it
NAMES = ("love", "hate", "acme/joy")
SHARED_SEEDS = 6  # vectors that all savers save under all names: shared, deleted, collected, and saved again
Entry = dict[str, Any]


@dataclass
class Shift:
    """One program's work: its library, when it ends, and its journal."""

    store: Store
    folder: Path
    role: str
    end: float
    chance: random.Random

    def rounds(self) -> Iterator[int]:
        number = 0
        while time.monotonic() < self.end:
            yield number
            number += 1

    def note(self, done: str, **entry: object) -> None:
        with (self.folder / f"{self.role}.journal").open("a") as file:
            file.write(json.dumps({"role": self.role, "done": done, **entry}) + "\n")

    def anyone(self, least: int = 1) -> str | None:
        """Return a reference to some version that is there now, of a name that has so many at least."""
        with suppress(NotFoundError):
            page = self.store.history(self.chance.choice(NAMES), limit=30).versions
            return str(self.chance.choice(page)) if len(page) >= least else None
        return None


def save_vectors(shift: Shift) -> None:
    for number in shift.rounds():
        shared = shift.chance.random() < 0.6
        seed = shift.chance.randrange(SHARED_SEEDS) if shared else 1000 * (1 + int(shift.role[-1])) + number
        vector, name = make_vector(3, seed=seed), shift.chance.choice(NAMES)
        try:
            saved = shift.store.save(name, vector, make_card(vector))
        except UnavailableError as error:
            shift.note(late(error))
        else:
            done = "saved" if saved.created else "was there"
            shift.note(done, reference=str(saved.version), digest=saved.version.digest, seed=seed)


def save_recipes(shift: Shift) -> None:
    for number in shift.rounds():
        if (reference := shift.anyone()) is None:
            continue
        try:
            recipe = pin(shift.store, f"{number + 2}*{reference.removeprefix('default/')}")
            version = shift.store.save_recipe("mix", recipe).version
        except (NotFoundError, ConflictError):  # deleted since
            shift.note("recipe too late")
        except UnavailableError as error:
            shift.note(late(error))
        else:
            shift.note("recipe", reference=str(version), digest=version.digest, seed=None)
        time.sleep(0.2)  # else everything would soon be pinned


def late(error: UnavailableError) -> str:
    """Return a word for the one thing that may make a save fail here: leases are short, and the machine is busy."""
    return "too slow" if "longer than its lease" in error.problem else str(error)


def move(shift: Shift) -> None:
    changes: dict[str, Callable[[str], object]] = {
        "alias": lambda reference: shift.store.set_alias(reference, "prod"),
        "yank": shift.store.yank,
        "restore": shift.store.restore,
        "label": lambda reference: shift.store.set_label(reference, "topic", str(time.monotonic())),
    }
    for _ in shift.rounds():
        if (reference := shift.anyone()) is None:
            continue
        what = shift.chance.choice(list(changes))
        try:
            changes[what](reference)
        except NotFoundError:
            what = "change too late"
        shift.note(what)


def delete(shift: Shift) -> None:
    for _ in shift.rounds():
        if (reference := shift.anyone(least=3)) is None:
            continue
        shift.note("meant to delete", reference=reference)
        try:
            shift.store.delete(reference)
        except NotFoundError:
            shift.note("deleted by another", reference=reference)
        except ConflictError:
            shift.note("pinned", reference=reference)
        else:
            shift.note("deleted", reference=reference)


def take_away(shift: Shift) -> None:
    for _ in shift.rounds():
        shift.note("gc", blobs=len(collect(shift.store, apply=True, grace=timedelta(0)).blobs))


def read(shift: Shift) -> None:
    """Read what was acknowledged, held as a version for a while or asked for anew."""
    held = []
    for _ in shift.rounds():
        known = [entry for entry in journals(shift.folder) if entry["done"] in ("saved", "was there")][-60:]
        if not known:
            continue
        entry = shift.chance.choice(known)
        with suppress(NotFoundError):
            held.append((entry, shift.store.resolve(entry["reference"])))
        entry, version = held.pop(0) if len(held) > 20 else (entry, entry["reference"])
        try:
            vector, _ = shift.store.read(version)
        except NotFoundError as error:
            shift.note("read too late" if "was deleted on" in error.problem else str(error), reference=str(version))
        else:
            assert vector == make_vector(3, seed=entry["seed"]), f"{entry} is another vector"
            shift.note("read")


def look_over(shift: Shift) -> None:
    for number in shift.rounds():
        problems = check(shift.store, full=number % 2 == 0).problems
        assert problems == [], problems
        shift.note("fsck")


def work(url: str, blobs: str, folder: str, role: str, seconds: float) -> None:
    """Work in a role for some time; anything that should not happen ends it with a traceback and exit code 1."""
    saving.LEASE = LEASE
    with Store.open(url, blobs=blobs) as store:
        ROLES[role](Shift(store, Path(folder), role, time.monotonic() + seconds, random.Random(role)))  # noqa: S311 - chance, no secret


def journals(folder: Path) -> list[Entry]:
    """Return what all programs have written, each in its order; a line that is being written is left for later."""
    lines = (line for path in sorted(folder.glob("*.journal")) for line in path.read_text().splitlines(keepends=True))
    return [json.loads(line) for line in lines if line.endswith("\n")]


ROLES: dict[str, Callable[[Shift], None]] = {
    "saver1": save_vectors,
    "saver2": save_vectors,
    "recipes": save_recipes,
    "mover": move,
    "deleter1": delete,
    "deleter2": delete,
    "gc": take_away,
    "reader1": read,
    "reader2": read,
    "fsck": look_over,
}
