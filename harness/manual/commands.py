"""docs/cli.md: every command with its arguments and options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from ..cli import DONE, INTERRUPTED, INVALID, WRONG, build
from .markdown import prose, table

_HEAD = f"""# The commands

Generated from the command line by `python -m harness.manual`. `slbench COMMAND --help` prints the
same. Exit status: {DONE} done, {INVALID} invalid result, {WRONG} wrong request, {INTERRUPTED} \
interrupted. `--json` prints one JSON document on standard output.
"""
_HELP = "--help"


def commands() -> str:
    root = typer.main.get_command(build())
    return "".join([_HEAD, *(_section(*each) for each in _leaves(root, "slbench"))])


def _leaves(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the commands that run something, groups expanded, in the order of ``--help``."""
    inside = getattr(command, "commands", None)
    if inside is None:
        yield name, command
        return
    for word, each in inside.items():
        yield from _leaves(each, f"{name} {word}")


def _section(name: str, command: Any) -> str:
    context = command.context_class(command, info_name=name)
    records = [each.get_help_record(context) for each in command.get_params(context)]
    rows = [(f"`{form}`", text) for form, text in filter(None, records) if form != _HELP]
    listed = "\n" + table(("argument or option", "what"), rows) if rows else ""
    return f"\n## {name}\n\n{prose(command.help or '')}\n{listed}"
