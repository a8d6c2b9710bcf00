"""``slbench workloads``: lists, shows, plots and makes workloads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .traces import add_to
from .workload_files import (
    Json,
    Seed,
    load,
    must_be_parquet,
    say_written,
    show_document,
    write,
)

app = typer.Typer(help="Workloads: list, show, plot, generate, import.", no_args_is_help=True)

Set = Annotated[list[str] | None, typer.Option("--set", help="key=value, such as time_scale=60.")]
Output = Annotated[Path, typer.Argument(help="Where to write it, as .parquet.")]


@app.command("list")
def list_(json_: Json = False) -> None:
    """List every workload by name.

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
    """Show statistics of a workload, each with its estimator.

    Example: slbench workloads show azure-bursty8 --set time_scale=60
    """
    from workloads.statistics import describe

    show_document(describe(load(name, seed, set_)), json_)


@app.command()
def plot(
    name: str,
    output: Annotated[Path, typer.Option("--output", "-o", help=".png, .pdf or .svg.")],
    seed: Seed = 0,
    set_: Set = None,
) -> None:
    """Draw arrivals by function, CVs, dispersion by window, lengths and popularity.

    Example: slbench workloads plot azure-bursty8 -o bursty.png
    """
    from workloads.plot import plot

    plot(load(name, seed, set_), output)
    print(output)


@app.command()
def generate(
    name: str,
    output: Output,
    seed: Seed = 0,
    set_: Set = None,
    lengths_of: Annotated[
        str | None, typer.Option(help="Take prompt and output lengths of this workload.")
    ] = None,
    keep: Annotated[
        float, typer.Option(help="Share of requests to keep; classes are recomputed.")
    ] = 1.0,
    tile: Annotated[int, typer.Option(help="Repetitions in a row.")] = 1,
    merge: Annotated[
        list[str] | None, typer.Option(help="Workload to replay at the same time; repeat for more.")
    ] = None,
) -> None:
    """Write a workload to OUTPUT (.parquet); other commands take it by its path.

    Example: slbench workloads generate azure-bursty8 mine.parquet --lengths-of llm-conv
    """
    from workloads import compose
    from workloads.lengths import with_lengths_of

    must_be_parquet(output)
    workload = load(name, seed, set_)
    if lengths_of is not None:
        workload = with_lengths_of(workload, load(lengths_of, seed, None), seed=seed)
    if keep != 1:
        workload = compose.thin(workload, keep, seed=seed)
    if tile != 1:
        workload = compose.tile(workload, tile)
    if merge:
        parts = [workload, *(load(each, seed, None) for each in merge)]
        workload = compose.merge(output.stem, parts)
    write(workload, output)
    say_written(workload, output)


add_to(app)
