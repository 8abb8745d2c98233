"""Webhooks: who is told of a namespace's events."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from vectorstore.accounts import webhooks
from vectorstore.service.guard import Maintaining
from vectorstore.service.paths import Namespace, WebhookId
from vectorstore.service.problems import documented
from vectorstore.service.team_shapes import MadeWebhookOut, WebhookIn, WebhookOut, WebhooksOut

router = APIRouter(prefix="/v1/{namespace}/webhooks", tags=["webhooks"])


@router.get("", responses={200: {"model": WebhooksOut}, **documented(403)}, response_class=JSONResponse)
def list_webhooks(desk: Maintaining, namespace: Namespace) -> Response:
    """List the webhooks, and how far each is; never their secrets."""
    found = webhooks.list_webhooks(desk.store, desk.namespace_id)
    return JSONResponse({"webhooks": [each.to_json() for each in found]})


@router.post(
    "", status_code=201, responses={201: {"model": MadeWebhookOut}, **documented(403, 409)}, response_class=JSONResponse
)
def add(desk: Maintaining, namespace: Namespace, wanted: WebhookIn) -> Response:
    """Tell a URL of what happens from now on; this answer alone has the secret that it is signed with."""
    secret, made = webhooks.add_webhook(desk.store, desk.namespace_id, wanted.url, wanted.actions, by=desk.caller)
    return JSONResponse({"secret": secret, **made.to_json()}, 201)


@router.post(
    "/{webhook}/enable", responses={200: {"model": WebhookOut}, **documented(403, 409)}, response_class=JSONResponse
)
def enable(desk: Maintaining, namespace: Namespace, webhook: WebhookId) -> Response:
    """Try again what was switched off, from where it was; it rests on the rights of who does."""
    return JSONResponse(webhooks.enable_webhook(desk.store, desk.namespace_id, webhook, by=desk.caller).to_json())


@router.delete("/{webhook}", status_code=204, responses=documented(403, 409), response_class=Response)
def remove(desk: Maintaining, namespace: Namespace, webhook: WebhookId) -> Response:
    """Tell nobody there any more."""
    webhooks.remove_webhook(desk.store, desk.namespace_id, webhook)
    return Response(status_code=204)
