"""The page about the service: the first people are made by its very lines."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.cli.steering import Steer

PAGE = (Path(__file__).parent.parent.parent / "docs" / "service.md").read_text()


def test_the_first_people_are_made_line_by_line(steer: Steer):
    steer.ok("init")
    lines = re.findall(r"^steer (?:user|namespace|token) .*$", PAGE, re.MULTILINE)
    for line in lines:
        done = steer(*shlex.split(line, comments=True)[1:])
        assert done.code == 0, (line, done.err)
    tokens = steer.ok("token", "list")["tokens"]
    assert [(token["user"], token["scope"]) for token in tokens] == [("ann", "own"), ("bob", "write")]
    assert steer.ok("namespace", "member", "list", "team")["members"] == {"ann": "owner", "bob": "writer"}
