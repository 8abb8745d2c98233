"""Object stores: from a URL to a bucket, with patience that ends. Nothing is connected yet."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from typing import TYPE_CHECKING

from obstore.store import AzureStore, GCSStore, S3Store

from vectorstore.errors import InvalidInputError
from vectorstore.store.blobs.bucket import Bucket, ObjectStore
from vectorstore.store.blobs.object_errors import translated

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

_KINDS = {"s3": "s3", "gs": "gs", "gcs": "gs", "az": "az", "azure": "az", "abfs": "az", "abfss": "az"}

# Keys are made of what needs no quoting anywhere. The @ is for abfss://container@account.dfs.core.windows.net alone.
_PLACE = re.compile(
    r"//(?P<bucket>[a-z0-9][\w.-]*(?P<account>@[\w.-]+)?)(?:/(?P<prefix>(?!\.\.?/)[\w.=-]+(?:/(?!\.\.?/)[\w.=-]+)*))?/",
    re.ASCII | re.IGNORECASE,
)
_SHAPES = (
    "write s3://bucket/prefix, gs://bucket/prefix or az://container/prefix; the rest comes from the environment, "
    "such as AWS_ENDPOINT_URL"
)
_RETRIES: RetryConfig = {
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=30),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2)},
}
_CLIENT: ClientConfig = {
    "connect_timeout": "10s",
    "read_timeout": "60s",  # without a byte; a request has to be sent and answered in it, too
    "timeout": "1h",
    "allow_http": True,  # all endpoints are https, but those that somebody has given as http
}


def open_bucket(url: str) -> Bucket:
    """Return the place at `url`; credentials and endpoint come from the environment.

    Raises:
        InvalidInputError: for a URL that says less or more than that. It is not repeated: it may hold a secret.
        UnavailableError: for settings in the environment that cannot be used.
    """
    scheme, _, rest = url.partition(":")
    kind = _KINDS[scheme.lower()]
    place = _PLACE.fullmatch(rest.rstrip("/") + "/")
    if place is None or (place["account"] and not scheme.lower().startswith("abfs")):
        raise InvalidInputError(f"the {scheme} URL of the blobs cannot be used", _SHAPES)
    shown = f"{scheme}:{rest.rstrip('/')}"
    with translated(kind, shown):
        return Bucket(kind, shown, _connect(kind, place["bucket"], place["prefix"]))


def _connect(kind: str, bucket: str, prefix: str | None) -> ObjectStore:
    if kind == "s3":
        return S3Store(bucket, prefix=prefix, config=_s3(), client_options=_CLIENT, retry_config=_RETRIES)
    if kind == "gs":
        return GCSStore(bucket, prefix=prefix, client_options=_CLIENT, retry_config=_RETRIES)
    url = f"abfss://{bucket}/{prefix or ''}"  # from_url takes no prefix beside it
    return AzureStore.from_url(url, client_options=_CLIENT, retry_config=_RETRIES)


def _s3() -> S3Config:
    """Let the server check what it gets, and delete one object by the request that every server knows."""
    return {
        "checksum_algorithm": os.environ.get("AWS_CHECKSUM_ALGORITHM") or "sha256",
        "disable_bulk_delete": True,
    }
