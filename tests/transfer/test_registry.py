"""Push to a real registry, and pull from it, over a wire that can be cut."""

from __future__ import annotations

import json
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.builders import make_card, make_vector
from tests.object_server import Wire as CutWire
from tests.transfer.libraries import contents, fill, library, save
from tests.transfer.oci_registry import NEEDED, Registry
from vectorstore.canonical import digest
from vectorstore.compose import compose
from vectorstore.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError, UnavailableError
from vectorstore.manifest import MANIFEST_TYPE
from vectorstore.store import Store
from vectorstore.store.upkeep.fsck import check
from vectorstore.transfer.bundle import create_bundle, verify_bundle
from vectorstore.transfer.index import INDEX_TYPE
from vectorstore.transfer.registry import pull, push
from vectorstore.transfer.upload import CHUNK
from vectorstore.transfer.wire import Patience

pytestmark = NEEDED
ALL = ("mixed", "made")
SHORT = Patience(attempts=2, seconds=5)


@pytest.fixture(autouse=True)
def _no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep away from what the one who runs the tests has."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    for name in ("STEER_OCI_USERNAME", "STEER_OCI_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def place(shared: Registry) -> Callable[[str], str]:
    """Give the address of a tag or digest in a repository of the test's own."""
    repository = f"team/r{uuid.uuid4().hex}"
    return lambda tag: shared.url(f"{repository}{tag}")


Place = Callable[[str], str]


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """Run a registry of the test's own."""
    registry = Registry(tmp_path / "registry")
    yield registry
    registry.kill()


@pytest.fixture
def sender(tmp_path: Path) -> Iterator[Store]:
    with library(tmp_path / "sender") as opened:
        fill(opened)
        yield opened


@pytest.fixture
def cut(registry: Registry) -> Iterator[CutWire]:
    """Give a wire to the registry that can be cut."""
    wire = CutWire(registry.port)
    yield wire
    wire.close()


def through(wire: CutWire, registry: Registry, repository: str = "team/vectors:v1") -> str:
    return registry.url(repository, httpx2.URL(wire.url).port)


def large(store: Store, layers: int = 60) -> None:
    """Save a vector that takes several chunks."""
    vector = make_vector(range(layers), width=1 << 16)
    size = store.save("large", vector, make_card(vector)).version.blobs[0].size
    assert size > CHUNK


def test_everything_arrives_as_it_was(store: Store, sender: Store, place: Place):
    pushed = push(sender, ALL, place(":is"), aliases=True)
    assert (pushed.sent, pushed.present) == (7, 0)
    arrived = pull(store, place(":is"))
    assert arrived.new == ["acme/love@1", "acme/love@2", "mix@1", "made@1", "mixed@1"]
    assert arrived.aliases == ["acme/love@prod"]
    assert contents(store) == contents(sender)
    assert compose(store, "mixed").places == compose(sender, "mixed").places
    assert check(store, full=True).ok
    assert pull(store, place(f"@{pushed.digest}")).new == []


def test_what_is_there_is_not_sent_again_and_a_tag_moves(store: Store, sender: Store, place: Place):
    first = push(sender, ["made"], place(":v1"))
    again = push(sender, ["made"], place(":v1"))
    assert (again.sent, again.size, again.present, again.digest) == (0, 0, first.sent, first.digest)
    more = push(sender, ALL, place(":v1"))
    assert more.sent == 2
    assert len(pull(store, place(":v1")).new) == 5
    assert pull(store, place(f"@{first.digest}")).new == []


def test_a_tag_of_one_version_names_its_manifest_and_one_of_several_an_index(sender: Store, shared: Registry):
    one, several = (
        push(sender, ["acme/love@2"], shared.url("shape:one")),
        push(sender, ["mix"], shared.url("shape:two")),
    )
    root = f"http://127.0.0.1:{shared.port}/v2/shape/manifests"
    accept = {"Accept": f"{MANIFEST_TYPE}, {INDEX_TYPE}"}
    alone = httpx2.get(f"{root}/one", headers=accept, trust_env=False)
    assert alone.headers["content-type"] == MANIFEST_TYPE
    assert one.digest == digest(alone.content) == sender.resolve("acme/love@2").digest
    both = httpx2.get(f"{root}/two", headers=accept, trust_env=False)
    assert both.headers["content-type"] == INDEX_TYPE
    assert several.digest == digest(both.content)
    assert [each["artifactType"].split(".")[-2] for each in both.json()["manifests"]] == ["vector", "recipe"]


def test_one_version_takes_the_next_number_and_several_keep_theirs(store: Store, sender: Store, place: Place):
    push(sender, ["acme/love@2"], place(":one"))
    assert pull(store, place(":one"), namespace="other").new == ["other/love@1"]
    save(sender, "aside", 40)
    push(sender, ["acme/love@2", "aside"], place(":two"))
    assert pull(store, place(":two")).new == ["acme/love@2", "aside@1"]


def test_a_registry_and_a_bundle_have_the_same_index(sender: Store, shared: Registry, place: Place, tmp_path: Path):
    pushed = push(sender, ALL, place(":v1"), aliases=True)
    file = create_bundle(sender, ALL, tmp_path / "all.tar", aliases=True).path
    assert verify_bundle(file).ok
    assert json.loads(shared.blob(pushed.digest).read_bytes())["manifests"]
    assert shared.blob(pushed.digest).read_bytes() in file.read_bytes()


def test_pulls_look_first_as_bundles_do(store: Store, sender: Store, place: Place):
    push(sender, ALL, place(":v1"))
    assert len(pull(store, place(":v1"), dry_run=True).new) == 5
    assert store.list().versions == ()
    save(store, "mixed", 6)
    with pytest.raises(ConflictError, match="nothing came in: mixed is a vector"):
        pull(store, place(":v1"))
    assert len(pull(store, place(":v1"), namespace="team").new) == 5


def test_what_is_not_there_is_told(store: Store, sender: Store, shared: Registry):
    with pytest.raises(NotFoundError, match="has no nobody/knows:v1"):
        pull(store, shared.url("nobody/knows:v1"))
    with pytest.raises(NotFoundError, match="there is no 'gone'"):
        push(sender, ["gone"], shared.url("x"))
    with pytest.raises(InvalidInputError, match="names a digest"):
        push(sender, ["mix"], shared.url(f"x@sha256:{'0' * 64}"))


def test_a_registry_that_is_not_there_is_told(store: Store, sender: Store):
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:9 cannot be reached"):
        pull(store, "oci://127.0.0.1:9/x", patience=SHORT)
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:9 cannot be reached"):
        push(sender, ["mix"], "oci://127.0.0.1:9/x", patience=SHORT)


def test_large_blobs_go_in_chunks_and_come_back_whole(store: Store, sender: Store, place: Place):
    large(sender)
    pushed = push(sender, ["large"], place(":large"))
    assert pushed.size > 15_000_000
    pull(store, place(":large"))
    assert store.read("large")[0] == sender.read("large")[0]


def other_bytes(file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-10])


def made_longer(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"more")


def taken_away(file: Path) -> None:
    shutil.rmtree(file.parent)


@pytest.mark.parametrize("tamper", [other_bytes, cut_short, made_longer, taken_away])
@pytest.mark.parametrize("which", ["blob", "manifest", "index"])
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_what_was_altered_in_the_registry_is_refused(
    store: Store, sender: Store, registry: Registry, tamper: Callable[[Path], None], which: str
):
    pushed = push(sender, ["mix"], registry.url())
    love = sender.resolve("acme/love@1")
    tamper(registry.blob({"blob": love.blobs[0].digest, "manifest": love.digest, "index": pushed.digest}[which]))
    registry.kill()  # it remembers sizes
    registry.start()
    # It checks its manifests itself, and then answers with 500; of blobs it knows no better.
    with pytest.raises(IntegrityError if which == "blob" else (IntegrityError, NotFoundError, UnavailableError)):
        pull(store, registry.url(f"team/vectors@{pushed.digest}"), patience=SHORT)
    assert store.list().versions == ()
    assert list(store.blobs.all()) == []
    assert check(store, full=True).ok


def killed_and_back(registry: Registry) -> Callable[[], None]:
    """Kill the registry, and start it again some time later."""

    def start() -> None:
        time.sleep(0.5)
        registry.start()

    def act() -> None:
        registry.kill()
        threading.Thread(target=start).start()

    return act


@pytest.mark.parametrize("after", [100, 3_000, 60_000, 5_000_000, 10_000_000])
def test_a_push_goes_on_after_the_registry_was_killed(
    sender: Store, registry: Registry, cut: CutWire, tmp_path: Path, after: int
):
    large(sender)
    cut.fuse = (after, killed_and_back(registry))
    push(sender, [*ALL, "large"], through(cut, registry))
    assert cut.fuse is None
    with library(tmp_path / "receiver") as receiver:
        pull(receiver, registry.url())
        assert contents(receiver) == contents(sender)
        assert receiver.read("large")[0] == sender.read("large")[0]
        assert check(receiver, full=True).ok


def test_a_registry_that_forgot_an_upload_gets_it_anew(sender: Store, registry: Registry, cut: CutWire):
    large(sender)

    def act() -> None:
        config = registry.config.read_text()
        registry.config.write_text(config.replace("secret: tests", "secret: another"))
        killed_and_back(registry)()

    cut.fuse = (10_000_000, act)
    assert push(sender, ["large"], through(cut, registry)).sent == 2


def test_a_push_that_was_given_up_is_done_again_with_what_is_missing(
    sender: Store, registry: Registry, cut: CutWire, tmp_path: Path
):
    large(sender)
    cut.fuse = (10_000_000, registry.kill)
    with pytest.raises(UnavailableError, match="cannot be reached"):
        push(sender, [*ALL, "large"], through(cut, registry), patience=SHORT)
    registry.start()
    with library(tmp_path / "receiver") as receiver:
        with pytest.raises(NotFoundError, match="has no team/vectors:v1"):
            pull(receiver, registry.url())
        again = push(sender, [*ALL, "large"], registry.url())
        assert again.present >= 1
        assert len(pull(receiver, registry.url()).new) == 6


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_pull_goes_on_where_it_was_cut(store: Store, sender: Store, registry: Registry, cut: CutWire):
    large(sender)
    push(sender, ["large"], registry.url())
    cut.answers = [5_000_000, 3_000_000, 100, 1]
    arrived = pull(store, through(cut, registry))
    assert arrived.new == ["large@1"]
    assert cut.connections >= 5
    assert store.read("large")[0] == sender.read("large")[0]
