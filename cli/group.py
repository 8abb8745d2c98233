"""Groups of commands: one that loads its commands lazily and turns every failure into a line and an exit code."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from typing import Any, NoReturn

import click

from vectorstore.errors import InvalidInputError

from .edge import run
from .progress import progress


@dataclass(frozen=True)
class Entry:
    """Where a command is, before it is loaded.

    Attributes:
        target: `module:attribute` within this package.
        help: one line, as the command's own short help.
        slow: whether loading it imports torch.
    """

    target: str
    help: str
    slow: bool = False

    def load(self) -> click.Command:
        """Import the command; what libraries log meanwhile, such as torchao of its missing parts, is for nobody."""
        module, _, attribute = self.target.partition(":")
        before = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            command: click.Command = getattr(import_module(f".{module}", __package__), attribute)
        finally:
            logging.disable(before)
        return command


class RootGroup(click.Group):
    """The program itself."""

    def __init__(self, *, entries: Mapping[str, Entry], **settings: Any) -> None:  # noqa: ANN401 - click's own
        """Keep the table of commands."""
        context = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
        super().__init__(context_settings=context, **settings)
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return all names, in the table's order."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """Load one command."""
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        if not entry.slow:
            return entry.load()
        with progress("Starting"):
            return entry.load()

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is asked for, or say which one was meant."""
        name = args[0]
        if name not in self.entries and not name.startswith("-"):
            near = get_close_matches(name, self.entries, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise InvalidInputError(f"there is no command '{name}'", f"{meant}see: {ctx.command_path} --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        """List the commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self.entries.items()])

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        **extra: Any,  # noqa: ANN401 - click's own
    ) -> NoReturn:
        """Run the program and exit."""
        words = list(sys.argv[1:] if args is None else args)
        extra.pop("standalone_mode", None)
        program = partial(super().main, words, prog_name or "steer", standalone_mode=False, **extra)
        sys.exit(run(program, as_json="--json" in words))
