"""The ``slbench`` command: imports the subcommand's module, runs it, prints an error in one line.

A subcommand is a module of ``harness.commands`` with a typer ``app`` or a function of the same
name. Only the requested module is imported, and no module has heavy imports at its top level.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Iterable
from typing import Annotated, Any, NoReturn

import typer

from systems.errors import SystemsError
from workloads.errors import WorkloadError

from . import interrupts
from .errors import HarnessError, InterruptedRunError

DONE, INVALID, WRONG, INTERRUPTED = 0, 1, 2, 3
_SHELL_INTERRUPTED = 130
_UsageError: Any = typer.BadParameter.__base__
"""What typer raises for a wrong command line; it does not export the class."""

_COMMANDS = (
    "run",
    "experiments",
    "capacity",
    "compare",
    "figures",
    "claims",
    "report",
    "workloads",
    "systems",
    "models",
    "serve",
    "load-worker",
    "calibrate",
    "profile",
    "fidelity",
    "doctor",
)

_HELP = "Serverless serving of LoRA functions, measured: run, compare, reproduce."


def build(commands: Iterable[str] = _COMMANDS) -> typer.Typer:
    """Build the command-line application with the given subcommands."""
    # Plain help: importing the rich formatter takes longer than all other imports together.
    root = typer.Typer(
        help=_HELP,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    root.callback()(_root)
    for name in commands:
        word = name.replace("-", "_")
        module = importlib.import_module(f"harness.commands.{word}")
        if hasattr(module, "app"):
            root.add_typer(module.app, name=name)
        else:
            root.command(name)(getattr(module, word))
    return root


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"slbench {version('serverless-lora-bench')}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option(
        "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
    ),
]


def _root(version: Version = False) -> None:
    """Root callback. With it, typer keeps the name of a single subcommand."""
    del version  # Its callback has shown it.


_root.__doc__ = _HELP


def main() -> NoReturn:
    """Run the command and exit: 0 done, 1 invalid result, 2 wrong request, 3 interrupted."""
    _print_anything()
    asked = [word for word in sys.argv[1:2] if word in _COMMANDS]
    interrupts.listen()
    try:
        with interrupts.surfacing():
            status = build(asked or _COMMANDS)(prog_name="slbench", standalone_mode=False)
        if status == _SHELL_INTERRUPTED:
            _interrupted("interrupted")
        sys.exit(status)
    except _UsageError as error:
        _wrong_usage(error)
    except (HarnessError, SystemsError, WorkloadError) as error:
        _say(str(error))
        sys.exit(WRONG)
    except InterruptedRunError as end:
        _interrupted(str(end))
    except KeyboardInterrupt:
        _interrupted("interrupted")
    except BrokenPipeError:
        # The reader of our output closed the pipe; any further write would fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(DONE)
    except OSError as error:
        # The machine failed, not the request: no disk space, descriptors or memory.
        _interrupted(str(error))
    except ValueError as error:
        if type(error).__name__ != "ValidationError":
            raise
        from .mistakes import first_mistake

        _say(first_mistake(error))  # type: ignore[arg-type]
        sys.exit(WRONG)


def _print_anything() -> None:
    """Escape characters that the output's encoding lacks, instead of failing at the first one."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _wrong_usage(error: Any) -> NoReturn:
    """Say what is wrong with the command line, and the nearest option to an unknown one."""
    command = error.ctx.command_path if error.ctx else "slbench"
    near = getattr(error, "possibilities", None)
    if near:
        _say(f"{command}: no option {error.option_name}; did you mean {near[0]}?", name="")
    elif "\n" in (text := error.format_message()):  # A group without a subcommand shows its help.
        print(text, file=sys.stderr)
    else:
        end = "" if text.endswith("?") else f"; see {command} --help"
        _say(f"{command}: {text.rstrip('.')}{end}", name="")
    sys.exit(WRONG)


def _interrupted(why: str) -> NoReturn:
    _say(why)
    sys.exit(INTERRUPTED)


def _say(text: str, name: str = "slbench: ") -> None:
    print(f"{name}{' '.join(text.split())}", file=sys.stderr)
