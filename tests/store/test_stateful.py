"""The store against a plain dictionary: whatever is done in whatever order, both say the same.

For longer: STATEFUL_EXAMPLES=1000 scripts/test tests/store/test_stateful.py
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import update

from tests.builders import make_card, make_vector
from tests.store.emptied import empty
from tests.store.model import Entry, Model
from vectorstore.compose import pin
from vectorstore.errors import ConflictError, NotFoundError
from vectorstore.preset import Preset
from vectorstore.store import Store
from vectorstore.store.schema import BlobRow
from vectorstore.store.upkeep.fsck import check
from vectorstore.store.upkeep.gc import collect

EXAMPLES = int(os.environ.get("STATEFUL_EXAMPLES", "0"))
NAMES = st.sampled_from(["love", "hate", "acme/joy"])
SEEDS = st.integers(0, 3)
WORDS = st.sampled_from(["", "quick", "slow"])
ALIASES = st.sampled_from(["prod", "best"])
KEYS = st.sampled_from(["topic", "status"])
PRESETS = st.sampled_from(["mild", "strong"])
CHOICE = st.integers(0, 1000)
SOME = precondition(lambda machine: machine.model.alive())


class Comparison(RuleBasedStateMachine):
    """Does everything twice: to a library, and to a dictionary."""

    def __init__(self, open_empty: Callable[[], Store]) -> None:
        super().__init__()
        self.store = open_empty()
        self.model = Model()

    def teardown(self) -> None:
        self.store.close()

    def pick(self, choice: int) -> Entry:
        alive = self.model.alive()
        return alive[choice % len(alive)]

    @rule(name=NAMES, seed=SEEDS, description=WORDS)
    def save(self, name: str, seed: int, description: str) -> None:
        vector = make_vector(3, seed=seed)
        save = lambda: self.store.save(name, vector, make_card(vector), description=description)
        if self.model.kinds.get(name) == "recipe":
            with pytest.raises(ConflictError, match="choose another name"):
                save()
            return
        before = self.model.saved
        entry = self.model.save(name, "vector", (str(seed), description), description)
        self.compare(entry, save(), created=self.model.saved > before)

    @SOME
    @rule(name=st.sampled_from(["mix", "love", "acme/joy"]), choice=CHOICE, coefficient=st.integers(1, 2))
    def save_recipe(self, name: str, choice: int, coefficient: int) -> None:
        target = self.pick(choice)
        words = f"{coefficient}*{target.reference}"
        save = lambda: self.store.save_recipe(name, pin(self.store, words))
        if self.model.kinds.get(name) == "vector":
            with pytest.raises(ConflictError, match="choose another name"):
                save()
            return
        before = self.model.saved
        entry = self.model.save(name, "recipe", (words, target.digest), "", target.reference)
        self.compare(entry, save(), created=self.model.saved > before)

    def compare(self, entry: Entry, saved, *, created: bool) -> None:
        assert (saved.version.reference, saved.created) == (entry.reference, created)
        assert entry.digest in ("", saved.version.digest)
        entry.digest = saved.version.digest

    @SOME
    @rule(choice=CHOICE)
    def yank(self, choice: int) -> None:
        entry = self.pick(choice)
        assert self.store.yank(entry.reference).yanked
        entry.yanked = True

    @SOME
    @rule(choice=CHOICE)
    def restore(self, choice: int) -> None:
        entry = self.pick(choice)
        assert not self.store.restore(entry.reference).yanked
        entry.yanked = False

    @SOME
    @rule(choice=CHOICE)
    def delete(self, choice: int) -> None:
        entry = self.pick(choice)
        if users := self.model.users(entry):
            with pytest.raises(ConflictError, match="is needed by") as caught:
                self.store.delete(entry.reference)
            assert all(user.reference in caught.value.problem for user in users[:10])
            return
        assert self.store.delete(entry.reference).digest == entry.digest
        self.model.delete(entry)

    @SOME
    @rule(choice=CHOICE, alias=ALIASES)
    def set_alias(self, choice: int, alias: str) -> None:
        entry = self.pick(choice)
        assert alias in self.store.set_alias(entry.reference, alias).aliases
        self.model.aliases[entry.name][alias] = entry

    @SOME
    @rule(choice=CHOICE, alias=ALIASES)
    def remove_alias(self, choice: int, alias: str) -> None:
        name = self.pick(choice).name
        if alias in self.model.aliases[name]:
            entry = self.model.aliases[name].pop(alias)
            assert self.store.remove_alias(name, alias).reference == entry.reference
        else:
            with pytest.raises(NotFoundError, match="has no alias"):
                self.store.remove_alias(name, alias)

    @SOME
    @rule(choice=CHOICE, key=KEYS, value=st.sampled_from(["a", "b"]))
    def set_label(self, choice: int, key: str, value: str) -> None:
        entry = self.pick(choice)
        assert self.store.set_label(entry.reference, key, value).labels[key] == value
        entry.labels[key] = value

    @SOME
    @rule(choice=CHOICE, key=KEYS)
    def remove_label(self, choice: int, key: str) -> None:
        entry = self.pick(choice)
        if entry.labels.pop(key, None) is not None:
            assert key not in self.store.remove_label(entry.reference, key).labels
        else:
            with pytest.raises(NotFoundError, match="has no label"):
                self.store.remove_label(entry.reference, key)

    @SOME
    @rule(choice=CHOICE, name=PRESETS, coefficient=st.sampled_from(["2", "0.15r"]))
    def set_preset(self, choice: int, name: str, coefficient: str) -> None:
        entry = self.pick(choice)
        if self.model.kinds[entry.name] == "recipe":  # what units a recipe can take is a matter of its own
            return
        self.store.set_preset(entry.reference, name, coefficient)
        entry.presets[name] = coefficient

    @SOME
    @rule(choice=CHOICE, name=PRESETS)
    def remove_preset(self, choice: int, name: str) -> None:
        entry = self.pick(choice)
        if entry.presets.pop(name, None) is not None:
            assert name not in self.store.remove_preset(entry.reference, name).presets
        else:
            with pytest.raises(NotFoundError, match="has no preset"):
                self.store.remove_preset(entry.reference, name)

    @SOME
    @rule(choice=CHOICE, description=WORDS)
    def describe(self, choice: int, description: str) -> None:
        entry = self.pick(choice)
        assert self.store.set_description(entry.reference, description).description == description
        entry.description = description

    @rule()
    def collect(self) -> None:
        with self.store.database.write() as session:
            session.execute(update(BlobRow).values(leased_until=datetime.now(UTC) - timedelta(days=1)))
        collect(self.store, apply=True, grace=timedelta(0))
        needed = {digest for entry in self.model.alive() for digest in self.digests(entry)}
        assert {stored.digest for stored in self.store.blobs.all()} == needed

    def digests(self, entry: Entry) -> list[str]:
        return [entry.digest, *(blob.digest for blob in self.store.resolve(entry.reference).blobs)]

    @rule()
    def reopen(self) -> None:
        url, root = self.store.database.url, self.store.blobs.root  # type: ignore[attr-defined]
        self.store.close()
        self.store = Store.open(url.render_as_string(hide_password=False), blobs=str(root), create=False)

    @rule()
    def check(self) -> None:
        checked = check(self.store, full=True)
        assert checked.problems == []
        assert checked.versions == len(self.model.alive())

    @rule(description=WORDS.filter(bool), key=KEYS, value=st.sampled_from(["a", "b"]))
    def list(self, description: str, key: str, value: str) -> None:
        listed = list(self.model.listed())
        for found, expected in (
            (self.store.list(), listed),
            (self.store.list(sort="oldest"), listed[::-1]),
            (self.store.list(kind="recipe"), [e for e in listed if self.model.kinds[e.name] == "recipe"]),
            (self.store.list(labels={key: value}), [e for e in listed if e.labels.get(key) == value]),
            (self.store.list(text=description), [e for e in listed if e.description == description]),
        ):
            assert [version.reference for version in found] == [entry.reference for entry in expected]

    @invariant()
    def every_reference_means_what_it_should(self) -> None:
        for name, entries in self.model.versions.items():
            alive = self.model.alive(name)
            history = self.store.history(name).versions
            assert [version.number for version in history] == [entry.number for entry in reversed(alive)]
            for version, entry in zip(reversed(history), alive, strict=True):
                aliases = {alias for alias, meant in self.model.aliases[name].items() if meant is entry}
                assert (version.digest, version.yanked, set(version.aliases)) == (entry.digest, entry.yanked, aliases)
                assert (version.description, version.labels) == (entry.description, entry.labels)
                assert version.presets == {name: Preset.parse(words) for name, words in entry.presets.items()}
            self.require(name, self.model.newest(name))
            self.require(entries[-1].reference, None if entries[-1].deleted else entries[-1])
            self.require(f"{name}@{len(entries) + 1}", None)
            for alias in ("prod", "best"):
                self.require(f"{name}@{alias}", self.model.aliases[name].get(alias))
            for entry in alive[-1:]:
                self.require(f"{name}@{entry.digest}", entry)
                self.require(f"{name}@{entry.digest[:25]}", entry)

    def require(self, reference: str, expected: Entry | None) -> None:
        if expected is None:
            with pytest.raises(NotFoundError):
                self.store.read(reference)
            return
        assert self.store.resolve(reference).digest == expected.digest
        if self.model.kinds[expected.name] == "vector":
            assert self.store.read(reference)[0] == make_vector(3, seed=int(expected.key[0]))
        else:
            assert self.store.read_recipe(reference).text == expected.key[0]


def test_the_store_does_what_a_dictionary_does(
    library_url: str, blobs_folder: Path, backend: str, sqlite_template: Path
):
    def open_empty() -> Store:
        empty(library_url, sqlite_template)
        shutil.rmtree(blobs_folder, ignore_errors=True)
        return Store.open(library_url, blobs=str(blobs_folder), create=False)

    run_state_machine_as_test(
        lambda: Comparison(open_empty),
        settings=settings(
            max_examples=EXAMPLES or {"sqlite": 25, "postgresql": 10}[backend],
            stateful_step_count=25,
            derandomize=not EXAMPLES,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
