"""Courier: sends events to webhooks, signed, in order, and not to addresses that only this machine's network knows.

Signatures are those of Standard Webhooks (standardwebhooks.com, version 1).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import json
import socket
import time

import anyio
import httpx2
from starlette.concurrency import run_in_threadpool

from vectorstore.accounts.webhooks import Delivery, settle, take
from vectorstore.service.edge import log
from vectorstore.store import Store

IDLE_SECONDS = 1.0
TIMEOUT_SECONDS = 10.0  # between two pieces of an answer
MOST_SECONDS = 15.0  # for all of it; well below the lease
AT_ONCE = 4
_NAT64 = bytes.fromhex("0064ff9b") + bytes(8)


class UnfitAddressError(Exception):
    """An address that is not to be asked."""


class Courier:
    """Sends what is due, until it is stopped."""

    def __init__(self, store: Store, *, private: bool) -> None:
        """Send the events of a library; with `private` also to addresses that are not public."""
        self._store, self._private = store, private

    async def run(self) -> None:
        """Send what is due, again and again."""
        async with (
            httpx2.AsyncClient(timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=False) as client,
            anyio.create_task_group() as workers,  # whose end waits for threads that are at the database
        ):
            for _ in range(AT_ONCE):
                workers.start_soon(self._work, client)

    async def _work(self, client: httpx2.AsyncClient) -> None:
        """Send one after another; one who is slow to take theirs keeps only this one waiting."""
        while True:
            try:
                sent = await self.send_one(client)
            except Exception as error:  # noqa: BLE001 - whatever it is, others wait for theirs
                log.warning("webhooks wait", problem=f"{type(error).__name__}: {error}")
                sent = False
            if not sent:
                await asyncio.sleep(IDLE_SECONDS)

    async def send_one(self, client: httpx2.AsyncClient) -> bool:
        """Send the next event that is due; return whether there was one."""
        delivery = await run_in_threadpool(take, self._store)
        if delivery is None:
            return False
        try:
            async with asyncio.timeout(MOST_SECONDS):
                error = await self._send(client, delivery)
        except Exception as trouble:  # noqa: BLE001 - what somebody wrote as a URL may raise anything
            error = f"{type(trouble).__name__}: {trouble}"
        await run_in_threadpool(settle, self._store, delivery, error)
        log.info("webhook", webhook=delivery.webhook, seq=delivery.event.seq, taken=error is None)
        return True

    async def _send(self, client: httpx2.AsyncClient, delivery: Delivery) -> str | None:
        """Send one event; return what went wrong."""
        try:
            url = httpx2.URL(delivery.url)
            address = await self._address(url)
            body = json.dumps({"namespace": delivery.namespace, "event": delivery.event.to_json()}).encode()
            headers = _headers(delivery, body) | {"Host": url.netloc.decode()}
            # To the address that was looked at: a name that means another one a moment later helps nobody.
            request = client.build_request("POST", url.copy_with(host=address), content=body, headers=headers)
            request.extensions["sni_hostname"] = url.host
            response = await client.send(request, stream=True)
            await response.aclose()
        except (httpx2.HTTPError, OSError, UnfitAddressError) as error:
            return f"{type(error).__name__}: {error}"
        return None if response.is_success else f"it answered {response.status_code}"

    async def _address(self, url: httpx2.URL) -> str:
        """Return an address of a URL's host; all of them have to be public."""
        port = url.port or (443 if url.scheme == "https" else 80)
        found = await asyncio.get_running_loop().getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
        addresses = [str(each[4][0]) for each in found]
        for address in addresses:
            if not self._private and not _public(address):
                raise UnfitAddressError(f"{url.host} is at {address}, which is not public")
        return addresses[0]


def _public(address: str) -> bool:
    """Return whether an address is one of the public internet, also behind what carries IPv4 in IPv6."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address) and (
        parsed.packed[:12] == _NAT64 or parsed.sixtofour is not None or parsed.is_site_local
    ):
        return False
    return parsed.is_global and not (parsed.is_multicast or parsed.is_reserved)


def signature(secret: str, identity: str, timestamp: str, body: bytes) -> str:
    """Return `v1,…`: what the other side compares with what it got."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = hmac.new(key, f"{identity}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def _headers(delivery: Delivery, body: bytes) -> dict[str, str]:
    identity, timestamp = f"{delivery.namespace}-{delivery.webhook}-{delivery.event.seq}", str(int(time.time()))
    return {
        "Content-Type": "application/json",
        "User-Agent": "steering-vectorstore",
        "webhook-id": identity,
        "webhook-timestamp": timestamp,
        "webhook-signature": signature(delivery.secret, identity, timestamp, body),
    }
