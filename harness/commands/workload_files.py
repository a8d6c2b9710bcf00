"""Options and output shared by the commands about workloads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from workloads.trace import Workload

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Seed = Annotated[int, typer.Option(help="Seed of all random streams.")]


def load(name: str, seed: int, settings: list[str] | None) -> Workload:
    """Load a workload by name or path, with the ``--set`` overrides."""
    from workloads import catalogue

    from ..experiment_files import parse_setting

    return catalogue.load(name, seed=seed, **dict(parse_setting(text) for text in settings or []))


def write(workload: Workload, output: Path) -> None:
    """Write the workload to a file. Raises ``WorkloadError`` if that fails."""
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
    """Print the document: one line per key, or JSON."""
    if json_:
        print(json.dumps(document))
        return
    for key, value in document.items():
        print(f"{key:16} {_shown(value)}")


def _shown(value: Any) -> str:
    """Return a value for a line: mappings as ``key value`` pairs, what is unknown as a dash."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(each)}" for key, each in value.items())
    if value is None:
        return "—"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    return str(value)
