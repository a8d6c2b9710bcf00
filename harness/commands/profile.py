"""``slbench profile``: measures this machine as a device profile for the simulator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def profile(
    out: Annotated[
        Path, typer.Option("-o", "--out", help="The profile to write, a .toml file.")
    ] = Path("profile.toml"),
    backbone: Annotated[
        str, typer.Option(help="A preset's name or a model directory.")
    ] = "smollm2-135m",
    threads: Annotated[int, typer.Option(min=1, help="Threads of an instance.")] = 1,
    json_: Annotated[bool, typer.Option("--json", help="The numbers as JSON.")] = False,
) -> None:
    """Measure this machine by live probes, about twelve minutes; run nothing else meanwhile.

    Example: slbench profile -o my-machine.toml && slbench run main --simulated --profile
    my-machine.toml
    """
    import os
    import sys

    from harness.execution.progress import Progress
    from harness.profiling.machine import measure, settings
    from harness.profiling.profile_file import to_toml
    from harness.profiling.servers import measure_servers

    from ..records.manifest import machine

    about = machine()
    cores = len(os.sched_getaffinity(0))
    numbers = {
        **settings(cores),
        **measure(backbone, threads, Progress()),
        **measure_servers(backbone, threads, Progress()),
    }
    text = to_toml(out.stem, numbers, f"{about['cpu']}, {cores} cores, {backbone}")
    out.write_text(text, encoding="utf-8")
    if json_:
        print(json.dumps({name: value for name, (value, _) in numbers.items()}))
    print(f"profile {out}", file=sys.stderr)
