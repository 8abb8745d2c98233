"""Health: whether the process lives, whether it can work, and its metrics."""

from __future__ import annotations

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text
from starlette.responses import JSONResponse, Response

from vectorstore.service.guard import Health
from vectorstore.service.problems import documented

router = APIRouter(tags=["health"])


@router.get("/healthz", response_class=JSONResponse)
async def healthz(_desk: Health) -> Response:
    """Say that the process lives."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz", responses=documented(), response_class=JSONResponse)
def readyz(desk: Health) -> Response:
    """Say that the database and the blobs can be reached."""
    with desk.store.database.look() as connection:
        connection.execute(text("SELECT 1"))
    desk.store.blobs.exists("sha256:" + "0" * 64)
    return JSONResponse({"status": "ok"})


@router.get("/metrics", responses={200: {"content": {"text/plain": {}}}}, response_class=Response)
async def metrics(request: Request, _desk: Health) -> Response:
    """Return what Prometheus reads."""
    return Response(generate_latest(request.app.state.metrics.registry), media_type=CONTENT_TYPE_LATEST)
