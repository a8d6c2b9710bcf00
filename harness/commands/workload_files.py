"""What the commands about workloads share: options, and how one is written and shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from workloads.trace import Workload

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Seed = Annotated[int, typer.Option(help="Of every random stream that is drawn from.")]


def write(workload: Workload, output: Path) -> None:
    """To disk; ``WorkloadError`` where it cannot be written there."""
    from workloads.errors import WorkloadError

    try:
        workload.write(output)
    except OSError as error:
        raise WorkloadError(f"{output}: cannot be written ({error})") from error


def say_written(workload: Workload, output: Path) -> None:
    print(f"{output}: {len(workload)} requests, sha256 {workload.sha256[:12]}")


def must_be_parquet(output: Path) -> None:
    from workloads.errors import WorkloadError

    if output.suffix != ".parquet":
        raise WorkloadError(f"{output}: workloads are written as .parquet")


def show_document(document: dict[str, Any], json_: bool) -> None:
    """For people a line a key, for machines JSON."""
    if json_:
        print(json.dumps(document))
        return
    for key, value in document.items():
        print(f"{key:16} {value:.4g}" if isinstance(value, float) else f"{key:16} {value}")
