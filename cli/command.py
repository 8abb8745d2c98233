"""Command: what every command of `steer` has: help with an example, `--json`, and an answer that is printed one way."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import click

from vectorstore.errors import InvalidInputError

from .answer import Answer, printable
from .plain import plain

JSON = "vectorstore.cli.json"
"""Where a context keeps whether `--json` was given."""


class Command(click.Command):
    """A command whose function returns an Answer."""

    def __init__(self, *args: Any, example: str, **settings: Any) -> None:  # noqa: ANN401 - click's own
        """Add the example to the help, and `--json` to the options."""
        super().__init__(*args, **settings | {"epilog": _epilog(example)})
        self.params.append(
            click.Option(
                ["--json"],
                is_flag=True,
                expose_value=False,
                is_eager=True,
                callback=_remember_json,
                help="Print one JSON document on stdout; all the rest goes to stderr.",
            )
        )

    def invoke(self, ctx: click.Context) -> None:
        """Run the function and print its answer."""
        answer: Answer = super().invoke(ctx)
        if ctx.meta.get(JSON):
            click.echo(json.dumps(answer.document, indent=2))
        else:
            _print(answer)
            for note in answer.notes:
                click.echo(f"note: {note}", err=True)
        sys.stdout.flush()
        if answer.exit_code:
            ctx.exit(answer.exit_code)


class Group(click.Group):
    """A noun with several commands."""

    def __init__(self, *args: Any, example: str, **settings: Any) -> None:  # noqa: ANN401 - click's own
        """Add the example to the help."""
        super().__init__(*args, **settings | {"epilog": _epilog(example)})

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is asked for, or say which ones there are."""
        if args[0] not in self.commands and not args[0].startswith("-"):
            raise InvalidInputError(
                f"'{ctx.command_path}' has no command '{args[0]}'",
                f"it has {', '.join(self.commands)}; see: {ctx.command_path} --help",
            )
        return super().resolve_command(ctx, args)


def command(name: str, *, example: str) -> Callable[[Callable[..., Answer]], click.Command]:
    """Return the decorator that makes a function a Command; `example` is a line of the shell, or several."""
    return click.command(name, cls=Command, example=example)


def group(name: str, *, example: str) -> Callable[[Callable[..., None]], Group]:
    """Return the decorator that makes a function a Group."""
    return click.group(name, cls=Group, example=example)


def subcommand(parent: Group, name: str, *, example: str) -> Callable[[Callable[..., Answer]], click.Command]:
    """Return the decorator that makes a function a Command of `parent`."""
    return parent.command(name, cls=Command, example=example)


def _epilog(example: str) -> str:
    lines = example.strip().splitlines()
    title = "Example:" if len(lines) == 1 else "Examples:"
    return "\n".join(("\b", title, *(f"  {line.strip()}" for line in lines)))


def _remember_json(ctx: click.Context, _param: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's signature
    ctx.meta[JSON] = value


def _print(answer: Answer) -> None:
    lines = [part for part in answer.parts if isinstance(part, str)]
    if len(lines) == len(answer.parts):
        for line in lines:
            click.echo(printable(line))
        return
    if (table := plain(answer.parts)) is not None:
        click.echo(table)
        return
    from .draw import draw  # noqa: PLC0415 - rich takes a while to import, and few answers need it

    draw(answer.parts)
