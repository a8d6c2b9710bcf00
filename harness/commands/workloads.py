"""``slbench workloads``: what there is, what it looks like, make more of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from .traces import add_to
from .workload_files import Json, Seed, must_be_parquet, say_written, show_document, write

app = typer.Typer(help="What is sent: list, look, make, bring.", no_args_is_help=True)

Set = Annotated[list[str] | None, typer.Option("--set", help="key=value, such as time_scale=60.")]
Output = Annotated[Path, typer.Argument(help="Where to write it, as .parquet.")]


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
        str | None, typer.Option(help="A workload whose prompt and output lengths it takes.")
    ] = None,
    keep: Annotated[
        float, typer.Option(help="The part of the requests kept; classes are found again.")
    ] = 1.0,
    tile: Annotated[int, typer.Option(help="How many times it is played in a row.")] = 1,
    merge: Annotated[
        list[str] | None, typer.Option(help="A workload played at the same time; repeatable.")
    ] = None,
) -> None:
    """Write a workload to OUTPUT (.parquet), to be named by its path from then on.

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


def load(name: str, seed: int, settings: list[str] | None) -> Any:
    """A workload of the catalogue, or of a file, with ``--set`` overrides."""
    from workloads import catalogue

    from ..experiment import parse_setting

    return catalogue.load(name, seed=seed, **dict(parse_setting(text) for text in settings or []))


add_to(app)
