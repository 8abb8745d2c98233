"""Versions of other libraries come in whole, under their digests, or not at all."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.builders import make_card, make_vector
from vectorstore.canonical import digest
from vectorstore.codec import MAX_BLOB, pack
from vectorstore.compose import compose, pin
from vectorstore.errors import (
    ConflictError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    UnavailableError,
    VectorstoreError,
)
from vectorstore.manifest import (
    ITEMS_BLOB,
    MAX_MANIFEST,
    NAME_ANNOTATION,
    RECIPE_BLOB,
    VECTOR_BLOB,
    BlobEntry,
    Manifest,
)
from vectorstore.recipe import Recipe
from vectorstore.store import Store
from vectorstore.store.receive import MAX_NUMBER, Fetch, receive
from vectorstore.store.upkeep.fsck import check
from vectorstore.store.upkeep.gc import collect
from vectorstore.store.version import Version

MANY_ITEMS = tuple({"positive": f"{number:0200}", "negative": " "} for number in range(400))


class Sender:
    """Another library, and which of its blobs were asked for."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.asked: list[str] = []

    def save(self, name: str, seed: int = 0, **about) -> Version:
        vector = make_vector((2, 3), seed=seed)
        return self.store.save(name, vector, make_card(vector, items=MANY_ITEMS), **about).version

    def manifest(self, version: Version | str) -> bytes:
        found = version if isinstance(version, Version) else self.store.resolve(version)
        return next(file.read_bytes() for file in self.files() if digest(file.read_bytes()) == found.digest)

    def files(self) -> Iterator[Path]:
        return Path(self.store.blobs.root).glob("sha256/*/*")

    def fetch(self, entry: BlobEntry) -> Iterator[bytes]:
        self.asked.append(entry.digest)
        view = self.store.blobs.open(entry.digest, entry.size)
        yield from (bytes(view[at : at + 1000]) for at in range(0, entry.size, 1000))


@pytest.fixture
def sender(tmp_path: Path) -> Iterator[Sender]:
    with Store.open(f"sqlite:///{tmp_path}/sender.db", blobs=str(tmp_path / "sender")) as opened:
        yield Sender(opened)


def stays_empty(store: Store, manifest: bytes, fetch: Fetch, error: type[VectorstoreError], match: str) -> None:
    """Nothing of what is refused stays: no row, no file, no unfinished file."""
    with pytest.raises(error, match=match):
        receive(store, manifest, fetch)
    assert store.list().versions == ()
    assert list(store.blobs.all()) == []
    assert collect(store).blobs == ()
    tmp = Path(store.blobs.root) / "tmp"
    assert not tmp.exists() or list(tmp.iterdir()) == []
    assert check(store, full=True).ok


def test_a_version_arrives_as_it_was_saved(store: Store, sender: Sender):
    about = {"labels": {"topic": "love"}, "authors": ["Ann"], "license": "MIT", "presets": {"mild": "0.1r"}}
    sent = sender.save("acme/love", description="What it is.", **about)
    saved = receive(store, sender.manifest(sent), sender.fetch)
    assert saved.created
    assert saved.version.to_json() | {"created_at": ""} == sent.to_json() | {"created_at": ""}
    assert store.read("acme/love")[0] == sender.store.read("acme/love")[0]
    assert store.read("acme/love")[1] == sender.store.read("acme/love")[1]
    assert store.list(text="ann").versions == (saved.version,)
    assert check(store, full=True).ok


def test_the_same_version_again_is_the_one_that_is_here(store: Store, sender: Sender):
    manifest = sender.manifest(sender.save("love"))
    first = receive(store, manifest, sender.fetch).version
    again = receive(store, manifest, sender.fetch, number=7)
    assert (again.version, again.created) == (first, False)
    assert len(sender.asked) == 2


def test_bytes_that_are_here_are_not_fetched_and_another_name_keeps_the_digest(store: Store, sender: Sender):
    manifest = sender.manifest(sender.save("love"))
    first = receive(store, manifest, sender.fetch).version
    other = receive(store, manifest, sender.fetch, name="acme/amour")
    assert other.created
    assert (str(other.version), other.version.digest) == ("acme/amour@1", first.digest)
    assert len(sender.asked) == 2
    assert store.read("acme/amour")[0] == store.read("love")[0]
    store.delete("love@1")
    assert receive(store, manifest, sender.fetch, name="acme/amour").version == other.version
    assert check(store, full=True).ok


def test_numbers_are_kept_and_the_next_one_follows_the_highest(store: Store, sender: Sender):
    manifests = [sender.manifest(sender.save("love", seed)) for seed in range(4)]
    assert receive(store, manifests[2], sender.fetch, number=5).version.number == 5
    assert receive(store, manifests[0], sender.fetch, number=2).version.number == 2
    assert store.resolve("love").number == 5
    assert receive(store, manifests[1], sender.fetch).version.number == 6
    vector = make_vector(seed=9)
    assert store.save("love", vector, make_card(vector)).version.number == 7
    assert [version.number for version in store.history("love")] == [7, 6, 5, 2]
    assert check(store).ok


def test_a_number_that_is_taken_is_a_conflict_that_names_both(store: Store, sender: Sender):
    here, there = sender.save("love", 0), sender.save("love", 1)
    receive(store, sender.manifest(here), sender.fetch, number=1)
    sender.asked.clear()
    with pytest.raises(ConflictError, match=rf"love@1 is {here.digest[:19]} here, and {there.digest[:19]} there"):
        receive(store, sender.manifest(there), sender.fetch, number=1)
    assert sender.asked == []
    assert receive(store, sender.manifest(there), sender.fetch, number=2).version.number == 2


def test_a_number_that_was_deleted_is_never_used_again(store: Store, sender: Sender):
    manifest = sender.manifest(sender.save("love"))
    receive(store, manifest, sender.fetch, number=3)
    store.delete("love@3")
    with pytest.raises(ConflictError, match="love@3 was deleted here"):
        receive(store, manifest, sender.fetch, number=3)
    assert receive(store, manifest, sender.fetch).version.number == 4


@pytest.mark.parametrize("number", [0, -1, MAX_NUMBER + 1])
def test_a_number_that_no_reference_could_name_is_refused(store: Store, sender: Sender, number: int):
    with pytest.raises(InvalidInputError, match=f"a version's number cannot be {number}"):
        receive(store, sender.manifest(sender.save("love")), sender.fetch, number=number)


def test_a_name_of_the_other_kind_is_refused_before_anything_is_fetched(store: Store, sender: Sender):
    sender.save("love")
    mix = sender.store.save_recipe("mix", pin(sender.store, "love")).version
    receive(store, sender.manifest("love"), sender.fetch)
    sender.asked.clear()
    with pytest.raises(ConflictError, match="love is a vector, and this is a recipe"):
        receive(store, sender.manifest(mix), sender.fetch, name="love")
    assert sender.asked == []


def test_a_recipe_comes_after_what_it_pins(store: Store, sender: Sender):
    sender.save("love")
    mix = sender.store.save_recipe("mix", pin(sender.store, "2*love")).version
    stays_empty(store, sender.manifest(mix), sender.fetch, NotFoundError, "which is not in this library")
    receive(store, sender.manifest("love"), sender.fetch)
    receive(store, sender.manifest(mix), sender.fetch)
    assert compose(store, "mix").places == compose(sender.store, "mix").places


def test_a_recipe_finds_what_it_pins_in_its_own_namespace(store: Store, sender: Sender):
    sender.save("love")
    inner = sender.store.save_recipe("mix", pin(sender.store, "2*love")).version
    outer = sender.store.save_recipe("mixed", pin(sender.store, "mix + love[2]")).version
    receive(store, sender.manifest("love"), sender.fetch, name="acme/amour")
    receive(store, sender.manifest(inner), sender.fetch, name="acme/mix")
    receive(store, sender.manifest(outer), sender.fetch, name="acme/mixed")
    assert compose(store, "acme/mixed").places == compose(sender.store, "mixed").places
    assert compose(store, store.read_recipe("acme/mixed")).places == compose(sender.store, "mixed").places
    with pytest.raises(ConflictError, match="acme/amour@1 is needed by acme/mix@1, acme/mixed@1"):
        store.delete("acme/amour@1")
    other = sender.manifest(outer)
    with pytest.raises(NotFoundError, match="pins default/mix at"):
        receive(store, other, sender.fetch, name="elsewhere/mixed")


def test_a_parent_has_to_be_here_and_the_namespaces_own_counts_first(store: Store, sender: Sender):
    parent = sender.save("love")
    child = sender.save("child", 1, parents=[parent.digest])
    stays_empty(store, sender.manifest(child), sender.fetch, NotFoundError, "the parent sha256:")
    receive(store, sender.manifest(parent), sender.fetch, name="other/love")
    receive(store, sender.manifest(parent), sender.fetch, name="acme/love")
    receive(store, sender.manifest(child), sender.fetch, name="acme/child")
    store.delete("other/love@1")
    with pytest.raises(ConflictError, match="acme/love@1 is needed by acme/child@1"):
        store.delete("acme/love@1")


def test_what_is_not_what_its_digest_says_leaves_nothing_behind(store: Store, sender: Sender):
    manifest = sender.manifest(sender.save("love"))

    def altered(entry: BlobEntry) -> Iterable[bytes]:
        data = b"".join(sender.fetch(entry))
        return [data[:-1], bytes([data[-1] ^ 1])]

    stays_empty(store, manifest, altered, IntegrityError, "came with .* bytes of digest")
    truncated = lambda entry: [b"".join(sender.fetch(entry))[:-1]]
    stays_empty(store, manifest, truncated, IntegrityError, "came with .* bytes of digest")
    stays_empty(store, manifest, lambda _: [], IntegrityError, "without bytes")


def test_no_more_is_read_than_the_manifest_says(store: Store, sender: Sender):
    manifest = sender.manifest(sender.save("love"))
    sent = []

    def endless(_entry: BlobEntry) -> Iterator[bytes]:
        while True:
            sent.append(1000)
            yield bytes(1000)

    stays_empty(store, manifest, endless, IntegrityError, "more than the .* bytes of the blob")
    assert sum(sent) <= Manifest.from_bytes(manifest).blobs[0].size + 1000


def test_what_the_one_who_fetches_raises_is_passed_on(store: Store, sender: Sender):
    def broken(entry: BlobEntry) -> Iterator[bytes]:
        yield next(sender.fetch(entry))
        raise UnavailableError("the connection broke", "try again")

    stays_empty(store, sender.manifest(sender.save("love")), broken, UnavailableError, "the connection broke")


def manifest_of(*blobs: BlobEntry, kind: str = "vector", name: str = "love") -> bytes:
    return Manifest(kind, blobs, {NAME_ANNOTATION: name}).to_bytes()


BODY = pack(make_vector(), make_card(make_vector()))
WHOLE = BlobEntry.of(VECTOR_BLOB, BODY)
WRONG = {
    "no json": (b"{", "is not valid JSON"),
    "not canonical": (manifest_of(WHOLE) + b" ", "canonical"),
    "too long": (b" " * (MAX_MANIFEST + 1), f"{MAX_MANIFEST} are allowed"),
    "two vectors": (manifest_of(WHOLE, WHOLE), "has other blobs than it may have"),
    "a recipe with items": (manifest_of(BlobEntry(RECIPE_BLOB, WHOLE.digest, 9), WHOLE, kind="recipe"), "other blobs"),
    "a huge blob": (manifest_of(BlobEntry(VECTOR_BLOB, WHOLE.digest, MAX_BLOB + 1)), "would have"),
    "an empty blob": (manifest_of(BlobEntry(VECTOR_BLOB, WHOLE.digest, 0)), "would have 0 bytes"),
    "two sizes": (manifest_of(WHOLE, BlobEntry(ITEMS_BLOB, WHOLE.digest, 9)), "two sizes"),
    "no name": (manifest_of(WHOLE, name=""), "the manifest's name is wrong"),
    "a path for a name": (manifest_of(WHOLE, name="../../love"), "the manifest's name is wrong"),
    "no vector": (manifest_of(BlobEntry.of(VECTOR_BLOB, b"not a vector")), "header|JSON|bytes"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_manifest_that_cannot_be_is_refused(store: Store, case: str):
    manifest, match = WRONG[case]
    stays_empty(
        store,
        manifest,
        lambda entry: [BODY if entry.digest == WHOLE.digest else b"not a vector"],
        IntegrityError,
        match,
    )


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, len(BODY) - 1), value=st.integers(0, 255))
def test_no_change_of_a_byte_comes_in_even_where_the_manifest_vouches_for_it(store: Store, at: int, value: int):
    data = BODY[:at] + bytes([value]) + BODY[at + 1 :]
    try:
        receive(store, manifest_of(BlobEntry.of(VECTOR_BLOB, data)), lambda _: [data])
    except IntegrityError:
        pass
    else:  # other numbers are another vector, and a sound one
        store.read(f"love@{digest(manifest_of(BlobEntry.of(VECTOR_BLOB, data)))}")


def test_items_that_would_fill_the_memory_of_who_reads_them_are_refused(store: Store):
    items = b'{"a":[' + b"[]," * 15_000 + b"[]]}\n"
    lines = items * 300
    blobs = (BlobEntry.of(VECTOR_BLOB, BODY), BlobEntry.of(ITEMS_BLOB, lines))
    sent = {blobs[0].digest: BODY, blobs[1].digest: lines}
    stays_empty(store, manifest_of(*blobs), lambda entry: [sent[entry.digest]], IntegrityError, "brackets, commas and")


def test_what_is_damaged_here_is_mended_by_what_arrives(store: Store, sender: Sender, blobs_folder: Path):
    sent = sender.save("love")
    receive(store, sender.manifest(sent), sender.fetch)
    sender.asked.clear()
    path = blobs_folder / "sha256" / sent.blobs[0].digest[7:9] / sent.blobs[0].digest[7:]
    path.unlink()
    assert not check(store).ok
    assert not receive(store, sender.manifest(sent), sender.fetch).created
    assert sender.asked == [sent.blobs[0].digest]
    assert check(store, full=True).ok


KILLED = """
    import os, sys
    from pathlib import Path
    from vectorstore.store import Store, save
    from vectorstore.store.receive import receive

    url, blobs, manifest, files, moment = sys.argv[1:]
    def stop(*_args): os._exit(9)
    def fetch(entry):
        if moment == "fetch":
            stop()
        yield (Path(files) / entry.digest[7:9] / entry.digest[7:]).read_bytes()
    if moment != "fetch":
        setattr(save, moment, stop)
    receive(Store.open(url, blobs=blobs), Path(manifest).read_bytes(), fetch)
"""


@pytest.mark.parametrize("moment", ["fetch", "check_name", "_publish"])
def test_a_crash_in_between_is_harmless(store: Store, sender: Sender, library_url: str, tmp_path: Path, moment: str):
    data = sender.manifest(sender.save("love"))
    (tmp_path / "manifest").write_bytes(data)
    files = Path(sender.store.blobs.root) / "sha256"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(KILLED),
            library_url,
            store.blobs.root,
            tmp_path / "manifest",
            files,
            moment,
        ],
        check=False,
    )
    assert done.returncode == 9
    assert store.list().versions == ()
    assert check(store, full=True).ok
    assert receive(store, data, sender.fetch).created
    assert check(store, full=True).ok
    assert store.read("love")[0] == sender.store.read("love")[0]


def test_what_is_saved_here_and_received_is_one_version(store: Store, sender: Sender):
    vector = make_vector((2, 3))
    here = store.save("love", vector, make_card(vector, items=MANY_ITEMS)).version
    there = sender.save("love")
    assert receive(store, sender.manifest(there), sender.fetch).version == here
    assert sender.asked == []


def test_a_recipe_that_is_too_clever_is_refused(store: Store):
    body = Recipe("love", ()).to_bytes()
    manifest = manifest_of(BlobEntry.of(RECIPE_BLOB, body), kind="recipe")
    stays_empty(store, manifest, lambda _: [body], IntegrityError, "the recipe has 0 terms")
