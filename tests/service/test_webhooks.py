"""Webhooks: signed, in order, each event once it is taken, and never to private addresses unless allowed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import threading
import time
from asyncio.selector_events import BaseSelectorEventLoop
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from sqlalchemy import update

from tests.accounts.people import signed_in
from tests.builders import make_card, make_vector
from tests.service.conftest import Service, made_elsewhere, push, serving
from vectorstore.accounts.namespaces import (
    add_namespace,
    find_namespace,
    remove_member,
    set_member,
    set_namespace,
)
from vectorstore.accounts.users import add_user, set_disabled
from vectorstore.accounts.webhooks import MAX_ATTEMPTS, add_webhook, enable_webhook, list_webhooks, settle, take
from vectorstore.service.courier import Courier, _public
from vectorstore.store import Store
from vectorstore.store.feed import feed
from vectorstore.store.team_schema import WebhookRow


class Listener:
    """Somebody who is told; refuses while `status` is not 200."""

    def __init__(self) -> None:
        """Listen on a free port."""
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append(({key.lower(): value for key, value in self.headers.items()}, body))
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://localhost:{self.server.server_port}/told?by=steer"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def events(self, count: int) -> list[dict[str, Any]]:
        """Wait for so many events, and return them."""
        end = time.monotonic() + 30
        while len(self.got) < count and time.monotonic() < end:
            time.sleep(0.05)
        return [json.loads(body)["event"] for _, body in self.got]


@pytest.fixture
def listener() -> Iterator[Listener]:
    """Listen."""
    made = Listener()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def open_service(store: Store) -> Iterator[Service]:
    """Serve, with webhooks to this machine allowed."""
    with serving(store, private_hooks=True) as made:
        yield made


def test_events_come_signed_and_in_order(open_service: Service, listener: Listener, tmp_path: Path):
    open_service.namespace("team")
    keeper = open_service.person("max", team="maintainer")
    made = keeper.post("/v1/team/webhooks", json={"url": listener.url}).json()
    assert "secret" not in str(keeper.get("/v1/team/webhooks").json())
    for seed in range(3):
        push(keeper, made_elsewhere(tmp_path, seed=seed), "team/vectors/love")
    assert [event["subject"] for event in listener.events(3)] == ["team/love@1", "team/love@2", "team/love@3"]
    headers, body = listener.got[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(made["secret"].removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["host"] == listener.url.split("/")[2]


def test_only_the_actions_that_are_wanted_come(open_service: Service, listener: Listener, tmp_path: Path):
    open_service.namespace("team")
    keeper = open_service.person("max", team="maintainer")
    keeper.post("/v1/team/webhooks", json={"url": listener.url, "actions": ["alias.set"]})
    push(keeper, made_elsewhere(tmp_path), "team/vectors/love")
    keeper.put("/v1/team/vectors/love/aliases/prod", json={"version": "1"})
    assert [event["action"] for event in listener.events(1)] == ["alias.set"]


def test_what_is_refused_is_sent_again_and_nothing_overtakes_it(
    open_service: Service, listener: Listener, tmp_path: Path
):
    open_service.namespace("team")
    keeper = open_service.person("max", team="maintainer")
    keeper.post("/v1/team/webhooks", json={"url": listener.url})
    listener.status = 500
    for seed in range(2):
        push(keeper, made_elsewhere(tmp_path, seed=seed), "team/vectors/love")
    listener.events(1)
    end = time.monotonic() + 10
    while not (known := keeper.get("/v1/team/webhooks").json()["webhooks"][0])["attempts"]:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert known["last_error"] == "it answered 500"
    listener.status = 200
    with open_service.store.database.write() as session:  # time goes by
        session.execute(update(WebhookRow).values(next_at=datetime.now(UTC)))
    assert [event["subject"] for event in listener.events(3)] == ["team/love@1", "team/love@1", "team/love@2"]


def test_who_never_takes_an_event_is_switched_off_and_can_be_switched_on(store: Store, tmp_path: Path):
    with serving(store) as service:  # which sends nothing to this machine
        service.namespace("team")
        keeper = service.person("max", team="maintainer")
        made = keeper.post("/v1/team/webhooks", json={"url": "http://127.0.0.1:9/"}).json()
        push(keeper, made_elsewhere(tmp_path), "team/vectors/love")
        end = time.monotonic() + 20
        while True:
            assert time.monotonic() < end
            (known,) = keeper.get("/v1/team/webhooks").json()["webhooks"]
            if known["disabled"]:
                break
            with store.database.write() as session:
                session.execute(update(WebhookRow).values(next_at=datetime.now(UTC), attempts=MAX_ATTEMPTS - 1))
            time.sleep(0.2)
        assert "is not public" in known["last_error"]
        last = keeper.get("/v1/team/events").json()["events"][-1]
        assert (last["action"], last["after"]["webhook"]) == ("webhook.disable", made["id"])
        enabled = keeper.post(f"/v1/team/webhooks/{made['id']}/enable").json()
        assert (enabled["disabled"], enabled["attempts"]) == (False, 0)
        assert keeper.ask("DELETE", f"/v1/team/webhooks/{made['id']}").status_code == 204
        assert keeper.get("/v1/team/webhooks").json()["webhooks"] == []


@pytest.mark.parametrize("url", ["ftp://example.org/", "//example.org", "https://exa mple.org", "x"])
def test_what_is_no_url_of_the_web_is_refused(service: Service, url: str):
    service.namespace("team")
    assert service.admin.post("/v1/team/webhooks", json={"url": url}).json()["code"] == "invalid"


@pytest.mark.parametrize("action", ["alias.moved", "Alias.Set", "alias set", "", "x" * 999])
def test_an_action_that_never_happens_is_refused(service: Service, action: str):
    service.namespace("team")
    refused = service.admin.post(
        "/v1/team/webhooks", json={"url": "https://example.org/", "actions": ["alias.set", action]}
    )
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    assert "version.save, " in refused.json()["hint"]
    assert service.admin.get("/v1/team/webhooks").json()["webhooks"] == []


def test_of_two_who_send_one_has_the_event(store: Store):
    add_namespace(store, "team")
    with store.database.read() as session:
        namespace_id = find_namespace(session, "team").id
    add_webhook(store, namespace_id, "https://example.org/")
    vector = make_vector()
    store.save("team/love", vector, make_card(vector))
    first = take(store)
    assert first is not None
    assert (first.namespace, first.event.subject) == ("team", "team/love@1")
    assert take(store) is None
    settle(store, first, None)
    assert take(store) is None


@pytest.mark.parametrize("url", ["http://a..b/", f"http://{'a' * 70}.com/", "http://[::1/", "http://127.0.0.1:1/"])
def test_a_url_that_nobody_can_ask_keeps_no_others_waiting(
    open_service: Service, listener: Listener, tmp_path: Path, url: str
):
    open_service.namespace("team")
    keeper = open_service.person("max", team="maintainer")
    for each in (url, listener.url):
        assert keeper.post("/v1/team/webhooks", json={"url": each}).status_code == 201
    push(keeper, made_elsewhere(tmp_path), "team/vectors/love")
    assert listener.events(1)[0]["subject"] == "team/love@1"
    end = time.monotonic() + 20
    while not keeper.get("/v1/team/webhooks").json()["webhooks"][0]["last_error"]:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_events_name_no_urls_of_webhooks(service: Service):
    service.namespace("team", "public")
    service.admin.post("/v1/team/webhooks", json={"url": "https://example.org/SECRET"})
    assert "SECRET" not in str(service.admin.get("/v1/team/events").json())
    assert service.anybody.get("/v1/team/events").status_code == 401


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "224.0.0.1", "fec0::1"]
)
def test_addresses_of_private_networks_are_known_in_every_dress(address: str):
    assert not _public(address)
    assert _public("93.184.215.14")


@pytest.mark.parametrize("loss", ["role", "membership", "account"])
def test_a_webhook_rests_on_the_rights_of_who_made_it(store: Store, loss: str):
    add_user(store, "max")
    add_namespace(store, "team")
    set_member(store, "team", "max", "maintainer")
    caller = signed_in(store, "max")
    with store.database.read() as session:
        namespace_id = find_namespace(session, "team").id
    _, made = add_webhook(store, namespace_id, "https://example.org/", by=caller)
    assert made.made_by == "max"
    set_namespace(store, "team", {"max_versions": 7})
    assert take(store) is not None
    with store.database.write() as session:
        session.execute(update(WebhookRow).values(leased_until=None))
    if loss == "role":
        set_member(store, "team", "max", "writer")
    elif loss == "membership":
        remove_member(store, "team", "max")
    else:
        set_disabled(store, "max", disabled=True)
    assert take(store) is None
    (found,) = list_webhooks(store, namespace_id)
    said = "max, who made it, is shut out" if loss == "account" else "max, who made it, is no maintainer any more"
    assert (found.disabled, found.last_error) == (True, said)
    last = feed(store, "team")[-1]
    assert (last.action, last.after) == ("webhook.disable", {"webhook": made.id, "reason": said})
    add_user(store, "root", admin=True)
    assert enable_webhook(store, namespace_id, made.id, by=signed_in(store, "root")).made_by == "root"
    assert take(store) is not None


def test_a_name_that_means_another_address_a_moment_later_leads_nobody_inside(
    store: Store, listener: Listener, monkeypatch: pytest.MonkeyPatch
):
    add_namespace(store, "team")
    with store.database.read() as session:
        namespace_id = find_namespace(session, "team").id
    add_webhook(store, namespace_id, listener.url.replace("localhost", "rebind.example"))
    set_namespace(store, "team", {"max_versions": 7})
    asked: list[str] = []
    tried: list[str] = []
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *more: Any, **given: Any) -> Any:
        if host != "rebind.example":
            return real(host, port, *more, **given)
        asked.append(host)
        return real("93.184.215.14" if len(asked) == 1 else "127.0.0.1", port, *more, **given)

    async def connect(_loop: object, _sock: socket.socket, address: tuple[str, int]) -> None:
        tried.append(address[0])
        raise OSError("the network is unreachable")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(BaseSelectorEventLoop, "sock_connect", connect)

    async def send() -> bool:
        async with httpx2.AsyncClient(timeout=5, trust_env=False) as client:
            return await Courier(store, private=False).send_one(client)

    assert anyio.run(send)
    assert (asked, tried, listener.got) == (["rebind.example"], ["93.184.215.14"], [])
    assert list_webhooks(store, namespace_id)[0].attempts == 1
