"""``slbench workloads import | fit | classify | segments``: traces of one's own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .workload_files import Json, Seed, must_be_parquet, say_written, show_document, write

if TYPE_CHECKING:
    from workloads.trace import Workload

File = Annotated[Path, typer.Argument(help="A trace; gzip and xz are read as they are.")]
CountsFile = Annotated[
    Path, typer.Argument(help="Counts per minute, a row a function; gzip and xz too.")
]
FormatName = Annotated[
    str | None, typer.Option("--format", help="Which importer, where FILE does not tell.")
]


def add_to(app: typer.Typer) -> None:
    """Make these commands of ``app``."""
    app.command("import")(import_)
    for command in (fit, classify, segments):
        app.command()(command)


def import_(
    file: File,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the .parquet.")],
    format_: FormatName = None,
    skip_bad: Annotated[bool, typer.Option(help="Leave bad rows out, and count them.")] = False,
    seed: Seed = 0,
    expansion: Annotated[
        str, typer.Option(help="By which rule counts per minute become arrivals.")
    ] = "uniform",
    part: Annotated[
        str, typer.Option(help="Which part of an archive, such as language/m-small.")
    ] = "",
    from_: Annotated[float, typer.Option("--from", help="Second to begin at, of an archive.")] = 0,
    for_: Annotated[float | None, typer.Option("--for", help="Seconds of it.")] = None,
    lengths: Annotated[
        str | None,
        typer.Option(help="What lengths are drawn from where FILE has none, such as llm-conv."),
    ] = None,
    json_: Json = False,
) -> None:
    """Bring a trace: FILE becomes a workload, to be named by its path from then on.

    Requests without lengths in FILE (Azure Functions, some clients of ServeGen) are told of: they
    are placeholders of one token, or left out beside others, unless --lengths says what to draw
    from. Example: slbench workloads import AzureLLMInferenceTrace_conv.csv -o conv.parquet
    """
    from workloads import catalogue
    from workloads.importers import Options, import_file
    from workloads.importers.missing_lengths import remarks
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
    )
    workload = import_file(file, options, format_)
    _check_drawn(workload, file, lengths)
    write(workload, output)
    for remark in remarks(workload):
        print(f"{output}: {remark}", file=sys.stderr)
    steps = {step.name: dict(step.parameters) for step in workload.provenance.transforms}
    document = {**describe(workload), "source": workload.provenance.source, **steps}
    show_document(document, json_)


def _check_drawn(workload: Workload, file: Path, lengths: str | None) -> None:
    """``WorkloadError`` where ``--lengths`` was asked for and nothing needed it."""
    from workloads.errors import WorkloadError

    if lengths and all(step.name != "lengths" for step in workload.provenance.transforms):
        raise WorkloadError(
            f"--lengths {lengths}: {file} has lengths of its own; slbench workloads generate …"
            " --lengths-of takes others"
        )


def fit(
    file: File,
    summary: str = "fitted to a recording",
    source: str = "",
    format_: FormatName = None,
    skip_bad: Annotated[bool, typer.Option(help="Leave bad rows out, and count them.")] = False,
) -> None:
    """Fit generators to a recorded workload (a trace, or a .parquet of this suite's); the entry,
    with the goodness of the fit, goes to standard output and can be named by its path.

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
    """The class of each function under three estimators of the CV, and where they agree.

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
    """Random segments of a class, as the paper's evaluation takes them.

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
