"""``slbench systems``: lists, shows and checks the systems."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="Systems that can be measured: list, show, check.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


@app.command("list")
def list_(json_: Json = False) -> None:
    """List every system, including those of third parties; a broken one is listed with its error.

    Example: slbench systems list
    """
    from systems.registry import system_names

    rows = [_row(name) for name in system_names()]
    if json_:
        print(json.dumps({"systems": rows}))
        return
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(Column("system", no_wrap=True), "kind", "what it is", box=None)
    for row in rows:
        table.add_row(row["name"], row["kind"] or "broken", row["summary"] or row["broken"])
    Console().print(table, markup=False)


def _row(name: str) -> dict[str, Any]:
    """Return the row of a system. ``broken`` is the reason why it cannot be loaded; the other
    fields are then None."""
    from systems.errors import BrokenSystemError
    from systems.registry import system_class

    try:
        cls = system_class(name)
    except BrokenSystemError as error:
        return {"name": name, "kind": None, "summary": None, "broken": " ".join(str(error).split())}
    return {"name": name, "kind": cls.kind, "summary": cls.summary, "broken": None}


@app.command()
def show(name: str, json_: Json = False) -> None:
    """What a system is, its policies by seam and all that are known, and its isolation levels.

    Example: slbench systems show serverless-lora
    """
    import inspect

    from systems.grouping import LEVELS
    from systems.registry import system_class

    cls = system_class(name)
    info = cls().info()
    document = {
        "name": cls.name,
        "kind": cls.kind,
        "summary": cls.summary,
        "about": inspect.getdoc(inspect.getmodule(cls)) or inspect.getdoc(cls) or "",
        "policies": dict(info.policies),
        "known_policies": {seam: list(names) for seam, names in cls.known_policies().items()},
        "isolation_levels": {level: LEVELS[level].promise for level in cls.isolation_levels},
        "options": dict(info.options),
    }
    if json_:
        print(json.dumps(document))
        return
    print(
        f"{document['name']} ({document['kind']}): {document['summary']}\n\n{document['about']}\n"
    )
    for seam, policy in document["policies"].items():
        others = [name for name in document["known_policies"].get(seam, ()) if name != policy]
        print(f"  {seam:20} {policy}" + (f" (or {', '.join(others)})" if others else ""))
    for level, promise in document["isolation_levels"].items():
        print(f"  isolation: {level:9} {promise}")
    options = document["options"]
    width = max(map(len, options), default=0)
    for key, value in options.items():
        print(f"  {key:{width}} {value if isinstance(value, str) else json.dumps(value)}")


@app.command()
def check(
    name: Annotated[str | None, typer.Argument(help="A system by name.")] = None,
    url: Annotated[str | None, typer.Option(help="An OpenAI-compatible server by URL.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="With --url: models to check; repeat. Default: all.")
    ] = None,
    api_key_env: Annotated[
        str | None, typer.Option(help="With --url: variable that holds its API key.")
    ] = None,
    backbone: Annotated[str, typer.Option(help="Preset or directory.")] = "tiny",
    adapter: Annotated[
        list[Path] | None,
        typer.Option(help="peft directory; repeat for more functions. Default: seeded adapters."),
    ] = None,
    functions: Annotated[
        int | None,
        typer.Option(min=1, help="How many are deployed. Default: one for each --adapter, or 3."),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Deployment key=value: dtype=bfloat16.")
    ] = None,
    json_: Json = False,
) -> None:
    """Run the conformance suite on a system, yours included. Exits with status 1 if a check fails.

    Example: slbench systems check serverless-lora
    """
    from systems.registry import system_class

    from ..conformance import examine
    from ..conformance.subjects import deployed, reached
    from ..conformance.table import as_document, show, told
    from ..errors import HarnessError

    if (name is None) == (url is None):
        raise HarnessError("systems check: give a system's name or --url, not both")
    system = name or "openai-endpoint"
    if url is not None:
        deployment = reached(url, model or [], api_key_env)
    else:
        deployment = deployed(system, backbone, adapter or [], functions, set_ or [])
    results = told(examine(system_class(system)(), deployment))
    if json_:
        print(json.dumps(as_document(url or system, results)))
    else:
        show(results)
    raise typer.Exit(any(result.outcome == "failed" for result in results))
