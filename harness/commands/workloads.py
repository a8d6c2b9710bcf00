"""``slbench workloads``: what there is, what it looks like, bring your own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="What is sent: list, look, fit.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Seed = Annotated[int, typer.Option(help="Of every random stream of the workload.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="key=value, such as time_scale=60.")]


@app.command("list")
def list_(json_: Json = False) -> None:
    """Every workload that can be named here.

    Example: slbench workloads list
    """
    from workloads import catalogue

    rows = [{"name": n, "summary": catalogue.describe(n)["summary"]} for n in catalogue.names()]
    rows += [{"name": n, "summary": "real minutes, expanded"} for n in catalogue.slices()]
    if json_:
        print(json.dumps({"workloads": rows}))
        return
    for row in rows:
        print(f"{row['name']:32} {row['summary']}")


@app.command()
def show(name: str, seed: Seed = 0, set_: Set = None, json_: Json = False) -> None:
    """Statistics of a workload, each with its estimator.

    Example: slbench workloads show azure-bursty8 --set time_scale=60
    """
    from workloads.statistics import describe

    _print(describe(_load(name, seed, set_)), json_)


@app.command()
def generate(name: str, output: Path, seed: Seed = 0, set_: Set = None) -> None:
    """Write a workload to OUTPUT (.parquet), to be named by its path from then on.

    Example: slbench workloads generate azure-bursty8 mine.parquet --seed 7
    """
    from workloads.errors import WorkloadError

    if output.suffix != ".parquet":
        raise WorkloadError(f"{output}: workloads are written as .parquet")
    workload = _load(name, seed, set_)
    workload.write(output)
    print(f"{output}: {len(workload)} requests, sha256 {workload.sha256[:12]}")


@app.command()
def fit(
    counts: Annotated[Path, typer.Argument(help="CSV of counts per minute, a row a function.")],
    summary: str = "fitted to counts per minute",
    source: str = "",
) -> None:
    """Fit a generator to COUNTS; its TOML goes to standard output.

    Example: slbench workloads fit bursty8_w720.csv > mine.toml
    """
    from workloads.catalogue.writing import fitted_toml
    from workloads.minutes import read_minutes

    print(fitted_toml(read_minutes(counts), summary, source or counts.name), end="")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A trace; gzip and xz are read as they are.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the .parquet.")],
    format_: Annotated[
        str | None, typer.Option("--format", help="Which importer, where FILE does not tell.")
    ] = None,
    skip_bad: Annotated[bool, typer.Option(help="Leave bad rows out, and count them.")] = False,
    seed: Seed = 0,
    json_: Json = False,
) -> None:
    """Bring a trace: FILE becomes a workload, to be named by its path from then on.

    Example: slbench workloads import AzureLLMInferenceTrace_conv.csv -o conv.parquet
    """
    from workloads.errors import WorkloadError
    from workloads.importers import Options, import_file
    from workloads.statistics import describe

    if output.suffix != ".parquet":
        raise WorkloadError(f"{output}: workloads are written as .parquet")
    workload = import_file(file, Options(skip_bad=skip_bad, seed=seed), format_)
    try:
        workload.write(output)
    except OSError as error:
        raise WorkloadError(f"{output}: cannot be written ({error})") from error
    steps = {step.name: dict(step.parameters) for step in workload.provenance.transforms}
    _print({**describe(workload), "source": workload.provenance.source, **steps}, json_)


def _print(document: dict[str, Any], json_: bool) -> None:
    if json_:
        print(json.dumps(document))
        return
    for key, value in document.items():
        print(f"{key:16} {value:.4g}" if isinstance(value, float) else f"{key:16} {value}")


def _load(name: str, seed: int, settings: list[str] | None) -> Any:
    from workloads import catalogue

    from ..experiment import parse_setting

    return catalogue.load(name, seed=seed, **dict(parse_setting(text) for text in settings or []))
