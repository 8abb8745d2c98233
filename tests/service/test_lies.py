"""What is said of a version beside its bytes: in forms, headers, queries and cards. The manifest's digest decides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.lies import BODY, CARD, LIES, VECTOR, Lie, card, header, told
from tests.service.conftest import Made, Person, Service, made_elsewhere, push
from vectorstore.canonical import digest
from vectorstore.manifest import NAME_ANNOTATION, VECTOR_BLOB, BlobEntry, Manifest
from vectorstore.store import Store
from vectorstore.store.upkeep.fsck import check

TABLES = ("versions", "artifacts", "uploads", "aliases", "labels", "events")


@pytest.fixture
def wendy(service: Service) -> Person:
    service.namespace("team")
    return service.person("wendy", team="writer")


def everything(store: Store) -> dict[str, Any]:
    """Return what a library holds: rows, and the digests of its files."""
    with store.database.look() as connection:
        rows = {name: connection.scalar(text(f"SELECT count(*) FROM {name}")) for name in TABLES}  # noqa: S608
        received = connection.scalars(text("SELECT received FROM uploads ORDER BY id")).all()
    return rows | {"received": received, "blobs": sorted(str(each) for each in store.blobs.all())}


def in_two_steps(person: Person, lie: Lie) -> Any:
    for name, data in lie.by_digest.items():
        assert person.put(f"/v1/team/blobs/{name}", content=data).status_code == 201
    return person.put(f"/v1/team/vectors/lie/versions/{lie.manifest.digest}", content=lie.manifest.to_bytes())


def in_one_body(person: Person, lie: Lie) -> Any:
    data = lie.manifest.to_bytes()
    headers = {"Manifest-Size": str(len(data))}
    body = data + b"".join(lie.blobs)
    return person.put(f"/v1/team/vectors/lie/versions/{lie.manifest.digest}", content=body, headers=headers)


WAYS = {"in two steps": in_two_steps, "in one body": in_one_body}


@pytest.mark.parametrize("way", WAYS)
def test_a_version_that_tells_the_truth_is_taken(service: Service, wendy: Person, way: str):
    for body in (BODY, header(lambda _: None), card(lambda _: None)):  # as lies are made, but for the lie
        assert WAYS[way](wendy, told(body)).status_code in (200, 201)
    read = service.store.read("team/lie@1")
    assert read == (VECTOR, CARD)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_version_that_contradicts_itself_is_refused_and_nothing_of_it_is_shown(
    service: Service, wendy: Person, lie: str, way: str
):
    answer = WAYS[way](wendy, LIES[lie])
    assert (answer.status_code, answer.json()["code"]) == (422, "integrity"), answer.text
    assert wendy.get("/v1/team/vectors").json()["versions"] == []
    assert check(service.store, full=True).problems == []


OTHER = told(BODY + b"\0").blobs[0]
FALSE = {
    "a size that is larger": (BlobEntry(VECTOR_BLOB, digest(BODY), len(BODY) + 1), BODY),
    "a size that is smaller": (BlobEntry(VECTOR_BLOB, digest(BODY), len(BODY) - 1), BODY),
    "the digest of other bytes": (BlobEntry(VECTOR_BLOB, digest(OTHER), len(BODY)), BODY),
    "another media type": (BlobEntry("application/octet-stream", digest(BODY), len(BODY)), BODY),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("what", FALSE)
def test_a_manifest_that_says_something_else_of_its_blob_is_refused(
    service: Service, wendy: Person, what: str, way: str
):
    entry, blob = FALSE[what]
    manifest = (
        b'{"annotations":'
        + Manifest("vector", (entry,), {NAME_ANNOTATION: "team/lie"}).to_bytes().partition(b'{"annotations":')[2]
    )
    name = digest(manifest)
    if way == "in two steps":
        assert wendy.put(f"/v1/team/blobs/{digest(blob)}", content=blob).status_code == 201
        answer = wendy.put(f"/v1/team/vectors/lie/versions/{name}", content=manifest)
    else:
        headers = {"Manifest-Size": str(len(manifest))}
        answer = wendy.put(f"/v1/team/vectors/lie/versions/{name}", content=manifest + blob, headers=headers)
    assert answer.status_code in (409, 422), answer.text
    assert wendy.get("/v1/team/vectors").json()["versions"] == []
    assert check(service.store, full=True).problems == []


MULTIPART = "multipart/form-data; boundary=x"
URLENCODED = "application/x-www-form-urlencoded"


def form(data: bytes) -> bytes:
    """Return bytes as a browser's form would send them, with a name of the form's own."""
    field = b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\nother\r\n'
    return field + b'--x\r\nContent-Disposition: form-data; name="file"; filename="v"\r\n\r\n' + data + b"\r\n--x--\r\n"


@pytest.mark.parametrize("kind", [MULTIPART, URLENCODED, f" {URLENCODED.upper()} ; a=b"])
@pytest.mark.parametrize("wrap", [form, lambda data: b"name=other&file=" + data, bytes], ids=["form", "fields", "raw"])
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_form_is_refused_wherever_bytes_are_taken_and_changes_nothing(
    service: Service, wendy: Person, tmp_path: Path, kind: str, wrap: Callable[[bytes], bytes]
):
    made = made_elsewhere(tmp_path)
    ((name, data),) = made.blobs.items()
    upload = wendy.post("/v1/team/uploads", json={"digest": name, "size": len(data)}).json()["id"]
    before = everything(service.store)
    body, headers = wrap(data), {"Content-Type": kind}
    asked = [
        wendy.put(f"/v1/team/blobs/{digest(body)}", content=body, headers=headers),
        wendy.put(f"/v1/team/blobs/{name}", content=body, headers=headers),
        wendy.ask("PATCH", f"/v1/team/uploads/{upload}", content=body, headers=headers | {"Upload-Offset": "0"}),
    ]
    manifest = wrap(made.manifest)
    for name_of in (digest(manifest), made.digest):
        path = f"/v1/team/vectors/love/versions/{name_of}"
        asked.append(wendy.put(path, content=manifest, headers=headers))
        sizes = headers | {"Manifest-Size": str(len(made.manifest))}
        asked.append(wendy.put(path, content=manifest + data, headers=sizes))
    assert [answer.status_code for answer in asked] == [422] * len(asked)
    assert {answer.json()["code"] for answer in asked} == {"invalid"}
    assert everything(service.store) == before


@pytest.mark.parametrize("kind", [MULTIPART, URLENCODED])
def test_a_form_is_no_document_either(service: Service, wendy: Person, tmp_path: Path, kind: str):
    assert push(wendy, made_elsewhere(tmp_path), "team/vectors/love").status_code == 201
    before = everything(service.store)
    body, headers = (
        b'{"digest":"sha256:' + b"0" * 64 + b'","size":3,"name":"x","references":[]}',
        {"Content-Type": kind},
    )
    for method, path in (
        ("POST", "/v1/team/uploads"),
        ("POST", "/v1/team/absent"),
        ("POST", "/v1/resolve"),
        ("PUT", "/v1/team/vectors/love/aliases/prod"),
        ("PATCH", "/v1/team/vectors/love/versions/1"),
        ("POST", "/v1/tokens"),
    ):
        answer = wendy.ask(method, path, content=body, headers=headers)
        assert 400 <= answer.status_code < 500, (path, answer.text)
    assert everything(service.store) == before


ASIDE = {
    "name": "other",
    "digest": f"sha256:{'0' * 64}",
    "size": "1",
    "model": "gpt2",
    "card": '{"model":{"reference":"gpt2"}}',
    "namespace": "elsewhere",
    "number": "77",
    "description": "another",
    "labels": '{"topic":"another"}',
    "media_type": "application/x",
    "dtype": "F64",
}
HEADERS = {
    "Content-Type": "application/x-other",
    "Content-Disposition": 'attachment; filename="other.safetensors"',
    "Docker-Content-Digest": f"sha256:{'0' * 64}",
    "Digest": "sha-256=AAAA",
    "Content-MD5": "AAAA",
    "X-Name": "other",
    "X-Model": "gpt2",
    "ETag": '"other"',
    "X-HTTP-Method-Override": "DELETE",
    "X-Original-URL": "/v1/other/vectors/love",
    "Slug": "other",
}


def stored(service: Service, made: Made) -> dict[str, Any]:
    version = service.store.resolve("team/love@1")
    shown = version.to_json()
    del shown["created_at"]
    assert service.store.read_manifest(version) == made.manifest
    assert {
        each.digest: bytes(service.store.blobs.open(each.digest, each.size)) for each in version.blobs
    } == made.blobs
    return shown


def test_what_queries_and_headers_say_changes_nothing_of_what_is_stored(
    service: Service, wendy: Person, tmp_path: Path
):
    made = made_elsewhere(tmp_path, labels={"topic": "love"}, description="What it is.")
    ((name, data),) = made.blobs.items()
    answer = wendy.put(f"/v1/team/blobs/{name}", content=data, params=ASIDE, headers=HEADERS)
    assert (answer.status_code, answer.json()) == (201, {"digest": name, "size": len(data)})
    path = f"/v1/team/vectors/love/versions/{made.digest}"
    assert wendy.put(path, content=made.manifest, params=ASIDE, headers=HEADERS).status_code == 201
    shown = stored(service, made)
    assert (shown["reference"], shown["labels"], shown["description"]) == (
        "team/love@1",
        {"topic": "love"},
        "What it is.",
    )
    plainly = made_elsewhere(tmp_path, name="love", labels={"topic": "love"}, description="What it is.")
    assert push(wendy, plainly, "team/vectors/plain").status_code == 201
    plain = service.store.resolve("team/plain@1").to_json()
    assert {key: shown[key] for key in ("digest", "model", "sites", "blobs") if key in shown} == {
        key: plain[key] for key in ("digest", "model", "sites", "blobs") if key in shown
    }
    assert everything(service.store)["versions"] == 2


def test_a_digest_in_the_path_that_is_not_the_bytes_is_refused_whatever_else_is_said(
    service: Service, wendy: Person, tmp_path: Path
):
    made = made_elsewhere(tmp_path)
    ((name, data),) = made.blobs.items()
    before = everything(service.store)
    aside = {"digest": name, "size": str(len(data))}
    wrong = f"sha256:{'1' * 64}"
    answer = wendy.put(f"/v1/team/blobs/{wrong}", content=data, params=aside, headers={"Docker-Content-Digest": name})
    assert (answer.status_code, answer.json()["code"]) == (422, "integrity")
    body = made.manifest + data
    headers = {"Manifest-Size": str(len(made.manifest)), "Docker-Content-Digest": made.digest}
    answer = wendy.put(f"/v1/team/vectors/love/versions/{wrong}?digest={made.digest}", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "integrity")
    assert everything(service.store) == before


def test_the_name_is_the_paths_and_the_manifests_own_is_kept_as_it_is(wendy: Person, tmp_path: Path):
    """A version may have another name than where it was made; its bytes, and so its digest, stay what they are."""
    made = made_elsewhere(tmp_path, name="love")
    assert push(wendy, made, "team/vectors/calm").json()["reference"] == "team/calm@1"
    assert wendy.get(f"/v1/team/vectors/calm/versions/{made.digest}/manifest").content == made.manifest
    assert wendy.get("/v1/team/vectors/love").status_code == 404
