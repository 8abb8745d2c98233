"""Where the library is: options override the environment, the environment overrides the config file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from vectorstore.errors import InvalidInputError

APP = "steering-vectorstore"


@dataclass(frozen=True)
class Settings:
    """The places a library consists of.

    Attributes:
        home: folder of the default library.
        database_url: SQLAlchemy URL.
        blobs_url: `file:///…`, or a plain folder.
        cache: folder for what can be made again (converted demo weights).
    """

    home: Path
    database_url: str
    blobs_url: str
    cache: Path

    @classmethod
    def load(
        cls,
        database_url: str | None = None,
        blobs_url: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Settings:
        """Read `STEER_HOME`, `STEER_DATABASE_URL`, `STEER_BLOBS_URL`, `STEER_CACHE`, `STEER_CONFIG`; then the file.

        Raises:
            InvalidInputError: when the config file cannot be read.
        """
        env = os.environ if environment is None else environment
        values = {f"STEER_{key.upper()}": value for key, value in _config_file(env).items()} | dict(env)
        home = Path(values.get("STEER_HOME") or platformdirs.user_data_dir(APP)).expanduser().absolute()
        return cls(
            home=home,
            database_url=database_url or values.get("STEER_DATABASE_URL") or f"sqlite:///{home / 'library.db'}",
            blobs_url=blobs_url or values.get("STEER_BLOBS_URL") or str(home / "blobs"),
            cache=Path(values.get("STEER_CACHE") or platformdirs.user_cache_dir(APP)).expanduser().absolute(),
        )


def _config_file(env: Mapping[str, str]) -> dict[str, str]:
    path = Path(env.get("STEER_CONFIG") or Path(platformdirs.user_config_dir(APP)) / "config.toml")
    try:
        return {key: str(value) for key, value in tomllib.loads(path.read_text()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"cannot read {path} ({error})", "mend the file or remove it") from error
