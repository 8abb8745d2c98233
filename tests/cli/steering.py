"""Steer: runs the program inside this process, through its real entry point."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from cli.main import main


@dataclass(frozen=True)
class Done:
    """What a run left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Steer:
    """The program, at a library in `home`."""

    home: Path

    def __call__(self, *words: str, stdin: str | None = None) -> Done:
        """Run it."""
        result = CliRunner().invoke(main, words, input=stdin)
        return Done(result.exit_code, result.stdout, result.stderr)

    def ok(self, *words: str, stdin: str | None = None) -> Any:
        """Run it with `--json`, expect success and silence on stderr, and return the document."""
        done = self(*words, "--json", stdin=stdin)
        assert (done.code, done.err) == (0, "")
        return done.json

    def fails(self, code: int, *words: str) -> str:
        """Run it with and without `--json`, expect `code`, one error line both times and an unchanged library."""
        before = self.contents()
        done, again = self(*words), self(*words, "--json")
        assert (done.code, again.code) == (code, code)
        assert done.out == ""
        assert done.err == again.err
        assert done.err.startswith("error: ")
        assert done.err.count("\n") == 1
        assert again.json["error"]["exit_code"] == code
        assert self.contents() == before
        return done.err

    def contents(self) -> tuple[object, list[str]]:
        """Return every version of the library, and the files of its blobs."""
        database = self.home / "library.db"
        listed = json.loads(self("list", "--json").out)["versions"] if database.exists() else []
        return listed, sorted(str(path) for path in self.home.glob("blobs/**/*") if path.is_file())
