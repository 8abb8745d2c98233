"""Settings: options, then the environment, then the config file, then defaults."""

from __future__ import annotations

import re
from pathlib import Path

import platformdirs
import pytest
from sqlalchemy import create_engine, make_url, text

from vectorstore.errors import InvalidInputError
from vectorstore.settings import Settings

NAMES = ("home", "database_url", "blobs_url", "cache")


def config(folder: Path, content: str) -> dict[str, str]:
    path = folder / "config.toml"
    path.write_text(content, encoding="utf-8")
    return {"STEER_CONFIG": str(path)}


@pytest.fixture(autouse=True)
def _no_config_of_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read no file and no variable of whoever runs the tests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    for name in (*NAMES, "config"):
        monkeypatch.delenv(f"STEER_{name.upper()}", raising=False)


def test_the_default_library_is_in_the_users_data_folder():
    settings = Settings.load(environment={})
    home = Path(platformdirs.user_data_dir("steering-vectorstore"))
    assert settings.home == home
    assert make_url(settings.database_url).database == str(home / "library.db")
    assert settings.blobs_url == str(home / "blobs")
    assert settings.cache == Path(platformdirs.user_cache_dir("steering-vectorstore"))


def test_home_moves_database_and_blobs(tmp_path: Path):
    settings = Settings.load(environment={"STEER_HOME": str(tmp_path)})
    assert settings.database_url == f"sqlite:///{tmp_path}/library.db"
    assert settings.blobs_url == str(tmp_path / "blobs")


@pytest.mark.parametrize("name", ["team.db", "with space.db", "50%2541.db"])
def test_the_blobs_of_a_sqlite_file_are_beside_it(tmp_path: Path, name: str):
    settings = Settings.load(f"sqlite:///{tmp_path}/{name}", environment={"STEER_HOME": "/home/ada"})
    assert settings.blobs_url == str(tmp_path / "blobs")


def server_blobs(url: str) -> str:
    return Settings.load(url, environment={"STEER_HOME": "/home/ada"}).blobs_url


def test_the_blobs_of_a_database_on_a_server_have_a_folder_of_their_own_in_home():
    urls = (
        "postgresql+psycopg://localhost/library",
        "postgresql+psycopg://localhost/other",
        "postgresql+psycopg://localhost:5433/library",
        "postgresql+psycopg://example.org/library",
        "postgresql+psycopg:///library?host=/run/postgresql",
        "sqlite:////home/ada/library.db",
    )
    folders = [server_blobs(url) for url in urls]
    assert len(set(folders)) == len(urls)
    assert re.fullmatch(r"/home/ada/blobs-library-[0-9a-f]{8}", folders[0])


def test_one_database_on_a_server_has_one_folder_whoever_asks():
    urls = ("localhost/library", "localhost:5432/library", "ada:se%2Fcret@localhost/library?connect_timeout=5")
    assert len({server_blobs(f"postgresql://{url}") for url in urls}) == 1
    assert server_blobs("postgresql:///library") == server_blobs("postgresql+psycopg://localhost/library")


def test_a_database_of_any_name_has_a_folder_in_home():
    assert Path(server_blobs("postgresql://localhost/..%2F..%2Fetc")).parent == Path("/home/ada")


def test_a_relative_home_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    settings = Settings.load(environment={"STEER_HOME": "my/library"})
    monkeypatch.chdir("/")
    assert settings.home == tmp_path / "my/library"
    assert make_url(settings.database_url).database == str(tmp_path / "my/library/library.db")


def test_a_tilde_is_the_users_home(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/home/ada")
    settings = Settings.load(environment={"STEER_HOME": "~/library", "STEER_CACHE": "~/cache"})
    assert settings.home == Path("/home/ada/library")
    assert settings.cache == Path("/home/ada/cache")


def test_a_home_of_nobody_is_one_line():
    with pytest.raises(InvalidInputError, match=r"'~nobody-has-this-name/x' is no path .*; write the whole path"):
        Settings.load(environment={"STEER_HOME": "~nobody-has-this-name/x"})


def test_the_config_file_sets_each_of_them(tmp_path: Path):
    lines = [f'{name} = "/from/file/{name}"' for name in NAMES]
    settings = Settings.load(environment=config(tmp_path, "\n".join(lines)))
    assert [str(getattr(settings, name)) for name in NAMES] == [f"/from/file/{name}" for name in NAMES]


def test_the_environment_overrides_the_config_file(tmp_path: Path):
    file = config(tmp_path, "\n".join(f'{name} = "/from/file/{name}"' for name in NAMES))
    settings = Settings.load(environment=file | {f"STEER_{name.upper()}": f"/from/env/{name}" for name in NAMES})
    assert [str(getattr(settings, name)) for name in NAMES] == [f"/from/env/{name}" for name in NAMES]


def test_options_override_the_environment():
    environment = {"STEER_DATABASE_URL": "sqlite:///env.db", "STEER_BLOBS_URL": "/env"}
    settings = Settings.load("sqlite:///option.db", "/option", environment)
    assert (settings.database_url, settings.blobs_url) == ("sqlite:///option.db", "/option")


def test_an_empty_value_counts_as_none(tmp_path: Path):
    environment = config(tmp_path, 'home = "/from/file"\nblobs_url = ""') | {"STEER_HOME": "", "STEER_DATABASE_URL": ""}
    settings = Settings.load("", "", environment)
    assert settings.home == Path("/from/file")
    assert settings.database_url == "sqlite:////from/file/library.db"
    assert settings.blobs_url == "/from/file/blobs"


def test_the_config_file_is_looked_for_in_the_users_config_folder(tmp_path: Path):
    folder = tmp_path / "xdg" / "steering-vectorstore"
    folder.mkdir(parents=True)
    config(folder, 'home = "/from/file"')
    assert Settings.load(environment={}).home == Path("/from/file")


def test_without_an_environment_the_process_has_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STEER_HOME", "/from/process")
    assert Settings.load().home == Path("/from/process")


@pytest.mark.parametrize(
    ("content", "trouble"),
    [
        ("home = ", "cannot read .*config.toml"),
        ("home = /unquoted", "cannot read .*config.toml"),
        ("home = 3", "has 'home = 3'; give texts for home, database_url, blobs_url, cache"),
        ('[home]\npath = "/x"', "has 'home = .*'; give texts for"),
        ('databse_url = "sqlite://"', "has 'databse_url = .*'; give texts for home, database_url"),
    ],
)
def test_a_bad_config_file_is_one_line_that_names_it(tmp_path: Path, content: str, trouble: str):
    with pytest.raises(InvalidInputError, match=trouble) as caught:
        Settings.load(environment=config(tmp_path, content))
    assert "\n" not in str(caught.value)


def test_a_config_file_that_is_not_utf8_is_one_line(tmp_path: Path):
    (tmp_path / "config.toml").write_bytes(b'home = "\xff"')
    with pytest.raises(InvalidInputError, match=r"cannot read .*config\.toml .*mend the file or remove it"):
        Settings.load(environment={"STEER_CONFIG": str(tmp_path / "config.toml")})


def test_a_chosen_config_file_has_to_be_there(tmp_path: Path):
    with pytest.raises(InvalidInputError, match=r"there is no .*absent\.toml; mend STEER_CONFIG"):
        Settings.load(environment={"STEER_CONFIG": str(tmp_path / "absent.toml")})


def test_a_folder_is_no_config_file(tmp_path: Path):
    with pytest.raises(InvalidInputError, match="cannot read"):
        Settings.load(environment={"STEER_CONFIG": str(tmp_path)})


@pytest.mark.parametrize("name", ["plain", "with space", "50%41", "a?b=c", "a#b", "ä@:b", "+plus"])
def test_the_default_database_is_in_home_whatever_its_name(tmp_path: Path, name: str):
    home = tmp_path / name
    home.mkdir()
    engine = create_engine(Settings.load(environment={"STEER_HOME": str(home)}).database_url)
    with engine.begin() as connection:
        connection.execute(text("create table t (x)"))
    engine.dispose()
    assert [path.name for path in home.iterdir()] == ["library.db"]


def test_what_postgresql_takes_from_the_environment_tells_libraries_apart_too():
    def blobs(url: str, **environment: str) -> str:
        return Settings.load(url, environment={"STEER_HOME": "/home/ada", **environment}).blobs_url

    bare = "postgresql+psycopg://"
    one = blobs(bare, PGHOST="a", PGDATABASE="team")
    assert one == blobs("postgresql+psycopg://a/team") == blobs("postgresql://eve@a:5432/team")
    others = [
        blobs(bare, PGHOST="b", PGDATABASE="team"),
        blobs(bare, PGHOST="a", PGDATABASE="other"),
        blobs(bare, PGHOST="a", PGDATABASE="team", PGPORT="5433"),
        blobs(bare, PGHOST="a", PGUSER="eve"),
        blobs(bare, PGHOST="a"),
    ]
    assert len({one, *others}) == 6
