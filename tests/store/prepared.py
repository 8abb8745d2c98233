"""What every program of these tests imports and prepares; done once, before they are forked."""

from __future__ import annotations

import alembic.autogenerate
import alembic.command
import alembic.config
import psycopg
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import configure_mappers

from vectorstore.compose import pin
from vectorstore.store import Store
from vectorstore.store.upkeep import backup, fsck, gc, rebuild

__all__ = ["Store", "alembic", "backup", "fsck", "gc", "pin", "postgresql", "psycopg", "rebuild", "sqlite"]

configure_mappers()
