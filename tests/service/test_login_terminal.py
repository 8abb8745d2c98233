"""`steer login --sso`: the command line, a service and a provider, all on the loopback, and a browser that is httpx."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import uvicorn
from click.testing import CliRunner

from cli.main import main
from tests.service.oidc_provider import CLIENT, SECRET, Provider
from vectorstore.client.connection import Connection
from vectorstore.client.credentials import find_token
from vectorstore.client.remote import Remote, add_remote
from vectorstore.client.sso import browser_token
from vectorstore.errors import NotAllowedError, UnavailableError
from vectorstore.service.app import create_app
from vectorstore.service.options import Options
from vectorstore.store import Store


@pytest.fixture
def team(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Remote, Provider]]:
    """Serve a library on a real port, beside a provider that knows it."""
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    config = uvicorn.Config("unused:app", host="127.0.0.1", port=0, log_config=None)
    socket = config.bind_socket()
    url = f"http://127.0.0.1:{socket.getsockname()[1]}"
    provider = Provider(f"{url}/v1/login/callback")
    names = {"oidc_issuer": provider.issuer, "oidc_client_id": CLIENT, "oidc_client_secret": SECRET}
    config.app, config.loaded = create_app(store, Options(url=url, **names)), False
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([socket],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield Remote("acme", url), provider
    server.should_exit = True
    thread.join()
    provider.close()


def browse(url: str) -> bool:
    """Open a URL as a browser does: elsewhere, with cookies, following redirects."""

    def follow() -> None:
        with httpx2.Client(follow_redirects=True) as client:
            client.get(url)

    threading.Thread(target=follow, daemon=True).start()
    return True


def test_login_with_a_browser_keeps_a_token(
    team: tuple[Remote, Provider], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("STEER_HOME", str(tmp_path))
    monkeypatch.setattr("webbrowser.open", browse)
    add_remote(tmp_path, team[0])
    done = CliRunner().invoke(main, ["login", "acme", "--sso"])
    assert done.exit_code == 0, done.output
    assert "olga at acme" in done.output
    token = find_token(tmp_path, team[0])
    assert token is not None
    assert token not in done.output


def test_what_is_wrong_at_the_provider_is_said_in_the_terminal(team: tuple[Remote, Provider]):
    remote, provider = team
    provider.person["sub"] = ""
    with Connection(remote) as connection, pytest.raises(NotAllowedError, match="not signed in"):
        browser_token(connection, browse, 60)


def test_nobody_who_signs_in_and_what_other_pages_send_end_in_time(team: tuple[Remote, Provider]):
    def other_page(url: str) -> None:
        port = httpx2.URL(url).params["port"]
        browse(f"http://127.0.0.1:{port}/?code=theirs&state=theirs")

    with Connection(team[0]) as connection, pytest.raises(UnavailableError, match="nobody signed in"):
        browser_token(connection, other_page, 0.5)
