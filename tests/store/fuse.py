"""Fuse: kills a program in the middle of its work, as a power cut or `kill -9` would."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from tests.builders import make_card, make_vector
from tests.store.writers import run
from vectorstore.compose import pin
from vectorstore.store import Store
from vectorstore.store.database import upgrade
from vectorstore.store.upkeep.backup import backup
from vectorstore.store.upkeep.gc import collect
from vectorstore.store.upkeep.rebuild import rebuild

# Above 64 KiB they are a blob of their own.
MANY_ITEMS = tuple({"positive": f"{number}{'x' * 40_000}", "negative": " "} for number in range(2))


class Fuse:
    """Kills its process at the n-th step: fsync, rename, unlink or commit, before and after it."""

    def __init__(self, step: int, *, statements: bool = False) -> None:
        """Kill at `step`; count SQL statements as steps too with `statements`."""
        self.step = step
        self.count = 0
        self.statements = statements

    def burn(self, *_: object) -> None:
        self.count += 1
        if self.count == self.step:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def fused(*args: object, **options: object) -> object:
            self.burn()
            result = function(*args, **options)
            self.burn()
            return result

        return fused

    def install(self) -> None:
        os.fsync = self.around(os.fsync)
        Path.replace = self.around(Path.replace)  # type: ignore[method-assign]
        Path.unlink = self.around(Path.unlink)  # type: ignore[method-assign]
        event.listen(Engine, "commit", self.burn)  # before it reaches the database
        event.listen(Session, "after_commit", self.burn)
        if self.statements:
            event.listen(Engine, "before_cursor_execute", self.burn)


Action = Callable[[Store, str], str]


def save(store: Store, seed: str) -> str:
    vector = make_vector((2, 3), seed=int(seed))
    return str(store.save("love", vector, make_card(vector, items=MANY_ITEMS), labels={"seed": seed}).version)


def save_recipe(store: Store, coefficient: str) -> str:
    return str(store.save_recipe("mix", pin(store, f"{coefficient}*love@1")).version)


def delete(store: Store, reference: str) -> str:
    return str(store.delete(reference))


def yank(store: Store, reference: str) -> str:
    return str(store.yank(reference))


def set_alias(store: Store, reference: str) -> str:
    return str(store.set_alias(reference, "prod"))


def take_away(store: Store, _: str) -> str:
    return " ".join(collect(store, apply=True, grace=timedelta(0)).blobs)


def make_backup(store: Store, folder: str) -> str:
    return str(backup(store, folder).versions)


def make_again(store: Store, _: str) -> str:
    return " ".join(rebuild(store).versions)


def killed(step: int, url: str, blobs: Path, action: Action, argument: str = "") -> tuple[bool, str]:
    """Act on a library, and be killed at a step; return whether that was so, and what else was acknowledged."""
    journal = blobs.parent / "journal"
    journal.unlink(missing_ok=True)
    code = run(_act, step, url, str(blobs), action, argument, str(journal))
    said = journal.read_text() if journal.exists() else ""
    assert code == -signal.SIGKILL or (code == 0 and said), f"exit code {code} at step {step}"
    return code != 0, said


def _act(  # noqa: PLR0913, PLR0917 - a process is started with all it needs
    step: int, url: str, blobs: str, action: Action, argument: str, journal: str
) -> None:
    fuse = Fuse(step)
    with Store.open(url, blobs=blobs) as store:
        fuse.install()
        said = action(store, argument)
        fuse.step = 0
        Path(journal).write_text(said or "nothing")


def open_until_killed(url: str, blobs: str, step: int) -> None:
    """Make a library of an empty database, or be killed while doing so."""
    Fuse(step).install()
    Store.open(url, blobs=blobs).close()


def upgrade_until_killed(url: str, step: int) -> None:
    """Upgrade a library, or be killed before a statement or commit."""
    Fuse(step, statements=True).install()
    upgrade(url)
