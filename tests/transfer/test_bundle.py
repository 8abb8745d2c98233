"""Bundles are whole, the same each time, and trusted in nothing."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
import textwrap
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.builders import make_card, make_vector
from tests.transfer.libraries import contents, fill, library, save
from vectorstore.canonical import canonical_bytes, digest
from vectorstore.compose import compose
from vectorstore.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError, UnavailableError
from vectorstore.manifest import MANIFEST_TYPE
from vectorstore.store import Store
from vectorstore.store.upkeep.fsck import check
from vectorstore.transfer import arrive as arriving
from vectorstore.transfer import bundle as bundles
from vectorstore.transfer.archive import RECORD, write_archive
from vectorstore.transfer.bundle import apply_bundle, create_bundle, verify_bundle
from vectorstore.transfer.index import INDEX_TYPE

TAR = shutil.which("tar") or "tar"
ALL = ("mixed", "made")


@pytest.fixture
def sender(tmp_path: Path) -> Iterator[Store]:
    with library(tmp_path / "sender") as opened:
        fill(opened)
        yield opened


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Give the bytes of a bundle of everything, with aliases."""
    folder = tmp_path_factory.mktemp("pristine")
    with library(folder / "library") as opened:
        fill(opened)
        return create_bundle(opened, ALL, folder / "all.tar", aliases=True).path.read_bytes()


@pytest.fixture
def file(pristine: bytes, tmp_path: Path) -> Path:
    """Give a bundle of what the sender has."""
    path = tmp_path / "all.tar"
    path.write_bytes(pristine)
    return path


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Give a library in which nothing ever arrives."""
    with library(tmp_path_factory.mktemp("receiver") / "library") as opened:
        yield opened


def stays_empty(receiver: Store, file: Path, match: str) -> None:
    with pytest.raises(IntegrityError, match=match):
        apply_bundle(receiver, file)
    assert receiver.list().versions == ()
    assert list(receiver.blobs.all()) == []


def members(file: Path) -> dict[str, bytes]:
    """Return what is in an archive, read by Python's own reader."""
    with tarfile.open(file) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive if info.isfile()}


def packed(file: Path, parts: dict[str, bytes]) -> Path:
    with file.open("wb") as out:
        write_archive(out, ((name, len(data), (data,)) for name, data in parts.items()))
    return file


def blob(data: bytes) -> tuple[str, bytes]:
    return f"blobs/sha256/{digest(data)[7:]}", data


def test_everything_arrives_with_its_numbers_and_aliases(store: Store, sender: Store, file: Path):
    arrived = apply_bundle(store, file)
    assert arrived.new == ["acme/love@1", "acme/love@2", "mix@1", "made@1", "mixed@1"]
    assert (arrived.present, arrived.aliases, arrived.kept) == ([], ["acme/love@prod"], [])
    assert contents(store) == contents(sender)
    assert store.resolve("acme/love@prod").number == 1
    assert compose(store, "mixed").places == compose(sender, "mixed").places
    assert check(store, full=True).ok


def test_a_bundle_may_be_applied_again_without_harm(store: Store, file: Path):
    first = apply_bundle(store, file)
    again = apply_bundle(store, file)
    assert (again.new, sorted(again.present), again.aliases) == ([], sorted(first.new), [])


def test_the_same_versions_give_the_same_bytes_wherever_they_are(store: Store, file: Path, tmp_path: Path):
    apply_bundle(store, file)
    again = create_bundle(store, ("made", "mixed", "acme/love@1"), tmp_path / "again.tar", aliases=True)
    assert again.path.read_bytes() == file.read_bytes()
    assert len(file.read_bytes()) % RECORD == 0


def test_other_programs_read_it(file: Path, tmp_path: Path):
    subprocess.run([TAR, "xf", file, "-C", tmp_path], check=True)
    assert json.loads((tmp_path / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((tmp_path / "index.json").read_bytes())
    assert index["mediaType"] == INDEX_TYPE
    for descriptor in index["manifests"]:
        manifest = json.loads(_read(tmp_path, descriptor))
        assert descriptor["artifactType"] == manifest["artifactType"]
        for part in (manifest["config"], *manifest["layers"]):
            assert _read(tmp_path, part)
    names = [descriptor["annotations"]["org.opencontainers.image.ref.name"] for descriptor in index["manifests"]]
    assert names == ["acme/love@1", "acme/love@2", "default/mix@1", "default/made@1", "default/mixed@1"]


def _read(folder: Path, descriptor: dict) -> bytes:
    data = (folder / "blobs" / "sha256" / descriptor["digest"][7:]).read_bytes()
    assert (len(data), digest(data)) == (descriptor["size"], descriptor["digest"])
    return data


def test_what_other_programs_pack_again_is_read(store: Store, file: Path, tmp_path: Path):
    folder = tmp_path / "unpacked"
    folder.mkdir()
    subprocess.run([TAR, "xf", file, "-C", folder], check=True)
    subprocess.run([TAR, "cf", tmp_path / "again.tar", "--format=gnu", "-C", folder, "."], check=True)
    assert verify_bundle(tmp_path / "again.tar").ok
    assert len(apply_bundle(store, tmp_path / "again.tar").new) == 5


def test_aliases_stay_at_home_unless_they_are_asked_for(store: Store, sender: Store, tmp_path: Path):
    plain = create_bundle(sender, ALL, tmp_path / "plain.tar")
    assert apply_bundle(store, plain.path).aliases == []
    assert store.resolve("acme/love@1").aliases == ()


def test_an_alias_that_means_another_version_here_is_told_and_left(store: Store, sender: Store, file: Path):
    store.save("acme/love", *sender.read("acme/love@2"))
    store.set_alias("acme/love@1", "prod")
    arrived = apply_bundle(store, file, renumber=True)
    assert (arrived.aliases, arrived.kept) == ([], ["acme/love@prod"])
    assert store.resolve("acme/love@prod").number == 1


def test_a_dry_run_says_what_would_come_and_changes_nothing(store: Store, sender: Store, file: Path):
    vector, card = sender.read("acme/love@2")
    store.save("acme/joy", vector, card)
    arrived = apply_bundle(store, file, dry_run=True)
    assert arrived.new == ["acme/love@1", "acme/love@2", "mix@1", "made@1", "mixed@1"]
    assert (arrived.aliases, arrived.dry) == (["acme/love@prod"], True)
    assert [version.reference for version in store.list()] == ["acme/joy@1"]


def test_all_may_live_in_one_namespace_and_still_compose(store: Store, sender: Store, file: Path):
    arrived = apply_bundle(store, file, namespace="team")
    assert arrived.new == ["team/love@1", "team/love@2", "team/mix@1", "team/made@1", "team/mixed@1"]
    assert [version.namespace for version in store.list()] == ["team"] * 4
    assert compose(store, "team/mixed").places == compose(sender, "mixed").places
    assert store.resolve("team/love@prod").digest == sender.resolve("acme/love@1").digest
    assert check(store, full=True).ok
    with pytest.raises(InvalidInputError, match="is not a namespace"):
        apply_bundle(store, file, namespace="../etc")


def test_conflicts_are_listed_and_nothing_comes_in(store: Store, file: Path):
    save(store, "acme/love", 5)
    save(store, "mixed", 6)
    with pytest.raises(ConflictError) as caught:
        apply_bundle(store, file)
    assert "nothing came in" in caught.value.problem
    assert "acme/love@1 is sha256:" in caught.value.problem
    assert "mixed is a vector, and this is a recipe" in caught.value.problem
    assert "--as NAMESPACE" in caught.value.hint
    assert len(store.list()) == 2
    assert len(apply_bundle(store, file, namespace="theirs").new) == 5


def test_numbers_may_be_given_anew(store: Store, file: Path):
    save(store, "acme/love", 5)
    arrived = apply_bundle(store, file, renumber=True)
    assert arrived.new == ["acme/love@2", "acme/love@3", "mix@1", "made@1", "mixed@1"]


def test_two_names_that_would_become_one_are_a_conflict(store: Store, sender: Store, tmp_path: Path):
    save(sender, "love", 7)
    written = create_bundle(sender, ("acme/love@1", "love"), tmp_path / "both.tar")
    with pytest.raises(ConflictError, match="team/love@1 would be two versions"):
        apply_bundle(store, written.path, namespace="team")
    assert len(apply_bundle(store, written.path, namespace="team", renumber=True).new) == 2


def test_what_a_recipe_pins_may_be_here_already(store: Store, sender: Store, file: Path, tmp_path: Path):
    parts = members(file)
    index = json.loads(parts["index.json"])
    index["manifests"] = [each for each in index["manifests"] if each["digest"] == sender.resolve("mix").digest]
    alone = packed(tmp_path / "alone.tar", parts | {"index.json": canonical_bytes(index)})
    assert [problem for _, problem in verify_bundle(alone).problems] == [
        f"it needs {sender.resolve('acme/love@1').digest[:19]}, which is not in it"
    ]
    with pytest.raises(NotFoundError, match="pins acme/love at"):
        apply_bundle(store, alone)
    assert store.list().versions == ()
    vector, card = sender.read("acme/love@1")
    about = sender.resolve("acme/love@1")
    told = {"labels": about.labels, "authors": about.authors, "license": about.license, "presets": about.presets}
    store.save("acme/love", vector, card, description=about.description, **told)
    assert apply_bundle(store, alone).new == ["mix@1"]


def test_the_index_may_be_in_any_order_and_nested(store: Store, file: Path, tmp_path: Path):
    parts = members(file)
    index = json.loads(parts["index.json"])
    index["manifests"].reverse()
    inner, data = blob(canonical_bytes(index))
    outer = {"schemaVersion": 2, "manifests": [{"mediaType": INDEX_TYPE, "digest": digest(data), "size": len(data)}]}
    nested = packed(tmp_path / "nested.tar", parts | {inner: data, "index.json": canonical_bytes(outer)})
    assert verify_bundle(nested).ok
    assert sorted(apply_bundle(store, nested).new)[:2] == ["acme/love@1", "acme/love@2"]


def test_a_failure_in_the_middle_says_what_came_in_and_it_can_be_done_again(
    store: Store, file: Path, monkeypatch: pytest.MonkeyPatch
):
    original = arriving.receive

    def failing(*args, **kwargs):
        if len(store.list()) == 2:
            raise UnavailableError("the disk is full", "make room")
        return original(*args, **kwargs)

    monkeypatch.setattr(arriving, "receive", failing)
    with pytest.raises(UnavailableError, match="the disk is full; until then acme/love@1, acme/love@2, mix@1 came in"):
        apply_bundle(store, file)
    assert check(store, full=True).ok
    monkeypatch.undo()
    assert apply_bundle(store, file).new == ["made@1", "mixed@1"]


def test_no_blob_is_ever_wholly_in_memory(store: Store, sender: Store, tmp_path: Path):
    vector = make_vector(range(60), width=16_384)
    sender.save("large", vector, make_card(vector))
    size = sender.resolve("large").blobs[0].size
    assert size > 3_900_000
    tracemalloc.start()
    try:
        file = create_bundle(sender, ["large"], tmp_path / "large.tar").path
        written = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert written < size // 2 + 2 * bundles.CHUNK
    assert apply_bundle(store, file).new == ["large@1"]
    assert store.read("large")[0] == vector


def test_a_file_that_is_there_is_not_written_over(sender: Store, file: Path, tmp_path: Path):
    before = file.read_bytes()
    with pytest.raises(ConflictError, match="is there already"):
        create_bundle(sender, ["mix"], file)
    assert file.read_bytes() == before
    assert create_bundle(sender, ["mix"], file, force=True).size < len(before)
    with pytest.raises(NotFoundError, match="there is no folder"):
        create_bundle(sender, ["mix"], tmp_path / "gone" / "x.tar")


def test_nothing_is_written_of_what_is_damaged(sender: Store, tmp_path: Path):
    name = sender.resolve("acme/love@1").blobs[0].digest[7:]
    path = tmp_path / "sender" / "blobs" / "sha256" / name[:2] / name
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(IntegrityError, match="was altered"):
        create_bundle(sender, ["mix"], tmp_path / "x.tar")
    assert not [*tmp_path.glob("*.tar"), *tmp_path.glob(".*.tmp")]


def link(kind: bytes) -> Callable[[Path], None]:
    def add(file: Path) -> None:
        info = tarfile.TarInfo("blobs/sha256/" + "0" * 64)
        info.type, info.linkname = kind, "/etc/passwd"
        _prepend(file, info, b"")

    return add


def named(name: str, data: bytes = b"x") -> Callable[[Path], None]:
    def add(file: Path) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        _prepend(file, info, data)

    return add


def _prepend(file: Path, info: tarfile.TarInfo, data: bytes) -> None:
    header = info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512)
    file.write_bytes(header + file.read_bytes())


def sized(size: int) -> Callable[[Path], None]:
    def add(file: Path) -> None:
        info = tarfile.TarInfo("blobs/sha256/" + "0" * 64)
        info.size = size
        file.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + file.read_bytes())

    return add


def edited(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda file: file.write_bytes(change(file.read_bytes()))


HOSTILE = {
    "a path upwards": (named("../../etc/passwd"), "has no place in it"),
    "a path from the root": (named("/etc/passwd"), "has no place in it"),
    "a path that goes back": (named("blobs/sha256/../../../x"), "has no place in it"),
    "a hidden name": (named("./.bashrc"), "has no place in it"),
    "a name with a line break": (named("oci-layout\nx"), "a name or size that cannot be"),
    "a long name": (named("a" * 300), "is no plain file|has no place|longer name"),
    "a digest in capitals": (named("blobs/sha256/" + "A" * 64), "has no place in it"),
    "a symbolic link": (link(tarfile.SYMTYPE), "no plain file|is a link"),
    "a hard link": (link(tarfile.LNKTYPE), "no plain file|is a link"),
    "a device": (link(tarfile.CHRTYPE), "no plain file|is a link"),
    "a pipe": (link(tarfile.FIFOTYPE), "no plain file|is a link"),
    "a sparse file": (link(tarfile.GNUTYPE_SPARSE), "no plain file|is a link"),
    "a member twice": (named("oci-layout", b"{}"), "'oci-layout' is in the archive twice"),
    "a large index": (named("index.json", bytes(1 << 23)), "are allowed"),
    "a member larger than the file": (sized(1 << 33), "a name or size that cannot be|is cut short"),
    "a member of a terabyte": (sized(1 << 40), "a name or size that cannot be"),
    "an altered header": (edited(lambda data: data[:100] + b"9" + data[101:]), "a header of the archive was altered"),
    "something behind a member": (edited(lambda data: data[:600] + b"x" + data[601:]), "there are bytes behind"),
    "something behind the end": (edited(lambda data: data + b"x" * 512), "behind the end"),
    "a second archive behind the end": (edited(lambda data: data + data), "behind the end"),
    "zeros without end": (edited(lambda data: data + bytes(1 << 20)), "behind the end"),
    "a cut": (edited(lambda data: data[: len(data) // 2]), "cut short"),
    "a cut at the end": (edited(lambda data: data.rstrip(b"\0")[:-1]), "cut short"),
    "no end": (edited(lambda data: data[: _end(data)]), "cut short"),
    "half an end": (edited(lambda data: data[: _end(data)] + bytes(512)), "has no end"),
    "nothing": (edited(lambda _: b""), "is empty"),
    "no archive": (edited(lambda _: b"x" * 5000), "or is none"),
    "zeros only": (edited(lambda _: bytes(10_240)), "is no OCI image layout"),
    "a compressed archive": (edited(lambda data: b"\x1f\x8b" + data), "or is none"),
}


def _end(data: bytes) -> int:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        last = archive.getmembers()[-1]
    return last.offset_data + last.size + -last.size % 512


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_archive_is_refused_and_nothing_is_written(receiver: Store, file: Path, tmp_path: Path, case: str):
    change, match = HOSTILE[case]
    change(file)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(IntegrityError, match=match):
        verify_bundle(file)
    stays_empty(receiver, file, match)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def descriptor(data: bytes, media_type: str = INDEX_TYPE, **more) -> dict:
    return {"mediaType": media_type, "digest": digest(data), "size": len(data)} | more


def index(*manifests: dict) -> bytes:
    return canonical_bytes({"schemaVersion": 2, "manifests": list(manifests)})


def tower(parts: dict[str, bytes], height: int) -> dict[str, bytes]:
    """Nest indexes one in another."""
    data = parts["index.json"]
    added = {}
    for _ in range(height):
        added |= dict([blob(data)])
        data = index(descriptor(data))
    return parts | added | {"index.json": data}


def with_index(data: bytes) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    return lambda parts: parts | {"index.json": data}


NOTHING = {"digest": f"sha256:{'0' * 64}", "size": 10}
BAD_LAYOUTS = {
    "no layout": (lambda parts: {name: parts[name] for name in parts if name != "oci-layout"}, "it has no oci-layout"),
    "another version": (lambda parts: parts | {"oci-layout": b'{"imageLayoutVersion":"2.0.0"}'}, "of version 2.0.0"),
    "an index of nothing": (with_index(index({"mediaType": MANIFEST_TYPE} | NOTHING)), "is missing"),
    "an index of an index that is not there": (with_index(index({"mediaType": INDEX_TYPE} | NOTHING)), "is missing"),
    "an index of an image": (with_index(index({"mediaType": "application/x"} | NOTHING)), "of type application/x"),
    "an index of a huge manifest": (
        with_index(index({"mediaType": MANIFEST_TYPE, "digest": NOTHING["digest"], "size": 1 << 40})),
        "the index names",
    ),
    "an index of a path": (
        with_index(index({"mediaType": MANIFEST_TYPE, "digest": "sha256:../../x", "size": 3})),
        "the index names",
    ),
    "a tower of indexes": (lambda parts: tower(parts, 6), "nested more than 4 deep"),
    "JSON without end": (with_index(b'{"manifests":' + b"[" * 100_000), "is not valid JSON"),
    "a key twice": (with_index(b'{"schemaVersion":2,"schemaVersion":2,"manifests":[]}'), "occurs twice"),
    "no list": (with_index(b'{"schemaVersion":2,"manifests":{}}'), "manifests that is not a list"),
    "an alias that is none": (
        lambda parts: parts | {"index.json": parts["index.json"].replace(b'"prod"', b'"../x"')},
        "is not an alias",
    ),
}


def told(file: Path) -> str:
    """Return what a check says, whether it lists it or raises it."""
    try:
        return str(verify_bundle(file).problems)
    except IntegrityError as error:
        return str(error)


@pytest.mark.parametrize("case", BAD_LAYOUTS)
def test_a_layout_that_lies_is_refused(receiver: Store, file: Path, case: str):
    change, match = BAD_LAYOUTS[case]
    packed(file, change(members(file)))
    stays_empty(receiver, file, match)
    assert match in told(file)


def test_many_indexes_that_name_each_other_are_refused_at_once(file: Path):
    parts = members(file)
    small = [canonical_bytes({"schemaVersion": 2, "manifests": [], "n": number}) for number in range(200)]
    packed(file, parts | dict(map(blob, small)) | {"index.json": index(*map(descriptor, small))})
    with pytest.raises(IntegrityError, match="more than 100 nested indexes"):
        verify_bundle(file)


def test_every_blob_with_a_wrong_digest_is_told(receiver: Store, file: Path):
    parts = members(file)
    names = [name for name in parts if name.startswith("blobs/")]
    for name in names:
        bad = parts | {name: parts[name][:-1] + bytes([parts[name][-1] ^ 1])}
        verified = verify_bundle(packed(file, bad))
        assert not verified.ok
        assert any(name.rpartition("/")[2] in f"{subject} {detail}" for subject, detail in verified.problems), name
        stays_empty(receiver, file, "nothing came in")


def test_a_blob_that_is_not_there_is_told(file: Path):
    parts = members(file)
    empty = "blobs/sha256/44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    for name in [name for name in parts if name.startswith("blobs/") and name != empty]:
        verified = verify_bundle(packed(file, {other: data for other, data in parts.items() if other != name}))
        assert name.rpartition("/")[2] in str(verified.problems)


def test_a_sound_bundle_says_what_is_in_it(file: Path):
    verified = verify_bundle(file)
    assert verified.ok
    assert verified.versions == ["acme/love@1", "acme/love@2", "default/mix@1", "default/made@1", "default/mixed@1"]
    assert verified.blobs == len(members(file)) - 2


def test_a_file_that_is_not_there_is_told(store: Store, tmp_path: Path):
    with pytest.raises(NotFoundError, match="there is no file"):
        verify_bundle(tmp_path / "gone.tar")
    with pytest.raises(NotFoundError, match="there is no file"):
        apply_bundle(store, tmp_path)


FULL_DISK = """
    import resource, signal, sys
    from vectorstore.store import Store
    from vectorstore.transfer.bundle import create_bundle

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with Store.open(sys.argv[1], blobs=sys.argv[2]) as store:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        create_bundle(store, ["acme/love@1"], sys.argv[3])
"""


def test_a_full_disk_leaves_no_half_of_a_file(sender: Store, tmp_path: Path):
    words = [sender.database.url.render_as_string(), sender.blobs.root, tmp_path / "x.tar"]
    script = textwrap.dedent(FULL_DISK)
    done = subprocess.run([sys.executable, "-c", script, *words], check=False, capture_output=True, text=True)
    assert "UnavailableError: cannot write" in done.stderr
    assert not [*tmp_path.glob("*.tar"), *tmp_path.glob(".*.tmp")]
