"""Notices: what the library says against versions that a plan is made of: yanked, or deprecated, and why."""

from __future__ import annotations

import json

from sqlalchemy import select, text

from vectorstore.plan import Plan
from vectorstore.reference import short_name
from vectorstore.store import Store
from vectorstore.store.tables import VERSIONS, is_sqlite

_SPOKEN_OF = select(
    VERSIONS.c.full_name,
    VERSIONS.c.number,
    VERSIONS.c.digest,
    VERSIONS.c.yanked_at,
    VERSIONS.c.yank_reason,
    VERSIONS.c.deprecation,
).where(VERSIONS.c.yanked_at.is_not(None) | VERSIONS.c.deprecation.is_not(None))


def notices(store: Store, plan: Plan) -> list[str]:
    """Return a line for each version of a plan, its recipes too, that is yanked or deprecated: `love@1 is yanked: …`.

    Raises:
        UnavailableError: when the database cannot be used.
    """
    used = {each.label: each.digest for each in plan.ingredients if each.digest} | dict(plan.recipes)
    if not used:
        return []
    with store.database.look() as connection:
        digests = sorted(set(used.values()))
        sqlite = is_sqlite(connection)
        listed = "IN (SELECT value FROM json_each(:digests))" if sqlite else "= ANY(:digests)"
        asked = {"digests": json.dumps(digests) if sqlite else digests}
        found = connection.execute(_SPOKEN_OF.where(text(f"digest {listed}")), asked).all()
    return [
        f"{short_name(f'{row.full_name}@{row.number}')} is {what}{f': {why}' if why else ''}"
        for row in found
        if f"{row.full_name}@{row.number}" in used
        for what, why in (("yanked", row.yank_reason), ("deprecated", row.deprecation))
        if (row.yanked_at is not None if what == "yanked" else row.deprecation is not None)
    ]
