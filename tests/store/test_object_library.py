"""A library whose blobs are in a bucket, with its rows in either database."""

from __future__ import annotations

import multiprocessing
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.builders import make_card, make_vector
from tests.object_server import S3Server, Wire
from tests.store.objects import path_of
from tests.store.writers import finished, save_some
from vectorstore.errors import IntegrityError, UnavailableError
from vectorstore.preset import Preset
from vectorstore.recipe import Recipe, Term
from vectorstore.store import Store
from vectorstore.store.contents import read_recipe
from vectorstore.store.upkeep.rebuild import rebuild

SPAWN = multiprocessing.get_context("spawn")  # it gives its children the environment as it is now
LONG = tuple({"positive": f"{number:0200}", "negative": " "} for number in range(400))  # items in a blob of their own


@pytest.fixture
def far(library_url: str, s3_url: str) -> Iterator[Store]:
    """Open a library without versions, whose blobs are in a bucket."""
    with Store.open(library_url, blobs=s3_url) as opened:
        yield opened


def save_love(store: Store, seed: int = 0):
    vector = make_vector((2, 3), seed=seed)
    return store.save("love", vector, make_card(vector, items=LONG))


def run_all(target: Callable[..., None], *arguments: tuple[object, ...]) -> list[int | None]:
    """Run one program for each, all at once; return their exit codes."""
    processes = [SPAWN.Process(target=target, args=given) for given in arguments]
    for process in processes:
        process.start()
    return [finished(process) for process in processes]


def read_love(url: str, blobs: str) -> None:
    with Store.open(url, blobs=blobs) as store:
        vector, card = store.read("love")
        assert vector == make_vector((2, 3))
        assert card.data.items == LONG


def test_a_vector_is_saved_and_read_back(far: Store, s3_url: str):
    saved = save_love(far)
    vector, card = far.read("love")
    assert (vector, card.data.items) == (make_vector((2, 3)), LONG)
    assert {stored.digest for stored in far.blobs.all()} == {
        saved.version.digest,
        *(blob.digest for blob in saved.version.blobs),
    }
    assert not save_love(far).created
    assert len(list(far.blobs.all())) == 3
    assert s3_url.startswith("s3://")


def test_a_recipe_is_saved_and_read_back(far: Store):
    version = save_love(far).version
    recipe = Recipe("love", (Term("love", "default", "love", version.digest, "vector", Preset.parse(2)),))
    saved = far.save_recipe("mix", recipe).version
    shutil.rmtree(far.cache)
    assert far.read_recipe("mix") == read_recipe(far.blobs, saved) == recipe


def test_another_program_reads_it_with_nothing_kept_locally(
    far: Store, library_url: str, s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    save_love(far)
    monkeypatch.setenv("STEER_CACHE", str(tmp_path / "elsewhere"))
    assert run_all(read_love, (library_url, s3_url)) == [0]
    assert list((tmp_path / "elsewhere").rglob("sha256/*/*"))


def test_programs_that_save_at_once_lose_nothing(far: Store, library_url: str, s3_url: str):
    barrier = SPAWN.Barrier(3)
    work = ([0, 1, 2], [0, 3, 2], [0, 1, 4])
    assert run_all(save_some, *((library_url, s3_url, barrier, seeds) for seeds in work)) == [0] * 3
    versions = far.history("love").versions
    assert [version.number for version in reversed(versions)] == [1, 2, 3, 4, 5]
    shutil.rmtree(far.cache)
    saved = [far.read(version)[0] for version in versions]
    assert all(make_vector(3, seed=seed) in saved for seed in range(5))


def test_a_forked_program_does_not_wait_forever(s3_url: str, tmp_path: Path):
    # Only in a program of its own: this one has other threads.
    script = f"""
import os, pathlib
from vectorstore.store.blobs.backends import open_blobs
blobs = open_blobs({s3_url!r}, pathlib.Path({str(tmp_path)!r}))
staged = blobs.stage(b"love")
staged.publish()
if not (child := os.fork()):
    assert bytes(blobs.open(staged.digest, 4)) == b"love"
    blobs.exists(staged.digest)
os.waitpid(child, 0)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0
    assert "forked from one that uses it; start processes with multiprocessing's 'spawn'" in ended.stderr


def test_a_server_that_dies_while_a_version_is_saved(
    library_url: str, s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    server = S3Server(tmp_path / "log")
    try:
        server.make_bucket(bucket := s3_url.split("/")[2])
        wire = Wire(server.port)
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)
        with Store.open(library_url, blobs=s3_url) as store:
            wire.fuse = (60_000, server.kill)  # in the middle of the items, the second of three blobs
            with pytest.raises(UnavailableError, match=r"s3://.* cannot be used"):
                save_love(store)
            assert store.list().versions == ()
            assert not list((tmp_path / "cache").rglob("tmp/*"))
            server.start()
            server.make_bucket(bucket)
            assert save_love(store).version.number == 1
            shutil.rmtree(store.cache)
            assert store.read("love")[0] == make_vector((2, 3))
    finally:
        server.kill()


def test_a_blob_that_is_gone_is_told_from_a_server_that_is_away(
    far: Store, library_url: str, s3_url: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
):
    save_love(far)
    shutil.rmtree(far.cache)
    wire = Wire(s3_server.port)
    wire.close()
    monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)
    with Store.open(library_url, blobs=s3_url) as away:
        assert len(away.list()) == 1  # rows need no blobs
        with pytest.raises(UnavailableError, match="connection refused"):
            away.read("love")
    for stored in list(far.blobs.all()):
        far.blobs.delete(stored.digest)
    with pytest.raises(IntegrityError, match=r"s3://.* is missing; restore it"):
        far.read("love")
    assert not save_love(far).created
    assert far.read("love")[0] == make_vector((2, 3))


def test_a_damaged_object_does_not_stop_a_rebuild(far: Store, s3_url: str, s3_server: S3Server):
    save_love(far, 1)
    damaged = save_love(far, 2).version.digest
    s3_server.request("PUT", path_of(s3_url, damaged), b"x" * 2000)
    shutil.rmtree(far.cache)
    rebuilt = rebuild(far)
    assert (rebuilt.present, list(rebuilt.rejected)) == (1, [damaged])
    assert "has other bytes" in rebuilt.rejected[damaged]
