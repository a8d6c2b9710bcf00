"""``slbench workloads import | fit | classify | segments``: commands for your own traces."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .workload_files import Json, Seed, must_be_parquet, say_written, show_document, write

if TYPE_CHECKING:
    from workloads.trace import Workload

File = Annotated[Path, typer.Argument(help="A trace; may be compressed by gzip or xz.")]
CountsFile = Annotated[
    Path, typer.Argument(help="Counts per minute, one row per function; gzip or xz too.")
]
FormatName = Annotated[
    str | None, typer.Option("--format", help="Importer, if FILE does not reveal its format.")
]


def add_to(app: typer.Typer) -> None:
    """Add these commands to ``app``."""
    app.command("import")(import_)
    for command in (fit, classify, segments):
        app.command()(command)


def import_(
    file: File,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the .parquet.")],
    format_: FormatName = None,
    skip_bad: Annotated[bool, typer.Option(help="Skip bad rows and count them.")] = False,
    seed: Seed = 0,
    expansion: Annotated[
        str, typer.Option(help="Rule that turns counts per minute into arrivals.")
    ] = "uniform",
    part: Annotated[str, typer.Option(help="Part of an archive, such as language/m-small.")] = "",
    from_: Annotated[float, typer.Option("--from", help="First second to take.")] = 0,
    for_: Annotated[float | None, typer.Option("--for", help="Seconds to take.")] = None,
    lengths: Annotated[
        str | None,
        typer.Option(help="Source of lengths if FILE has none, such as llm-conv."),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            help="Columns of a CSV of your own: arrival=NAME,function=NAME,prompt_tokens=NAME,"
            "output_tokens=NAME."
        ),
    ] = None,
    time_unit: Annotated[
        str | None, typer.Option(help="Unit of the arrivals of a CSV: s, ms, us, ns or date.")
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="Delimiter of a CSV: one character, or tab.")
    ] = None,
    lengths_of: Annotated[
        str | None,
        typer.Option(help="Workload whose pairs of lengths are taken if FILE has none."),
    ] = None,
    json_: Json = False,
) -> None:
    """Import a trace: turn FILE into a workload that other commands take by its path.

    A FILE without lengths (Azure Functions) needs --lengths-of or --lengths. Where only some
    requests lack them (some clients of ServeGen), these are left out, unless --lengths is given.
    Example: slbench workloads import AzureLLMInferenceTrace_conv.csv -o conv.parquet
    """
    from workloads import catalogue
    from workloads.importers import Options, import_file
    from workloads.importers.missing_lengths import remarks
    from workloads.importers.named_columns import named_columns
    from workloads.statistics import describe

    must_be_parquet(output)
    options = Options(
        skip_bad=skip_bad,
        seed=seed,
        expansion=expansion,
        part=part,
        start_s=from_,
        duration_s=for_,
        lengths=catalogue.named_lengths(lengths) if lengths else None,
        columns=named_columns(columns or (), time_unit, delimiter),
    )
    workload = _with_lengths_of(import_file(file, options, format_), lengths_of, seed)
    _check_lengths(workload, file, lengths, lengths_of)
    write(workload, output)
    for remark in remarks(workload):
        print(f"{output}: {remark}", file=sys.stderr)
    steps = {step.name: dict(step.parameters) for step in workload.provenance.transforms}
    document = {**describe(workload), "source": workload.provenance.source, **steps}
    show_document(document, json_)


def _with_lengths_of(workload: Workload, source: str | None, seed: int) -> Workload:
    """Take the lengths of ``source``, where ``workload`` has none."""
    from workloads.lengths import lacks_lengths, with_lengths_of

    from .workload_files import load

    if source is None or not lacks_lengths(workload):
        return workload
    return with_lengths_of(workload, load(source, seed, None), seed=seed)


def _check_lengths(
    workload: Workload, file: Path, lengths: str | None, lengths_of: str | None
) -> None:
    """Raise ``WorkloadError`` if there are no lengths, or if some were named and none lacked."""
    from workloads.errors import WorkloadError
    from workloads.lengths import lacks_lengths

    if lacks_lengths(workload):
        raise WorkloadError(
            f"{file}: has no lengths, and its {len(workload)} requests would be of one token in,"
            " one token out; take those of a workload (--lengths-of llm-conv), or draw them"
            " (--lengths sharegpt-like)"
        )
    steps = {step.name for step in workload.provenance.transforms}
    for option, name, step in (
        ("--lengths", lengths, "lengths"),
        ("--lengths-of", lengths_of, "lengths-of"),
    ):
        if name and step not in steps:
            raise WorkloadError(
                f"{option} {name}: {file} has lengths of its own; slbench workloads generate …"
                " --lengths-of replaces them"
            )


def fit(
    file: File,
    summary: str = "fitted to a recording",
    source: str = "",
    format_: FormatName = None,
    skip_bad: Annotated[bool, typer.Option(help="Skip bad rows and count them.")] = False,
) -> None:
    """Fit generators to a recorded workload (a trace, or a .parquet of this suite). Prints the
    catalogue entry with the goodness of fit; save it and use it by its path.

    Example: slbench workloads fit bursty8_w720.csv > mine.toml
    """
    from workloads.catalogue.writing import fitted_toml_of
    from workloads.importers import Options, import_file
    from workloads.trace import Workload

    if file.suffix == ".parquet":
        workload = Workload.read(file)
    else:
        workload = import_file(file, Options(skip_bad=skip_bad), format_)
    print(fitted_toml_of(workload, summary, source or file.name), end="")


def classify(file: CountsFile, json_: Json = False) -> None:
    """Show the class of each function under three estimators of the CV, and where they agree.

    Example: slbench workloads classify bursty8_w720.csv
    """
    from workloads.classify import agreement
    from workloads.importers.azure_functions_2019 import read_minutes

    found = list(agreement(read_minutes(file)))
    if json_:
        rows = [
            {
                "function": name,
                "cv": {**each.cvs},
                "classes": {**each.classes},
                "agreed": each.agreed,
            }
            for name, each in found
        ]
        print(json.dumps({"functions": rows}))
        return
    for name, each in found:
        values = " ".join(f"{estimator} {value:8.3f}" for estimator, value in each.cvs.items())
        print(f"{name[:16]:16} {values}  {each.agreed or 'they disagree'}")
    agreed = sum(each.agreed is not None for _, each in found)
    print(f"{agreed} of {len(found)} functions with three calls or more: all estimators agree")


def segments(
    file: CountsFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder for the .parquets.")],
    class_: Annotated[str, typer.Option("--class", help="predictable, normal or bursty.")],
    count: Annotated[int, typer.Option(help="How many segments.")] = 8,
    functions: Annotated[int, typer.Option(help="Functions in each.")] = 8,
    hours: Annotated[float, typer.Option(help="Length of each.")] = 4.0,
    seed: Seed = 0,
) -> None:
    """Take random segments of a class, as in the paper's evaluation.

    Example: slbench workloads segments invocations.csv --class bursty -o bursty/
    """
    from workloads.classify import segments as choose
    from workloads.errors import WorkloadError
    from workloads.expansion import expand
    from workloads.importers.azure_functions_2019 import read_minutes
    from workloads.statistics import CLASSES

    wanted = next((each for each in CLASSES if each == class_), None)
    if wanted is None:
        raise WorkloadError(f"class {class_!r} is unknown; known: {', '.join(CLASSES)}")
    output.mkdir(parents=True, exist_ok=True)
    minutes = read_minutes(file)
    for each in choose(
        minutes, wanted, seed=seed, count=count, functions=functions, length_min=round(hours * 60)
    ):
        workload, path = expand(each, seed), output / f"{each.name}.parquet"
        write(workload, path)
        say_written(workload, path)
