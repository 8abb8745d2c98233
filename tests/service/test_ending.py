"""A service that is told to end: no connection closes under the feet of who asks on it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.service.processes import Process
from vectorstore.store import Store

ENDED = -signal.SIGTERM


@pytest.fixture
def process(library_url: str, blobs_folder: Path, tmp_path: Path) -> Iterator[Process]:
    with Store.open(library_url, blobs=str(blobs_folder)):
        pass
    with Process(tmp_path / "log", STEER_DATABASE_URL=library_url, STEER_BLOBS_URL=str(blobs_folder)) as made:
        yield made


def ask(connection: HTTPConnection) -> bool:
    """Ask; return whether the answer was said to be the last."""
    connection.request("GET", "/healthz")
    answer = connection.getresponse()
    assert answer.status == 200
    answer.read()
    return answer.getheader("connection") == "close"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_who_asks_on_and_on_is_told_which_answer_is_the_last(process: Process):
    started = threading.Barrier(9)

    def work() -> int:
        connection, asked = HTTPConnection("127.0.0.1", process.port, timeout=30), 1
        assert not ask(connection)
        started.wait(30)
        while not ask(connection):
            asked += 1
        return asked

    with ThreadPoolExecutor(8) as pool:
        every = [pool.submit(work) for _ in range(8)]
        started.wait(30)
        assert process.stop() == ENDED
        assert min(each.result() for each in every) > 0


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_an_idle_connection_may_ask_once_more_and_keeps_nobody_waiting(process: Process):
    used, unused = (HTTPConnection("127.0.0.1", process.port, timeout=30) for _ in range(2))
    assert not ask(used)
    unused.connect()
    process.process.send_signal(signal.SIGTERM)
    process.until("Shutting down")
    assert ask(used)
    assert process.process.wait(20) == ENDED
    assert unused.sock is not None
    assert unused.sock.recv(1) == b""
    unused.close()
