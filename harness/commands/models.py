"""``slbench models``: finds or makes backbones and adapters."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from .consent import Yes, check_written
from .names import backbone_names

app = typer.Typer(
    help="Backbones and adapters: presets, and directories of your own.", no_args_is_help=True
)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Backbone = Annotated[
    str,
    typer.Argument(
        help="Preset or Hugging Face directory; see slbench models list.",
        autocompletion=backbone_names,
    ),
]
Model = Annotated[
    str, typer.Argument(help="Preset, Hugging Face directory, or peft directory (an adapter's).")
]


@app.command("list")
def list_(json_: Json = False) -> None:
    """List every preset, and whether it is made.

    Example: slbench models list
    """
    from systems.models import presets

    rows: list[dict[str, Any]] = [
        {
            "name": preset.name,
            "summary": preset.summary,
            "nbytes": preset.nbytes,
            "made": preset.made,
            "path": str(preset.path),
        }
        for preset in presets().values()
    ]
    if json_:
        print(json.dumps({"models": rows}))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "size", "made", "what it is", box=None)
    for row in rows:
        made = "yes" if row["made"] else "no"
        table.add_row(row["name"], f"{row['nbytes'] / 1e9:.2f} GB", made, row["summary"])
    Console().print(table)


@app.command("skills")
def skills_(json_: Json = False) -> None:
    """List the trained adapters of smollm2-135m, with a question that each answers.

    Example: slbench models skills
    """
    from systems.models.skills import skills

    rows: list[dict[str, Any]] = [
        {
            "name": skill.name,
            "summary": skill.summary,
            "prompt": skill.example.prompt,
            "answer": skill.example.answer,
            "path": str(skill.packaged),
            "training": skill.training_record,
            "measured": skill.measured,
        }
        for skill in skills().values()
    ]
    if json_:
        print(json.dumps({"skills": rows}))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("function", "what it does", "prompt", "answer", "right", box=None)
    for row in rows:
        right = f"{row['measured']['accuracy']['engine, bfloat16']:.0%}"
        table.add_row(row["name"], row["summary"], row["prompt"], row["answer"], right)
    Console().print(table)


@app.command()
def make(
    backbone: Backbone = "smollm2-135m",
    adapters: Annotated[
        int, typer.Option(min=0, help="Seeded adapters to make with it, f0, f1, …")
    ] = 0,
    rank: Annotated[int, typer.Option(min=1, help="Rank of the adapters.")] = 16,
    seed: Annotated[int, typer.Option(help="Seed of the adapters.")] = 0,
    form: Annotated[
        str | None, typer.Option(help="Form of the adapters; docs/adapters.md lists them.")
    ] = None,
    yes: Yes = False,
    json_: Json = False,
) -> None:
    """Make a preset, if it is not made yet, and adapters for it; downloads nothing.

    Example: slbench models make smollm2-135m --adapters 8
    """
    from harness.cells.deployments import found_or_made
    from harness.cells.written import unmade
    from harness.choices import DeploymentChoice
    from systems.models import ensure_adapters, ensure_form

    names = [f"f{index}" for index in range(adapters)]
    choice = DeploymentChoice(backbone=backbone, adapter_rank=rank)
    check_written(unmade(choice, names), yes=yes)
    with _working(f"making {backbone}"):
        path = found_or_made(backbone)
    with _working(f"making {adapters} adapters"):
        if form is None:
            made = ensure_adapters(path, names, rank, seed=seed)
        else:
            made = ensure_form(path, names, form, rank, seed)
    if json_:
        print(json.dumps({"backbone": str(path), "adapters": {k: str(v) for k, v in made.items()}}))
        return
    print(path)
    for name, adapter in made.items():
        print(f"  {name}: {adapter}")


@app.command()
def show(
    model: Model,
    backbone: Annotated[
        str | None, typer.Option(help="The backbone to check an adapter against.")
    ] = None,
    adapter: Annotated[
        Path | None, typer.Option(help="A peft directory to check against the backbone MODEL.")
    ] = None,
    json_: Json = False,
) -> None:
    """Show what a backbone or an adapter is and how it runs; one that cannot run is refused with
    the reason (status 1).

    Example: slbench models show smollm2-135m
    """
    from systems.engine.config import read_config
    from systems.models import (
        backbone_of,
        describe_adapter,
        describe_backbone,
        is_adapter,
        snapshot,
    )

    given = snapshot(Path(model).expanduser())
    if is_adapter(given):
        found = _find(backbone) if backbone else backbone_of(given)
        document = describe_adapter(given, found, read_config(found))
    else:
        found = _find(model)
        document = describe_backbone(found)
        if adapter is not None:
            own = snapshot(adapter.expanduser())
            document["adapter"] = describe_adapter(own, found, read_config(found))
    if json_:
        print(json.dumps(document))
        return
    for key, value in document.items():
        print(f"{key:22} {_shown(value)}")


def _shown(value: Any) -> str:
    """Return a value in one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_shown(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(map(_shown, value))
    return f"{value:,}" if type(value) is int else str(value)


def _find(backbone: str) -> Path:
    """Return the path of a preset or directory. Raises ``CheckpointError`` for an unmade preset."""
    from systems.errors import CheckpointError
    from systems.models import presets

    preset = presets().get(backbone)
    if preset is None:
        from systems.models import ensure_backbone

        return ensure_backbone(backbone)
    if not preset.made:
        raise CheckpointError(f"{backbone} is not made yet: slbench models make {backbone}")
    return preset.path


def _working(what: str) -> Any:
    """Return a spinner on standard error; it shows nothing if that is no terminal."""
    from rich.console import Console

    return Console(file=sys.stderr).status(what)
