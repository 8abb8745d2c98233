"""The table of actions is what the program really records, and nothing else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import vectorstore
from vectorstore.accounts.actions import ACTIONS, check_action
from vectorstore.errors import InvalidInputError

SOURCE = Path(vectorstore.__file__).parent
OF_THE_SYSTEM = {"user", "token", "service"}  # these are events of no team's namespace


def recorded() -> Iterator[str]:
    """Yield every text `noun.verb` that is given to a call whose arguments or name say that it is an event's."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if called in {"record", "Change"}:
                    yield from _texts(node)


def _texts(call: ast.Call) -> Iterator[str]:
    for argument in call.args:
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str) and "." in argument.value:
            yield argument.value


def test_every_action_that_is_recorded_can_be_asked_for():
    written = {action for action in recorded() if action.partition(".")[0] not in OF_THE_SYSTEM}
    chosen_when_it_happens = {"alias.rejected", "alias.withdrawn", "namespace.visibility", "quota.set"}
    assert written | chosen_when_it_happens == set(ACTIONS)


def test_what_never_happens_is_refused_with_what_was_meant():
    with pytest.raises(
        InvalidInputError, match=r"there is no action 'alias\.moved'; did you mean alias\.\w+"
    ) as caught:
        check_action("alias.moved")
    assert all(action in caught.value.hint for action in ACTIONS)
    assert len(caught.value.hint) < 500  # which is what clients show
    assert check_action("alias.set") == "alias.set"
