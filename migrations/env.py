"""Run migrations on the connection that the program hands over, or on the library of the settings."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from vectorstore.settings import Settings
from vectorstore.store import team_schema  # noqa: F401 - its tables belong to the same metadata
from vectorstore.store.engine import begin, make_engine, read_url
from vectorstore.store.lists.search import is_search_table
from vectorstore.store.schema import Base


def run(connection: Connection) -> None:
    """Migrate in the transaction that is already open."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,
        transactional_ddl=True,
        include_name=lambda name, kind, _parents: not (kind == "table" and is_search_table(name)),
    )
    with context.begin_transaction():
        context.run_migrations()


if (given := context.config.attributes.get("connection")) is not None:
    run(given)
else:
    url = read_url(Settings.load().database_url)
    with make_engine(url, foreign_keys=False).begin() as own:
        begin(own, write=True)
        run(own)
