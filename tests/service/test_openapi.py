"""The OpenAPI document is true: no answer that it does not know, and none above 499, whatever is sent."""

from __future__ import annotations

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

from tests.service.conftest import Service, made_elsewhere, push

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


@pytest.fixture
def known(service: Service, tmp_path: Path) -> dict[str, list[str]]:
    """Give parts of paths that are there, so that routes are reached beyond their first refusal."""
    service.namespace("team", "public")
    made = made_elsewhere(tmp_path)
    push(service.admin, made, "team/vectors/love")
    service.admin.put("/v1/team/vectors/love/aliases/prod", json={"version": "1"})
    upload = service.admin.post("/v1/team/uploads", json={"digest": made.digest, "size": 10}).json()["id"]
    return {
        "namespace": ["team", "system", "none"],
        "kind": ["vectors", "recipes"],
        "name": ["love", "none"],
        "which": ["1", "prod", made.digest, made.digest[:12], "2"],
        "digest": [made.digest, *made.blobs],
        "alias": ["prod", "new"],
        "upload": [upload],
        "user": ["nobody"],
        "token": ["0" * 12],
        "proposal": ["1"],
    }


def operations(service: Service) -> Any:
    schema = schemathesis.openapi.from_asgi("/openapi.json", service.client.app)
    return [found.ok() for found in schema.get_all_operations()]


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


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_answers_of_requests_that_follow_each_other_are_known_too(service: Service, known: dict[str, list[str]]):
    schema = schemathesis.openapi.from_asgi("/openapi.json", service.client.app)
    base = schema.as_state_machine()

    class Machine(base):  # type: ignore[misc, valid-type]
        """Asks as an administrator."""

        def before_call(self, case: Any) -> None:
            case.headers = {**(case.headers or {}), "Authorization": f"Bearer {service.admin.token}"}
            for part in case.path_parameters or {}:
                if part in ("namespace", "kind", "token"):  # not the token that it asks with
                    case.path_parameters[part] = known[part][0]

        def validate_response(self, response: Any, case: Any, **_given: Any) -> None:
            case.validate_response(response, checks=CHECKS)

    Machine.run(settings=settings(max_examples=15, stateful_step_count=8, **QUIETLY))
