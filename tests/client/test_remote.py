"""Remotes and their tokens: what is kept, where, and who can read it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from vectorstore.client.credentials import find_token, forget_token, keep_token, variable
from vectorstore.client.remote import Remote, add_remote, find_remote, read_remotes, remove_remote
from vectorstore.errors import ConflictError, InvalidInputError, NotFoundError

ACME = Remote("acme", "https://vectors.acme.com/")


def test_remotes_are_kept_by_name(tmp_path: Path):
    other = Remote("other", "http://vectors.test:8000/below", "/etc/ca.pem", insecure=True)
    add_remote(tmp_path, ACME)
    add_remote(tmp_path, ACME)
    add_remote(tmp_path, other)
    assert read_remotes(tmp_path) == {"acme": ACME, "other": other}
    assert find_remote(tmp_path, "acme").url == "https://vectors.acme.com"
    with pytest.raises(ConflictError, match=r"acme is https://vectors.acme.com"):
        add_remote(tmp_path, Remote("acme", "https://elsewhere.com"))
    assert remove_remote(tmp_path, "acme") == ACME
    with pytest.raises(NotFoundError, match="steer remote add acme"):
        find_remote(tmp_path, "acme")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "vectors.acme.com",
        "ftp://vectors.acme.com",
        "https://",
        "https://ann:secret@vectors.acme.com",
        "https://vectors.acme.com?token=x",
        "https://vectors.acme.com#x",
        "https://vectors.acme.com/a b",
        'https://vectors.acme.com"',
        "https://vectors.acme.com\n[evil]",
        "https://[::1",
        "https://vectors.acme.com:port",
        "https://véctors.com",
        "https://a.com/" + "x" * 600,
        "http://vectors.acme.com",
        "http://10.0.0.1",
    ],
)
def test_what_is_no_url_or_not_safe_is_refused_and_passwords_are_not_repeated(url: str):
    with pytest.raises(InvalidInputError) as raised:
        Remote("acme", url)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("url", ["http://localhost:8000", "http://127.0.0.1", "http://[::1]:80", "https://10.0.0.1"])
def test_this_machine_needs_no_encryption(url: str):
    assert Remote("acme", url).url == url


def test_a_token_is_kept_where_only_its_owner_reads_it(tmp_path: Path):
    add_remote(tmp_path, ACME)
    assert find_token(tmp_path, ACME) is None
    keep_token(tmp_path, ACME, "stv_a_b")
    assert find_token(tmp_path, ACME) == "stv_a_b"
    path = tmp_path / "credentials.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "stv_" not in (tmp_path / "remotes.toml").read_text()
    assert forget_token(tmp_path, "acme")
    assert not forget_token(tmp_path, "acme")
    assert "stv_" not in path.read_text()
    assert not [each for each in tmp_path.iterdir() if "stv_" in each.read_text()]


def test_a_token_does_not_follow_the_name_to_another_url(tmp_path: Path):
    keep_token(tmp_path, ACME, "stv_a_b")
    assert find_token(tmp_path, Remote("acme", "https://evil.example.com")) is None


def test_the_environment_counts_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    keep_token(tmp_path, ACME, "stv_a_b")
    monkeypatch.setenv("STEER_TOKEN_ACME", "stv_c_d\n")
    assert find_token(tmp_path, ACME) == "stv_c_d"
    assert variable("my-team") == "STEER_TOKEN_MY_TEAM"


@pytest.mark.parametrize("token", ["", "two words", "stv\nX-Evil: 1", "stv_ö", "x" * 5000])
def test_what_could_not_stand_in_a_header_is_no_token(tmp_path: Path, token: str):
    with pytest.raises(InvalidInputError) as raised:
        keep_token(tmp_path, ACME, token)
    assert "Evil" not in str(raised.value)
    assert not (tmp_path / "credentials.toml").exists()


@pytest.mark.parametrize("text", ["[", "acme = 1", "[acme]\nca = 'x'", "[acme]\nurl = 1", "[acme]\nurl='x'\nnew=1"])
def test_a_file_that_somebody_mangled_is_refused(tmp_path: Path, text: str):
    (tmp_path / "remotes.toml").write_text(text)
    with pytest.raises(InvalidInputError, match=r"mend the file|not the URL"):
        read_remotes(tmp_path)
