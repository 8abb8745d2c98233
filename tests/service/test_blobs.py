"""Bytes over HTTP: ranges, parts, and what is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy import select

from tests.service.conftest import Person, Service, made_elsewhere, push, serving
from vectorstore.canonical import digest
from vectorstore.store import Store
from vectorstore.store.team_schema import UploadRow
from vectorstore.store.upkeep.fsck import check
from vectorstore.store.upkeep.gc import collect

DATA = bytes(range(256)) * 40


def test_bytes_come_in_ranges_and_not_again_to_who_has_them(service: Service, tmp_path: Path):
    service.namespace("team")
    writer, made = service.person("wendy", team="writer"), made_elsewhere(tmp_path)
    push(writer, made, "team/vectors/love")
    ((name, data),) = made.blobs.items()
    path = f"/v1/team/blobs/{name}"
    whole = writer.get(path)
    assert (whole.content, whole.headers["etag"]) == (data, f'"{name}"')
    assert "immutable" in whole.headers["cache-control"]
    part = writer.get(path, headers={"Range": "bytes=10-19", "If-Range": f'"{name}"'})
    assert (part.status_code, part.content) == (206, data[10:20])
    assert writer.get(path, headers={"Range": f"bytes={len(data)}-"}).status_code == 416
    assert writer.get(path, headers={"If-None-Match": f'"{name}"'}).status_code == 304
    head = writer.ask("HEAD", path)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(data)), b"")


def test_bytes_of_another_digest_are_refused_and_leave_nothing(service: Service):
    service.namespace("team")
    writer = service.person("wendy", team="writer")
    refused = writer.put(f"/v1/team/blobs/{digest(DATA)}", content=DATA + b"x")
    assert (refused.status_code, refused.json()["code"]) == (422, "integrity")
    assert check(service.store, full=True).problems == []


def test_an_upload_in_parts_goes_on_where_it_was(service: Service):
    service.namespace("team")
    writer = service.person("wendy", team="writer")
    wanted = {"digest": digest(DATA), "size": len(DATA)}
    upload = writer.post("/v1/team/uploads", json=wanted).json()
    path = f"/v1/team/uploads/{upload['id']}"
    first = writer.ask("PATCH", path, content=DATA[:4000], headers={"Upload-Offset": "0"})
    assert first.json()["received"] == 4000
    again = writer.ask("PATCH", path, content=DATA[:4000], headers={"Upload-Offset": "0"})
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert writer.post(f"{path}/finish").status_code == 409
    assert writer.get(path).json()["received"] == 4000
    writer.ask("PATCH", path, content=DATA[4000:], headers={"Upload-Offset": "4000"})
    assert writer.post(f"{path}/finish").json()["finished"] is True
    assert writer.post(f"{path}/finish").json()["finished"] is True
    assert bytes(service.store.blobs.open(wanted["digest"], len(DATA))) == DATA
    assert not collect(service.store).blobs  # it is kept until it expires


def test_more_than_was_announced_or_other_bytes_are_refused(service: Service):
    service.namespace("team")
    writer = service.person("wendy", team="writer")
    upload = writer.post("/v1/team/uploads", json={"digest": digest(DATA), "size": 10}).json()
    path = f"/v1/team/uploads/{upload['id']}"
    assert writer.ask("PATCH", path, content=DATA, headers={"Upload-Offset": "0"}).status_code == 422
    assert writer.get(path).json()["received"] == 0
    writer.ask("PATCH", path, content=DATA[:10], headers={"Upload-Offset": "0"})
    assert writer.post(f"{path}/finish").json()["code"] == "integrity"
    assert writer.get(path).status_code == 404
    assert check(service.store, full=True).problems == []


def test_an_upload_is_nobody_elses(service: Service):
    service.namespace("team")
    service.namespace("other")
    writer, stranger = service.person("wendy", team="writer"), service.person("otto", other="writer")
    upload = writer.post("/v1/team/uploads", json={"digest": digest(DATA), "size": len(DATA)}).json()
    for namespace in ("team", "other"):
        assert stranger.get(f"/v1/{namespace}/uploads/{upload['id']}").status_code == 404
        assert stranger.ask("DELETE", f"/v1/{namespace}/uploads/{upload['id']}").status_code == 404
    assert writer.ask("DELETE", f"/v1/team/uploads/{upload['id']}").status_code == 204


def test_bodies_that_are_too_large_are_refused_whatever_they_say_of_themselves(store: Store):
    with serving(store, max_body=1000) as service:
        service.namespace("team")
        writer = service.person("wendy", team="writer")
        path = f"/v1/team/blobs/{digest(DATA)}"
        told = writer.put(path, content=DATA)
        untold = writer.put(path, content=iter([DATA[:600], DATA[600:]]))
        for refused in (told, untold):
            assert (refused.status_code, refused.json()["code"]) == (413, "too-large")
        assert check(store, full=True).problems == []


def test_a_faster_server_in_front_is_told_where_the_bytes_are(store: Store, tmp_path: Path):
    with serving(store, accel="/internal") as service:
        service.namespace("team")
        writer, made = service.person("wendy", team="writer"), made_elsewhere(tmp_path)
        push(writer, made, "team/vectors/love")
        (name,) = made.blobs
        answer = writer.get(f"/v1/team/blobs/{name}")
        assert answer.headers["x-accel-redirect"] == f"/internal/sha256/{name[7:9]}/{name[7:]}"
        assert answer.content == b""


def test_documents_are_small_and_nobody_reads_large_ones(store: Store):
    with serving(store, max_document=1000) as service:
        refused = service.anybody.post("/v1/resolve", json={"references": ["x" * 2000]})
        assert (refused.status_code, refused.json()["code"]) == (413, "too-large")


def test_another_token_each_time_is_no_way_round_the_limit(store: Store):
    with serving(store, requests_per_minute=60) as service:
        junk = [Person(service.client, f"stv_{number}") for number in range(30)]
        assert [person.get("/v1/me").status_code for person in junk][-1] == 429


def test_who_asks_too_often_is_told_to_wait(store: Store):
    with serving(store, requests_per_minute=60) as service:
        answers = [service.anybody.get("/v1/me") for _ in range(12)]
    assert [answer.status_code for answer in answers[:10]] != [429] * 10
    assert (answers[-1].status_code, answers[-1].json()["code"]) == (429, "too-many")
    assert answers[-1].headers["retry-after"] == "1"


def test_who_joins_a_large_upload_keeps_nobody_else_waiting(store: Store):
    with serving(store, threads=1) as service, ThreadPoolExecutor(2) as pool:
        service.namespace("team")
        writer, data = service.person("wendy", team="writer"), b"x" * 100
        upload = writer.post("/v1/team/uploads", json={"digest": digest(data), "size": len(data)}).json()["id"]
        path = f"/v1/team/uploads/{upload}"
        assert writer.ask("PATCH", path, content=data, headers={"Upload-Offset": "0"}).status_code == 200
        with store.database.write() as session:  # holds up whoever notes that the upload is finished
            session.scalars(select(UploadRow).with_for_update()).all()
            joined = pool.submit(writer.post, f"{path}/finish")
            joins = service.client.app.state.joins  # type: ignore[attr-defined]
            while not joins.borrowed_tokens:
                assert not joined.done()
            assert pool.submit(writer.get, "/v1/me").result(timeout=30).status_code == 200
            assert not joined.done()
        assert joined.result().status_code == 200
