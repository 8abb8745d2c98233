"""Export: the blob byte for byte, whole or not there."""

from __future__ import annotations

from pathlib import Path
from stat import S_IMODE

import pytest

from tests.builders import make_card, make_vector
from vectorstore.canonical import digest
from vectorstore.compose import pin
from vectorstore.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError, UnavailableError
from vectorstore.formats import export_file, import_file
from vectorstore.store import Store


@pytest.fixture
def love(store: Store) -> Store:
    vector = make_vector([2, 3])
    store.save("love", vector, make_card(vector))
    return store


def test_a_file_has_the_blobs_bytes_and_comes_back_as_the_same_version(love: Store, tmp_path: Path):
    to = tmp_path / "love.safetensors"
    version = export_file(love, "love", to)
    assert version == love.resolve("love@1")
    assert digest(to.read_bytes()) == version.blobs[0].digest
    assert not love.save("love", *import_file(to)).created
    other = love.save("again", *import_file(to)).version
    assert other.blobs == version.blobs


def test_a_file_that_is_there_stays_unless_it_is_forced(love: Store, tmp_path: Path):
    to = tmp_path / "love.safetensors"
    to.write_text("mine")
    with pytest.raises(ConflictError, match="is there already"):
        export_file(love, "love", to)
    assert to.read_text() == "mine"
    export_file(love, "love", to, force=True)
    assert import_file(to) == love.read("love")


def test_a_blob_that_was_altered_is_not_written(love: Store, blobs_folder: Path, tmp_path: Path):
    blob = blobs_folder / "sha256" / love.resolve("love").blobs[0].digest[7:9]
    file = next(blob.iterdir())
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "love.safetensors").write_text("mine")
    with pytest.raises(IntegrityError, match="was altered"):
        export_file(love, "love", tmp_path / "out" / "love.safetensors", force=True)
    assert [(path.name, path.read_text()) for path in (tmp_path / "out").iterdir()] == [("love.safetensors", "mine")]


def test_what_cannot_be_one_file_is_refused(love: Store, tmp_path: Path):
    love.save_recipe("mix", pin(love, "2*love"))
    with pytest.raises(ConflictError, match=r"mix@1 is a recipe, .* steer compose 'mix@1' --save NAME --as vector"):
        export_file(love, "mix", tmp_path / "mix.safetensors")
    with pytest.raises(InvalidInputError, match=r"'love\[2\]' is not a whole version; .*compose 'love\[2\]' --save"):
        export_file(love, "love[2]", tmp_path / "love.safetensors")
    with pytest.raises(NotFoundError, match="there is no 'hate'"):
        export_file(love, "hate", tmp_path / "hate.safetensors")


def test_a_target_that_cannot_be_is_refused(love: Store, tmp_path: Path):
    with pytest.raises(InvalidInputError, match=r"'love\.pt' does not end in \.safetensors"):
        export_file(love, "love", tmp_path / "love.pt")
    with pytest.raises(NotFoundError, match="there is no folder"):
        export_file(love, "love", tmp_path / "none" / "love.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(ConflictError, match="is there already"):
        export_file(love, "love", tmp_path / "folder.safetensors", force=True)


def test_a_disk_that_does_not_take_it_is_unavailable(love: Store):
    with pytest.raises(UnavailableError, match=r"^cannot write /proc/love\.safetensors \(.*check that its folder"):
        export_file(love, "love", Path("/proc/love.safetensors"))


def test_a_file_that_is_replaced_keeps_its_permissions(love: Store, tmp_path: Path):
    to = tmp_path / "love.safetensors"
    export_file(love, "love", to)
    to.chmod(0o600)
    export_file(love, "love", to, force=True)
    assert S_IMODE(to.stat().st_mode) == 0o600
