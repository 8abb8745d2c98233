"""The command line as people use it: words in; an exit code, stdout and stderr out. Tiny models to steer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.blank import blank
from tests.cli.steering import Steer
from tests.client.made import saved
from tests.client.server import Server, in_silence
from tests.extract.tiny_tokenizer import tiny_tokenizer
from tests.tiny_models import tiny_model
from vectorstore.models.quiet import quiet
from vectorstore.store import Store


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the program at a library of its own, which is not there yet."""
    for name in ("STEER_DATABASE_URL", "STEER_BLOBS_URL", "STEER_CACHE", "STEER_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "config.toml").touch()
    monkeypatch.setenv("STEER_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("STEER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def steer(home: Path) -> Steer:
    """Run the program."""
    return Steer(home)


@pytest.fixture
def server(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serve a team's library."""
    monkeypatch.setenv("STEER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "team.db").write_bytes(sqlite_template.read_bytes())
    with in_silence(2), Store.open(f"sqlite:///{tmp_path}/team.db", blobs=str(tmp_path / "team")) as store:
        served = Server(store)
        served.namespace("team")
        yield served
        served.stop()


@pytest.fixture
def token(server: Server) -> str:
    """Return the token of a maintainer of the team."""
    return server.person("ann", team="maintainer")


@pytest.fixture
def signed_in(steer: Steer, server: Server, token: str, home: Path) -> Steer:
    """Add the remote, sign in, and fill the library."""
    blank(steer.home / "library.db")
    with Store.open() as store:
        saved(store, "love", presets={"strong": 2})
        saved(store, "calm", 1)
    assert steer("remote", "add", "acme", server.url).code == 0
    assert steer("login", "acme", "--token-stdin", stdin=f"{token}\n").code == 0
    assert (home / "credentials.toml").stat().st_mode & 0o777 == 0o600
    return steer


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Save a Llama of 3 layers and width 32, with a tokenizer of letters; return its folder."""
    return _saved(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Save one of width 64."""
    return _saved(tmp_path_factory.mktemp("models") / "wide", hidden_size=64)


@pytest.fixture(scope="session")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Save one like `tiny` with other weights: a fine-tune, as far as anybody can tell."""
    return _saved(tmp_path_factory.mktemp("models") / "tuned", seed=1)


@pytest.fixture(scope="session")
def alien(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Save one of the same width and depth, but of another architecture."""
    return _saved(tmp_path_factory.mktemp("models") / "alien", architecture="qwen2")


def _saved(folder: Path, architecture: str = "llama", **changes: int) -> str:
    with quiet():
        tiny_model(architecture, **changes).save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
    return str(folder)
