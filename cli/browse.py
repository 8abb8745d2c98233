"""Browse: what a remote has, as `steer list`, `steer history` and `steer show` show it; nothing of it is taken."""

from __future__ import annotations

from dataclasses import replace

from vectorstore.client import browse
from vectorstore.client.where import SLASHES, Where
from vectorstore.errors import InvalidInputError
from vectorstore.reference import Reference, check_name
from vectorstore.settings import Settings
from vectorstore.store.lists.filter import Filter
from vectorstore.store.lists.listing import Sort

from .answer import Answer, Facts, Table
from .catalogue import versions_answer
from .pages import going_on
from .remotes import connected
from .show import directions_table, presets_table, said_facts


def newest(settings: Settings, wanted: Filter, sort: Sort, limit: int, after: str | None) -> Answer:
    """List the newest versions of REMOTE//NAMESPACE, or the namespaces of REMOTE//."""
    text = wanted.namespace or ""
    remote, _, namespace = text.partition(SLASHES)
    if not namespace:
        if wanted != Filter(text):
            raise InvalidInputError("versions are listed by namespace", f"name one: {text}NAMESPACE")
        return _namespaces(settings, remote, limit, after)
    where = Where.parse(text)
    with connected(settings, where.remote) as library:
        page = browse.newest(library, replace(wanted, namespace=where.namespace), sort, limit, after)
    filtered = wanted != Filter(text) or after is not None
    return versions_answer(page, "nothing matches" if filtered else f"{where} is empty", where.remote)


def history(settings: Settings, reference: Reference, limit: int, after: str | None) -> Answer:
    """List all versions of a name of a remote."""
    remote = reference.remote or ""
    with connected(settings, remote) as library:
        page = browse.history(library, reference, limit, after)
    return versions_answer(page, "there are no older ones", remote)


def show(settings: Settings, reference: Reference) -> Answer:
    """Show what a remote says of a version."""
    remote = reference.remote or ""
    with connected(settings, remote) as library:
        version = browse.version(library, replace(reference, remote=None))
    name = f"{remote}{SLASHES}{version.reference}"
    model = [("model", version.model.describe())] if version.model else []
    facts = Facts([*said_facts(version), *model, ("method", version.method or "")])
    tables = [directions_table(version)] if version.directions else []
    tables += [presets_table(version, remote)] if version.presets else []
    return Answer(
        version.to_json() | {"remote": remote}, [name, facts, *tables], [f"for all of it, type: steer pull {name}"]
    )


def _namespaces(settings: Settings, remote: str, limit: int, after: str | None) -> Answer:
    with connected(settings, check_name(remote, "remote")) as library:
        found, cursor = browse.namespaces(library, limit, after)
    document = {"remote": remote, "namespaces": [vars(each) for each in found], "cursor": cursor}
    if not found:
        return Answer(document, notes=[f"{remote} has no namespace that you may see; sign in: steer login {remote}"])
    rows = [(f"{remote}{SLASHES}{each.name}", each.visibility) for each in found]
    return Answer(document, [Table(("namespace", "visibility"), rows, whole=("namespace",))], going_on(cursor))
