"""Where the library is: options override the environment, the environment overrides the config file."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

import platformdirs

from vectorstore.canonical import canonical_bytes, digest
from vectorstore.errors import InvalidInputError

APP = "steering-vectorstore"
KEYS = ("home", "database_url", "blobs_url", "cache")


def absolute_path(text: str) -> Path:
    """Return the absolute path; `~` is the user's home.

    Raises:
        InvalidInputError: for the home of nobody, and for what no system takes as a path.
    """
    if "\0" in text:
        raise InvalidInputError(f"'{text[:60]}' is no path (it has a zero byte)", "write the whole path")
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise InvalidInputError(f"'{text[:60]}' is no path ({error})", "write the whole path") from error


@dataclass(frozen=True)
class Settings:
    """The places a library consists of.

    Attributes:
        home: folder of the default library.
        database_url: SQLAlchemy URL.
        blobs_url: a plain folder, `file:///…`, or a bucket (`s3://…`, `gs://…`, `az://…`); by default a folder beside
            the SQLite file, or one in `home` for each database of a server.
        cache: folder for what can be made again (converted demo weights, blobs of a bucket).
    """

    home: Path
    database_url: str
    blobs_url: str
    cache: Path

    @property
    def names_database(self) -> bool:
        """Whether the database is one that somebody named, rather than the default one in `home`."""
        return self.database_url != _default_database(self.home)

    @classmethod
    def load(
        cls,
        database_url: str | None = None,
        blobs_url: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Settings:
        """Read `STEER_HOME`, `STEER_DATABASE_URL`, `STEER_BLOBS_URL`, `STEER_CACHE`; then the file at `STEER_CONFIG`.

        The file is TOML with the keys `home`, `database_url`, `blobs_url` and `cache`; an empty value counts as none.

        Raises:
            InvalidInputError: when the config file cannot be read, or says something else.
        """
        env = {key: value for key, value in (os.environ if environment is None else environment).items() if value}
        values = _config_file(env) | env
        home = absolute_path(values.get("STEER_HOME") or platformdirs.user_data_dir(APP))
        chosen = database_url or values.get("STEER_DATABASE_URL") or _default_database(home)
        return cls(
            home=home,
            database_url=chosen,
            blobs_url=blobs_url or values.get("STEER_BLOBS_URL") or str(_default_blobs(chosen, home, env)),
            cache=absolute_path(values.get("STEER_CACHE") or platformdirs.user_cache_dir(APP)),
        )


def _default_database(home: Path) -> str:
    return f"sqlite:///{quote(str(home / 'library.db'))}"


def _default_blobs(database_url: str, home: Path, env: Mapping[str, str]) -> Path:
    """Return where the blobs of a database belong: no two libraries share a folder by accident."""
    scheme, _, file = database_url.partition(":///")
    if scheme.startswith("sqlite"):
        return (absolute_path(unquote(file.partition("?")[0])).parent if file else home) / "blobs"
    return home / _server_folder(database_url, env)


def _server_folder(database_url: str, env: Mapping[str, str]) -> str:
    """Return a folder's name for one database of one server: `blobs-team-1f0e5d7a`, whoever the user is.

    What the URL leaves out, PostgreSQL's driver takes from its own variables of the environment.
    """
    from sqlalchemy import exc, make_url  # noqa: PLC0415 - takes a while to import, and the cache needs no database

    try:
        url = make_url(database_url)
    except (exc.ArgumentError, ValueError):
        return "blobs"  # of no library: whoever connects is told what is wrong with the URL
    user = url.username or env.get("PGUSER", "")
    name = str(url.query.get("dbname") or url.database or env.get("PGDATABASE") or user)
    host = url.query.get("host") or url.host or env.get("PGHOST", "localhost")
    port = url.query.get("port") or url.port or env.get("PGPORT", "5432")
    place = [str(host), str(port), name]
    return f"blobs-{re.sub(r'[^A-Za-z0-9_-]', '_', name)[:40]}-{digest(canonical_bytes(place))[7:15]}"


def _config_file(env: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of the config file, under the names they have in the environment."""
    chosen = env.get("STEER_CONFIG")
    path = absolute_path(chosen) if chosen else Path(platformdirs.user_config_dir(APP)) / "config.toml"
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if not chosen:
            return {}
        raise InvalidInputError(f"there is no {path}", "mend STEER_CONFIG or unset it") from error
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"cannot read {path} ({error})", "mend the file or remove it") from error
    for key, value in values.items():
        if key not in KEYS or not isinstance(value, str):
            raise InvalidInputError(f"{path} has '{key} = {value!r}'", f"give texts for {', '.join(KEYS)}, and no more")
    return {f"STEER_{key.upper()}": value for key, value in values.items() if value}
