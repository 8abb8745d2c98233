"""Which place a URL of blobs means."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

import pytest
from obstore.store import AzureStore, GCSStore, S3Store

from tests.object_server import SECRET, free_port
from vectorstore.canonical import digest
from vectorstore.errors import InvalidInputError, NotAllowedError, UnavailableError
from vectorstore.settings import Settings
from vectorstore.store.blobs.backends import open_blobs
from vectorstore.store.blobs.object_blobs import ObjectBlobs


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what the machine knows of clouds out."""
    for name in ("AWS_ENDPOINT_URL", "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_STORAGE_ACCOUNT_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "team")


@pytest.mark.parametrize(
    ("url", "kind", "place", "prefix"),
    [
        ("s3://bucket", S3Store, {"bucket": "bucket"}, None),
        ("S3://bucket/", S3Store, {"bucket": "bucket"}, None),
        ("s3://my.bucket-1/a/b=c/", S3Store, {"bucket": "my.bucket-1"}, "a/b=c"),
        ("gs://bucket/a", GCSStore, {"bucket": "bucket"}, "a"),
        ("gcs://bucket/a", GCSStore, {"bucket": "bucket"}, "a"),
        ("az://box/a", AzureStore, {"container_name": "box"}, "a"),
        ("azure://box/a/b", AzureStore, {"container_name": "box"}, "a/b"),
        ("abfs://box/a", AzureStore, {"container_name": "box"}, "a"),
        (
            "abfss://box@other.dfs.core.windows.net/a",
            AzureStore,
            {"container_name": "box", "account_name": "other"},
            "a",
        ),
    ],
)
def test_a_url_names_a_bucket_and_a_prefix(tmp_path: Path, url: str, kind: type, place: dict, prefix: str | None):
    blobs = open_blobs(url, tmp_path)
    assert isinstance(blobs, ObjectBlobs)
    assert isinstance(blobs.bucket.store, kind)
    assert place.items() <= blobs.bucket.store.config.items()
    assert blobs.bucket.store.prefix == prefix
    assert blobs.bucket.url == url.rstrip("/")
    assert blobs.cache.root == tmp_path / "blobs"


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "//",
        "///a",
        "bucket",
        "/bucket",
        f"//user:{SECRET}@bucket/a",
        f"//user@{SECRET}/a",
        f"//bucket/a?secret={SECRET}",
        f"//bucket/a#{SECRET}",
        "//bucket/../a",
        "//bucket/a/./b",
        "//bucket/a/..",
        "//bucket/.",
        "//bucket//a",
        "//bucket/a b",
        "//bucket/%61",
        "//bucket/ü",
        "//bucket/a\n",
        "//bucket:80/a",
    ],
)
@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_a_url_that_names_more_or_less_is_refused_and_not_repeated(tmp_path: Path, scheme: str, rest: str):
    with pytest.raises(InvalidInputError, match=rf"the {scheme} URL .* cannot be used; write s3://bucket/prefix") as no:
        open_blobs(f"{scheme}:{rest}", tmp_path)
    assert SECRET not in "".join(traceback.format_exception(no.value))


@pytest.mark.parametrize("url", ["ftp://host/a", "http://bucket/a", "s3a://bucket"])
def test_another_kind_of_url_is_refused(tmp_path: Path, url: str):
    with pytest.raises(InvalidInputError, match="are not supported; give a folder, or an s3://, gs:// or az:// URL"):
        open_blobs(url, tmp_path)


def test_settings_take_a_bucket_as_it_is_written():
    for url in ("s3://bucket/a", "gs://bucket/a/"):
        assert Settings.load(environment={"STEER_BLOBS_URL": url}).blobs_url == url
        assert Settings.load(blobs_url=url, environment={}).blobs_url == url


def test_without_what_speaks_to_stores_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("object_blobs", "object_stores", "object_errors", "bucket"):
        monkeypatch.delitem(sys.modules, f"vectorstore.store.blobs.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(UnavailableError, match=r"need the package obstore; type: pip install 'steering.*\[objects\]'"):
        open_blobs("s3://bucket", tmp_path)
    assert open_blobs(str(tmp_path / "folder"), tmp_path)


def test_an_azure_store_that_is_away_is_unavailable_and_shows_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", f"sv=2024-01-01&sig={SECRET}")
    blobs = open_blobs("az://box/a", tmp_path)
    with pytest.raises(UnavailableError, match=r"az://box/a/sha256/.* cannot be used \(connection refused\)") as away:
        blobs.open(digest(b"love"), 4)
    assert SECRET not in "".join(traceback.format_exception(away.value)) + repr(blobs) + repr(vars(blobs))


def test_an_azure_url_without_an_account_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME")
    with pytest.raises(UnavailableError, match=r"az://box .*AZURE_STORAGE_ACCOUNT_NAME"):
        open_blobs("az://box", tmp_path)


def test_credentials_of_google_that_are_not_there_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "absent.json"))
    with pytest.raises((UnavailableError, NotAllowedError), match="GOOGLE_APPLICATION_CREDENTIALS"):
        open_blobs("gs://bucket", tmp_path)
