"""Seal: values that only this service can read and make, though others keep them meanwhile.

They are what lets several processes share a sign-in without a state of their own. JWE (RFC 7516) with `dir` and
A256GCM; each purpose has a key of its own, derived from the client's secret by HKDF (RFC 5869).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from vectorstore.errors import NotAllowedError

_HEADER = {"alg": "dir", "enc": "A256GCM"}
_ALGORITHMS = list(_HEADER.values())


class Seal:
    """Seals values for one purpose, for a while."""

    def __init__(self, secret: str, purpose: str, seconds: int) -> None:
        """Derive the key; what was sealed can be opened for so many seconds."""
        derived = HKDF(SHA256(), 32, salt=None, info=f"steering-vectorstore {purpose}".encode())
        self._key, self.seconds = OctKey.import_key(derived.derive(secret.encode())), seconds

    def close(self, values: Mapping[str, str | int]) -> str:
        """Return values as text that nobody else can read."""
        document = json.dumps({**values, "until": int(time.time()) + self.seconds})
        return jwe.encrypt_compact(_HEADER, document, self._key, algorithms=_ALGORITHMS)

    def open(self, text: str) -> dict[str, str]:
        """Return the values, all of them as text.

        Raises:
            NotAllowedError: for what was sealed elsewhere, for something else, or too long ago.
        """
        try:
            plain = jwe.decrypt_compact(text, self._key, algorithms=_ALGORITHMS).plaintext
        except (JoseError, ValueError) as error:
            raise NotAllowedError("this sign-in did not begin here", "begin again: steer login REMOTE --sso") from error
        values = json.loads(plain or b"{}")
        if time.time() >= values.get("until", 0):
            raise NotAllowedError("this sign-in took too long", "begin again: steer login REMOTE --sso")
        return {key: str(value) for key, value in values.items()}
