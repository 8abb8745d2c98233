"""Options: the limits that the service keeps to, and what it leaves to its users."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True)
class Options:
    """How a service runs.

    Attributes:
        max_body: bytes of one request's body; what is larger is sent as an upload, in parts.
        max_blob: bytes of one blob, however it is sent.
        max_document: bytes of a JSON body, or of a manifest.
        requests_per_minute: of one token, or of one address where there is none; 0 for as many as they like.
        seconds: what a request may take between two pieces of its body.
        min_rate: bytes of a body in a second, over `seconds` of waiting for it; 0 for bodies as slow as they like.
        upload_time: for so long bytes are kept that no version has yet.
        open_namespaces: whether every user may make namespaces, or administrators alone.
        trusted_proxies: how many proxies stand in front, each of which adds to X-Forwarded-For.
        private_hooks: whether webhooks may go to private addresses.
        accel: the place below which a faster server in front has the folder of blobs (`X-Accel-Redirect`); or nothing.
        presign: seconds for which a bucket's signed URL is good, to which downloads are redirected; 0 to send them.
        uploads: bodies that are received at once, per process; they wait for their senders.
        uploads_of_one: of these, those of one user.
        threads: requests that are worked on at once, per process.
        url: where people reach the service: `https://vectors.example`.
        oidc_issuer: the OpenID provider that people sign in with; or nothing.
        oidc_client_id, oidc_client_secret: what the provider knows the service as; a public client has no secret.
        oidc_auth: how it shows its secret: `client_secret_basic`, `client_secret_post`, or as the provider says.
        secret: what sign-ins are sealed with; the client's secret where there is none.
        oidc_domains: domains of e-mail, with commas between, whose people may sign in; all where there are none.
        oidc_scopes: what the provider is asked to tell.
        oidc_days: for so long a token is good that somebody got by signing in there.
    """

    max_body: int = 64 << 20
    max_blob: int = 1 << 30
    max_document: int = 1 << 20
    requests_per_minute: int = 3000
    seconds: float = 30.0
    min_rate: int = 1024
    upload_time: timedelta = timedelta(days=1)
    open_namespaces: bool = False
    trusted_proxies: int = 0
    private_hooks: bool = False
    accel: str = ""
    presign: int = 0
    uploads: int = 64
    uploads_of_one: int = 16
    threads: int = 12
    url: str = ""
    oidc_issuer: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: str = field(default="", repr=False)
    oidc_auth: str = ""
    secret: str = field(default="", repr=False)
    oidc_domains: str = ""
    oidc_scopes: str = "openid profile email"
    oidc_days: float = 30
