"""The OpenAPI document is true: no answer that it does not know, and none above 499, whatever is sent."""

from __future__ import annotations

import shutil
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.service.conftest import Made, Service, made_elsewhere, push, serving
from vectorstore.store import Store

CHECKS = [
    checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
QUIETLY = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "database": None,
    "phases": [Phase.explicit, Phase.generate],
}

CHANGING = {"put", "post", "patch", "delete"}
LOOKING = {"/v1/{namespace}/absent", "/v1/resolve"}  # they ask with a body


def furnish(service: Service, made: Made) -> str:
    """Save a version that has an alias, and begin an upload; return its number."""
    service.namespace("team", "public")
    push(service.admin, made, "team/vectors/love")
    service.admin.put("/v1/team/vectors/love/aliases/prod", json={"version": "1"})
    return str(service.admin.post("/v1/team/uploads", json={"digest": made.digest, "size": 10}).json()["id"])


@pytest.fixture
def known(service: Service, tmp_path: Path) -> dict[str, list[str]]:
    """Give parts of paths that are there, so that routes are reached beyond their first refusal."""
    made = made_elsewhere(tmp_path)
    return {
        "namespace": ["team", "system", "none"],
        "kind": ["vectors", "recipes"],
        "name": ["love", "none"],
        "which": ["1", "prod", made.digest, made.digest[:12], "2"],
        "digest": [made.digest, *made.blobs],
        "alias": ["prod", "new"],
        "upload": [furnish(service, made)],
        "user": ["nobody"],
        "token": ["0" * 12],
        "proposal": ["1"],
    }


def operations(service: Service) -> Any:
    schema = schemathesis.openapi.from_asgi("/openapi.json", service.client.app)
    return [found.ok() for found in schema.get_all_operations()]


def test_whatever_changes_something_may_find_that_another_change_came_first(service: Service):
    document = service.client.get("/openapi.json").json()
    missing = [
        f"{method} {path}"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in CHANGING and "409" not in operation["responses"] and path not in LOOKING
    ]
    assert missing == []


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("signed_in", [True, False])
def test_every_answer_is_one_that_the_document_knows(service: Service, known: dict[str, list[str]], signed_in: bool):  # noqa: FBT001
    headers = {"Authorization": f"Bearer {service.admin.token}"} if signed_in else {}

    every = operations(service)

    @settings(max_examples=400 if signed_in else 150, **QUIETLY)
    @given(data=st.data())
    def ask(data: st.DataObject) -> None:
        operation = data.draw(st.sampled_from(every))
        case = data.draw(operation.as_strategy())
        for part in case.path_parameters or {}:
            if part in known and data.draw(st.integers(0, 9)):
                case.path_parameters[part] = data.draw(st.sampled_from(known[part]))
        case.call_and_validate(checks=CHECKS, headers=headers)

    ask()


class Place:
    """Where requests go: to a new service whenever `renew` is called, so that no example depends on those before it."""

    def __init__(self, folder: Path, template: Path) -> None:
        self.folder, self.template = folder, template
        self.made = made_elsewhere(folder)
        self.open = ExitStack()

    def renew(self) -> None:
        self.open.close()
        library = self.folder / uuid.uuid4().hex
        library.mkdir()
        shutil.copy(self.template, library / "library.db")
        store = self.open.enter_context(Store.open(f"sqlite:///{library}/library.db", blobs=str(library / "blobs")))
        service = self.open.enter_context(serving(store))
        furnish(service, self.made)
        self.token, self.app = service.admin.token, service.client.app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


def test_answers_of_requests_that_follow_each_other_are_known_too(tmp_path: Path, sqlite_template: Path):
    place = Place(tmp_path, sqlite_template)
    place.renew()
    base = schemathesis.openapi.from_asgi("/openapi.json", place).as_state_machine()

    class Machine(base):  # type: ignore[misc, valid-type]
        """Asks as an administrator."""

        def setup(self) -> None:
            place.renew()

        def before_call(self, case: Any) -> None:
            case.headers = {**(case.headers or {}), "Authorization": f"Bearer {place.token}"}
            for part, value in (("namespace", "team"), ("kind", "vectors"), ("token", "0" * 12)):
                if part in (case.path_parameters or {}):  # not the token that it asks with
                    case.path_parameters[part] = value

        def validate_response(self, response: Any, case: Any, **_given: Any) -> None:
            case.validate_response(response, checks=CHECKS)

    with place.open:
        Machine.run(settings=settings(max_examples=15, stateful_step_count=8, **QUIETLY))
