"""What an object store's errors mean: one line each, that repeats nothing which might hold a secret.

The driver's own texts hold whole addresses and answers, and with them signatures. So only words that are known are
taken from them, and our errors are not chained to its.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore import exceptions

from vectorstore.errors import IntegrityError, NotAllowedError, UnavailableError, VectorstoreError

_CREDENTIALS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role gives them",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS to a service account's file, or run where one is attached",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN",
}
_PLACES = {
    "s3": "check the network, and AWS_ENDPOINT_URL and AWS_REGION",
    "gs": "check the network, and GOOGLE_APPLICATION_CREDENTIALS",
    "az": "check the network, and AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ENDPOINT",
}
_RESTORE = "restore it from a backup, or compute the vector again and save it"
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")

_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_STATUS = re.compile(r"status(?: code)?: (\d{3})")
_SYSTEM = re.compile(r"kind: (ConnectionRefused|ConnectionReset|HostUnreachable|NetworkUnreachable)")
_BROKE = "the connection broke"
_SIGNS = {
    "dns error": "its host is unknown",
    "TimedOut": "timed out",
    "No such file": "a file of the credentials is missing",
    "UnexpectedEof": _BROKE,
    "IncompleteMessage": _BROKE,
    "BrokenPipe": _BROKE,
    "kind: Body": _BROKE,
    "PutMode::Create when": "conditional writes are switched off",
}
# Where a machine in a cloud asks for the credentials of its role: nobody gave any.
_ASKED_FOR_CREDENTIALS = re.compile(r"/latest/(?:api|meta-data)/|/computeMetadata/|/metadata/identity/|token request")


@contextmanager
def translated(kind: str, url: str) -> Iterator[None]:
    """Turn the errors of a request about `url` into ours.

    Args:
        kind: `s3`, `gs` or `az`.
        url: what the request is about, for the message.

    Raises:
        IntegrityError: there is no such object.
        NotAllowedError: credentials are missing, or the store refuses them.
        UnavailableError: the store or its bucket is not there, or cannot do this at the moment.
    """
    try:
        yield
    except (exceptions.BaseError, OSError, ValueError, NotImplementedError) as error:
        raise _translate(error, kind, url) from None


def broke(error: Exception) -> bool:
    """Return whether a request ended because its connection did; nobody knows how far the store came."""
    return _reason(str(error)) in (_BROKE, "connection reset")


def missing(url: str) -> IntegrityError:
    """Return the error about an object that is not there."""
    return IntegrityError(f"the blob {url} is missing", _RESTORE)


def damaged(url: str, how: str) -> IntegrityError:
    """Return the error about an object that is not what it was."""
    return IntegrityError(f"the blob {url} {how}", _RESTORE)


def no_bucket(url: str, reason: str = "status 404") -> UnavailableError:
    """Return the error about an object for which there is no place."""
    return UnavailableError(f"the bucket of {url} is not there ({reason})", "make it, or mend STEER_BLOBS_URL")


def _translate(error: Exception, kind: str, url: str) -> VectorstoreError:
    text = str(error)
    reason = _reason(text)
    if reason in _NO_BUCKET:
        return no_bucket(url, reason)
    if _ASKED_FOR_CREDENTIALS.search(text):
        return NotAllowedError(f"there are no usable credentials for {url} ({reason})", _CREDENTIALS[kind])
    if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError) or _refused(text):
        return NotAllowedError(f"{url} may not be used ({reason})", f"ask for the right to; or {_CREDENTIALS[kind]}")
    if isinstance(error, FileNotFoundError):
        return missing(url)
    return UnavailableError(f"{url} cannot be used ({reason})", _PLACES[kind])


def _refused(text: str) -> bool:
    status = _STATUS.search(text)
    return status is not None and status[1] in ("401", "403")


def _reason(text: str) -> str:
    """Return the store's own code, its status, or what the system says; nothing else of the text."""
    if code := _CODE.search(text):
        return code[1]
    if status := _STATUS.search(text):
        return f"status {status[1]}"
    if system := _SYSTEM.search(text):
        return re.sub(r"(?<=[a-z])[A-Z]", lambda letter: f" {letter[0].lower()}", system[1]).lower()
    return next((words for sign, words in _SIGNS.items() if sign in text), "no answer")
