"""What a registry may say, and what is made of it: secrets stay where they belong, and every byte is counted."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import stamina

from tests.builders import make_card, make_vector
from tests.transfer.libraries import library
from tests.transfer.scripted import Asked, Reply, scripted
from vectorstore.canonical import digest
from vectorstore.errors import IntegrityError, InvalidInputError, NotAllowedError, NotFoundError, UnavailableError
from vectorstore.manifest import MANIFEST_TYPE
from vectorstore.store import Store
from vectorstore.transfer.address import parse_address
from vectorstore.transfer.credentials import find_credentials
from vectorstore.transfer.index import INDEX_TYPE
from vectorstore.transfer.registry import pull, push
from vectorstore.transfer.wire import Patience

TRIES = Patience(attempts=4, seconds=20)
BASIC = "Basic " + base64.b64encode(b"ann:hunter2").decode()


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have no credentials, and no time to lose."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    for name in ("STEER_OCI_USERNAME", "STEER_OCI_PASSWORD", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    stamina.set_testing(True, attempts=4)
    yield
    stamina.set_testing(False)


@pytest.fixture
def login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEER_OCI_USERNAME", "ann")
    monkeypatch.setenv("STEER_OCI_PASSWORD", "hunter2")


class Parts:
    """The bytes of one version, by digest."""

    def __init__(self, folder: Path) -> None:
        with library(folder) as store:
            vector = make_vector(range(6), width=20_000)
            version = store.save("love", vector, make_card(vector)).version
            self.manifest = store.read_manifest(version)
            entry = version.blobs[0]
            self.blob = bytes(store.blobs.open(entry.digest, entry.size))
        self.digest = version.digest

    def answer(self, asked: Asked) -> Reply:
        if "/manifests/" in asked.path:
            return Reply(200, self.manifest, {"Content-Type": MANIFEST_TYPE})
        return Reply(200, self.blob)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return Parts(tmp_path_factory.mktemp("parts") / "library")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with library(tmp_path / "receiver") as opened:
        yield opened


def pulled(store: Store, answer: Callable[[Asked], Reply], reference: str = ":v1"):
    with scripted(answer) as server:
        arrived = pull(store, f"oci://127.0.0.1:{server.port}/team/love{reference}", patience=TRIES)
        return arrived, server


def challenged(challenge: str, expected: str, then: Callable[[Asked], Reply]) -> Callable[[Asked], Reply]:
    def answer(asked: Asked) -> Reply:
        if asked.headers.get("authorization") != expected:
            return Reply(401, b"{}", {"WWW-Authenticate": challenge})
        return then(asked)

    return answer


@pytest.mark.usefixtures("login")
def test_a_name_and_password_are_shown_when_they_are_asked_for(store: Store, parts: Parts):
    arrived, server = pulled(store, challenged('Basic realm="x"', BASIC, parts.answer))
    assert arrived.new == ["love@1"]
    assert "authorization" not in server.asked[0].headers
    assert len(server.asked) == 3


def test_without_credentials_it_is_said_what_to_type(store: Store, parts: Parts):
    with pytest.raises(NotAllowedError, match=r"wants credentials; type: docker login 127\.0\.0\.1:\d+, or set STEER_"):
        pulled(store, challenged('Basic realm="x"', BASIC, parts.answer))


@pytest.mark.usefixtures("login")
def test_credentials_that_are_refused_are_not_tried_over_and_over(store: Store, parts: Parts):
    asked: list[Asked] = []

    def answer(request: Asked) -> Reply:
        asked.append(request)
        return challenged('Basic realm="x"', "Basic other", parts.answer)(request)

    with pytest.raises(NotAllowedError, match="refuses these credentials") as caught:
        pulled(store, answer)
    assert len(asked) == 2
    assert "hunter2" not in str(caught.value)


@pytest.mark.usefixtures("login")
def test_a_token_is_bought_where_the_registry_says_and_shown_to_it_alone(store: Store, parts: Parts):
    with scripted(lambda _: Reply(200, b'{"token":"abc","expires_in":60}')) as tokens:
        scope = 'service="reg",scope="repository:team/love:pull"'
        challenge = f'Bearer realm="http://127.0.0.1:{tokens.port}/token?x=1",{scope}'
        arrived, server = pulled(store, challenged(challenge, "Bearer abc", parts.answer))
    assert arrived.new == ["love@1"]
    assert [each.path for each in tokens.asked] == ["/token?x=1&service=reg&scope=repository%3Ateam%2Flove%3Apull"]
    assert tokens.asked[0].headers["authorization"] == BASIC
    assert {each.headers.get("authorization") for each in server.asked} == {None, "Bearer abc"}


def test_a_token_is_bought_without_credentials_too(store: Store, parts: Parts):
    with scripted(lambda _: Reply(200, b'{"access_token":"abc"}')) as tokens:
        challenge = f'Bearer realm="http://127.0.0.1:{tokens.port}/token"'
        assert pulled(store, challenged(challenge, "Bearer abc", parts.answer))[0].new == ["love@1"]
    assert "authorization" not in tokens.asked[0].headers


@pytest.mark.usefixtures("login")
def test_a_token_that_ran_out_is_bought_anew(store: Store, parts: Parts):
    bought: list[str] = []

    def token(_asked: Asked) -> Reply:
        bought.append(f"t{len(bought)}")
        return Reply(200, json.dumps({"token": bought[-1]}).encode())

    with scripted(token) as tokens:
        challenge = f'Bearer realm="http://127.0.0.1:{tokens.port}/token"'

        def answer(asked: Asked) -> Reply:
            wanted = "t1" if "/blobs/" in asked.path else "t0"
            return challenged(challenge, f"Bearer {wanted}", parts.answer)(asked)

        assert pulled(store, answer)[0].new == ["love@1"]
    assert bought == ["t0", "t1"]


UNSAFE = [
    "ftp://127.0.0.1/x",
    "http://198.51.100.7/token",
    "//",
    "",
    "http://user:word@127.0.0.1/",
    "file:///etc/passwd",
]


@pytest.mark.usefixtures("login")
@pytest.mark.parametrize("realm", UNSAFE)
def test_secrets_go_to_no_unsafe_place(store: Store, parts: Parts, realm: str):
    with pytest.raises(NotAllowedError, match="an unsafe place for a token"):
        pulled(store, challenged(f'Bearer realm="{realm}"', "Bearer abc", parts.answer))


@pytest.mark.usefixtures("login")
@pytest.mark.parametrize("body", [b"", b"[]", b'{"token":1}', b'{"token":"a\\nb"}', b'{"token":"' + b"x" * (1 << 19)])
def test_what_is_no_token_is_none(store: Store, parts: Parts, body: bytes):
    with scripted(lambda _: Reply(200, body)) as tokens:
        with pytest.raises(UnavailableError, match="gives no token"):
            pulled(store, challenged(f'Bearer realm="http://127.0.0.1:{tokens.port}/"', "Bearer abc", parts.answer))


@pytest.mark.usefixtures("login")
def test_a_redirect_to_another_place_takes_no_secret_along(store: Store, parts: Parts):
    with scripted(parts.answer) as elsewhere:

        def answer(asked: Asked) -> Reply:
            if "/blobs/" in asked.path:
                return Reply(307, b"", {"Location": f"http://127.0.0.1:{elsewhere.port}/bucket/blob?signed=1"})
            return parts.answer(asked)

        arrived, server = pulled(store, challenged('Basic realm="x"', BASIC, answer))
    assert arrived.new == ["love@1"]
    assert [each.path for each in elsewhere.asked] == ["/bucket/blob?signed=1"]
    assert "authorization" not in elsewhere.asked[0].headers
    assert server.seen("GET", "/blobs/")[-1].headers["authorization"] == BASIC


@pytest.mark.parametrize(
    ("location", "match"),
    [("/v2/team/love/blobs/x", "refuses"), ("", "sends us to nowhere"), ("file:///etc/passwd", "sends us to nowhere")],
)
def test_redirects_in_a_circle_or_to_nowhere_end(store: Store, parts: Parts, location: str, match: str):
    def answer(asked: Asked) -> Reply:
        return Reply(302, b"", {"Location": location}) if "/blobs/" in asked.path else parts.answer(asked)

    with pytest.raises(UnavailableError, match=match):
        pulled(store, answer)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_registry_that_is_busy_is_asked_again(store: Store, parts: Parts, status: int):
    answers = iter([Reply(status, b"", {"Retry-After": "0"}), Reply(status)])
    arrived, server = pulled(store, lambda asked: next(answers, None) or parts.answer(asked))
    assert arrived.new == ["love@1"]
    assert len(server.asked) == 4


def test_a_registry_that_stays_busy_is_given_up(store: Store):
    with pytest.raises(UnavailableError, match=r"is busy, or broken \(status 503\)"):
        pulled(store, lambda _: Reply(503))


def test_what_is_refused_is_not_asked_again(store: Store):
    body = b'{"errors":[{"code":"DENIED\\u001b[2J","message":"no"}]}'
    with pytest.raises(UnavailableError, match=r"refuses team/love:v1 \(status 418, DENIED") as caught:
        pulled(store, lambda _: Reply(418, body))
    assert "\x1b" not in str(caught.value)
    with pytest.raises(NotAllowedError):
        pulled(store, lambda _: Reply(403))
    with pytest.raises(NotFoundError, match="has no team/love:v1"):
        pulled(store, lambda _: Reply(404))


@pytest.mark.parametrize("ranges", ["with ranges", ""])
def test_a_download_that_is_cut_goes_on_where_it_was(store: Store, parts: Parts, ranges: str):
    cuts = iter([100_000, 50_000, 1, 0])

    def answer(asked: Asked) -> Reply:
        if "/blobs/" not in asked.path:
            return parts.answer(asked)
        start = int(asked.headers.get("range", "bytes=0-")[6:-1])
        cut = next(cuts, None)
        if not (start and ranges):
            return Reply(200, parts.blob, cut=None if cut is None else start + cut)
        total = len(parts.blob)
        about = {"Content-Range": f"bytes {start}-{total - 1}/{total}"}
        return Reply(206, parts.blob[start:], about, cut)

    arrived, server = pulled(store, answer)
    assert arrived.new == ["love@1"]
    asked = [each.headers.get("range") for each in server.seen("GET", "/blobs/")]
    assert asked[0] is None
    assert asked[1] == "bytes=100000-"


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data[:-1] + b"\xff",
        lambda _: b"",
    ],
)
def test_bytes_that_are_not_what_they_should_be_are_refused(
    store: Store, parts: Parts, change: Callable[[bytes], bytes]
):
    def blob(asked: Asked) -> Reply:
        return parts.answer(asked) if "/manifests/" in asked.path else Reply(200, change(parts.blob))

    def manifest(_asked: Asked) -> Reply:
        return Reply(200, change(parts.manifest), {"Content-Type": MANIFEST_TYPE})

    for answer in (blob, manifest):
        with pytest.raises(IntegrityError):
            pulled(store, answer, f"@{parts.digest}")
    assert store.list().versions == ()
    assert list(store.blobs.all()) == []


def test_an_index_whose_manifest_was_altered_is_refused(store: Store, parts: Parts):
    other = parts.manifest.replace(b"default/love", b"default/hate")
    descriptor = {"mediaType": MANIFEST_TYPE, "digest": digest(parts.manifest), "size": len(parts.manifest)}
    index = json.dumps({"schemaVersion": 2, "manifests": [descriptor]}).encode()

    def answer(asked: Asked) -> Reply:
        if asked.path.endswith("/v1"):
            return Reply(200, index, {"Content-Type": f"{INDEX_TYPE}; charset=utf-8"})
        return Reply(200, other, {"Content-Type": MANIFEST_TYPE}) if "/manifests/" in asked.path else Reply(404)

    with pytest.raises(IntegrityError, match="has other bytes under"):
        pulled(store, answer)


@pytest.mark.parametrize("body", [b"x" * (5 << 20), b'{"schemaVersion":2,"layers":[]}', b"<html>"])
def test_what_is_no_vector_is_refused(store: Store, body: bytes):
    with pytest.raises(IntegrityError):
        pulled(store, lambda _: Reply(200, body, {"Content-Type": MANIFEST_TYPE}))


def test_packed_bytes_are_not_unpacked(store: Store, parts: Parts):
    packed = Reply(200, parts.manifest, {"Content-Type": MANIFEST_TYPE, "Content-Encoding": "gzip"})
    arrived, server = pulled(store, lambda asked: packed if "/manifests/" in asked.path else parts.answer(asked))
    assert arrived.new == ["love@1"]
    assert server.asked[0].headers["accept-encoding"] == "identity"


def test_an_upload_may_go_on_elsewhere_without_our_secret(parts: Parts, tmp_path: Path, login: None):  # noqa: ARG001
    with scripted(lambda _: Reply(201)) as elsewhere, library(tmp_path / "sender") as sender:
        vector = make_vector()
        sender.save("love", vector, make_card(vector))

        def answer(asked: Asked) -> Reply:
            if asked.method == "POST":
                return Reply(202, b"", {"Location": f"http://127.0.0.1:{elsewhere.port}/up?state=1"})
            return Reply(201) if asked.method == "PUT" else Reply(404)

        with scripted(challenged('Basic realm="x"', BASIC, answer)) as server:
            pushed = push(sender, ["love"], f"oci://127.0.0.1:{server.port}/team/love:v1", patience=TRIES)
    assert pushed.sent == 2
    assert [each.path.partition("&")[0] for each in elsewhere.asked] == ["/up?state=1"] * 2
    assert all(f"digest=sha256%3A{digest(each.body)[7:]}" in each.path for each in elsewhere.asked)
    assert not any("authorization" in each.headers for each in elsewhere.asked)


def test_a_proxy_of_the_environment_is_used(store: Store, parts: Parts, monkeypatch: pytest.MonkeyPatch):
    with scripted(parts.answer) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", "")
        arrived = pull(store, "oci://registry.invalid/team/love:v1", plain_http=True, patience=TRIES)
    assert arrived.new == ["love@1"]
    assert proxy.asked[0].path == "http://registry.invalid/v2/team/love/manifests/v1"


ADDRESSES = {
    "oci://registry.example.com/team/vectors:v1": "https://registry.example.com/v2/team/vectors",
    "oci://registry.example.com:5000/x": "https://registry.example.com:5000/v2/x",
    "oci://localhost:5000/x:1": "http://localhost:5000/v2/x",
    "oci://127.0.0.1/x": "http://127.0.0.1/v2/x",
    "oci://[::1]:5000/x": "http://[::1]:5000/v2/x",
    "oci://localhost.example.com/x": "https://localhost.example.com/v2/x",
    "oci://docker.io/ann/x": "https://registry-1.docker.io/v2/ann/x",
}


@pytest.mark.parametrize("url", ADDRESSES)
def test_http_is_spoken_to_this_machine_alone_unless_it_is_asked_for(url: str):
    assert parse_address(url).root == ADDRESSES[url]
    assert parse_address(url, plain=True).root.startswith("http://")
    assert parse_address(url, plain=False).root.startswith("https://")
    assert parse_address(str(parse_address(url))) == parse_address(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://registry.example.com/x",
        "oci://registry.example.com",
        "oci://registry.example.com/",
        "oci://registry.example.com/UPPER",
        "oci://registry.example.com/../x",
        "oci://registry.example.com/a//b",
        "oci://registry.example.com/x:",
        "oci://registry.example.com/x@sha256:12",
        "oci://registry.example.com:99999/x",
        "oci://ann:hunter2@registry.example.com/x",
        "oci://registry.example.com/x?y",
        "oci://registry.example.com/x\n",
        f"oci://registry.example.com/{'a' * 256}",
    ],
)
def test_what_is_no_address_is_refused_without_repeating_a_secret(url: str):
    with pytest.raises(InvalidInputError, match="is no address of an OCI registry") as caught:
        parse_address(url)
    assert "hunter2" not in str(caught.value)


def configured(tmp_path: Path, config: object) -> None:
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))


@pytest.mark.parametrize("key", ["registry.example.com:5000", "https://registry.example.com:5000/v1/"])
def test_credentials_of_docker_login_are_found(tmp_path: Path, key: str):
    configured(tmp_path, {"auths": {"other": {"auth": "eDp5"}, key: {"auth": BASIC[6:]}}})
    found = find_credentials("registry.example.com:5000")
    assert found is not None
    assert (found.username, found.password, found.basic) == ("ann", "hunter2", BASIC)
    assert "hunter2" not in repr(found)
    assert find_credentials("registry.example.com") is None


@pytest.mark.parametrize("config", [{}, {"auths": []}, {"auths": {"r.io": {}}}, {"auths": {"r.io": {"auth": ""}}}, []])
def test_a_config_without_them_has_none(tmp_path: Path, config: object):
    configured(tmp_path, config)
    assert find_credentials("r.io") is None


@pytest.mark.parametrize("config", ["{", {"auths": {"r.io": {"auth": "%%%"}}}, {"auths": {"r.io": {"auth": 7}}}])
def test_a_config_that_cannot_be_understood_is_told(tmp_path: Path, config: object):
    configured(tmp_path, config)
    with pytest.raises(InvalidInputError, match=r"config\.json"):
        find_credentials("r.io")


def test_a_name_without_a_password_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STEER_OCI_USERNAME", "ann")
    with pytest.raises(InvalidInputError, match="STEER_OCI_PASSWORD is not set"):
        find_credentials("r.io")
