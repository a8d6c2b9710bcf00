"""``slbench profile``: measures this machine as a device profile for the simulator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer


def profile(
    out: Annotated[
        Path, typer.Option("-o", "--out", help="The profile to write, a .toml file.")
    ] = Path("profile.toml"),
    device: Annotated[
        Literal["cpu", "cuda"], typer.Option(help="The CPU cores, or one GPU.")
    ] = "cpu",
    backbone: Annotated[
        str,
        typer.Option(
            help="A preset's name or a model directory; default: smollm2-135m, and on a GPU"
            " llama2-7b."
        ),
    ] = "",
    threads: Annotated[int, typer.Option(min=1, help="On the CPU: threads of an instance.")] = 1,
    memory: Annotated[
        float,
        typer.Option(min=1, help="On a GPU: memory in GiB for the probes; 7B needs 40."),
    ] = 64,
    records: Annotated[
        Path | None, typer.Option(help="A folder that keeps the records of the probes.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="The numbers as JSON.")] = False,
) -> None:
    """Measure this machine by live probes; run nothing else meanwhile. Takes about twelve minutes
    on the CPU, eight on a GPU.

    Example: slbench profile -o my-machine.toml && slbench run main --simulated --profile
    my-machine.toml
    """
    import sys

    from harness.execution.progress import Progress
    from harness.profiling.device import KINDS, Chosen
    from harness.profiling.profile_file import to_toml

    _check_can_be_written(out)
    measured = KINDS[device](Chosen(backbone, threads, memory, records), Progress())
    text = to_toml(out.stem, measured.numbers, measured.machine, measured.settings)
    out.write_text(text, encoding="utf-8")
    if json_:
        print(json.dumps({name: each.value for name, each in measured.numbers.items()}))
    print(f"profile {out}", file=sys.stderr)


def _check_can_be_written(out: Path) -> None:
    """Raise ``HarnessError`` before minutes are spent on what cannot be kept."""
    import os

    from ..errors import HarnessError

    if out.suffix != ".toml":
        raise HarnessError(f"--out {out}: a profile is a .toml file")
    if out.is_dir() or not os.access(out.parent, os.W_OK):
        raise HarnessError(f"--out {out}: cannot be written; name a file in a folder that exists")
