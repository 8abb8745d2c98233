"""A hub that cannot be reached, or has no such model: told after one attempt."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

GONE = b"HTTP/1.1 404 Not Found\r\nX-Error-Code: RepoNotFound\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@contextmanager
def hub(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Give the URL of a hub that answers this and hangs up, and the list of what it was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    asked.append(connection.recv(1 << 16).partition(b"\r\n")[0])
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked
        listening.shutdown(socket.SHUT_RDWR)


def said(model: str, url: str, folder: object) -> str:
    """Load a model from a hub in a process of its own, which reads where the hub is once; return the error."""
    code = f"from vectorstore.models import load_model\nload_model({model!r})"
    environment = os.environ | {
        "HF_HUB_OFFLINE": "",
        "HF_ENDPOINT": url,
        "HF_HOME": str(folder),
        "NO_PROXY": "127.0.0.1",
    }
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    return ended.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("model", "hint"),
    [("demoo", "did you mean demo?"), ("nobody/nothing@main", "check the network and HF_HUB_OFFLINE")],
)
def test_a_hub_that_hangs_up_is_asked_once(tmp_path: object, model: str, hint: str):
    with hub(b"") as (url, asked):
        last = said(model, url, tmp_path)
    assert f"UnavailableError: model '{model}' is not in the local cache" in last
    assert hint in last
    files = [line for line in asked if b"/resolve/" in line]  # its library has questions of its own besides
    assert len(files) == 1
    assert files[0].startswith(b"HEAD ")


def test_a_hub_that_has_no_such_model_says_so(tmp_path: object):
    with hub(GONE) as (url, asked):
        last = said("demoo", url, tmp_path)
    assert "NotFoundError: there is no model 'demoo' on the Hugging Face hub" in last
    assert "did you mean demo?" in last
    assert len(asked) >= 2  # what it says is believed, and its library says what it means
