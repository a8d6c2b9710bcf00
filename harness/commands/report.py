"""``slbench report``: writes one self-contained HTML page about runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[list[str], typer.Argument(help="Runs, by id or folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The page to write.")] = Path(
        "report.html"
    ),
    json_: Annotated[bool, typer.Option("--json", help="Print path and size as JSON.")] = False,
) -> None:
    """Write one HTML page about RUNS that needs no network: warnings, tables, figures, Gantt.

    Example: slbench report results/reference/quickstart -o report.html
    """
    import json

    from ..errors import HarnessError
    from ..records import open_run
    from ..report.page import page

    content = page([open_run(name) for name in runs])
    try:
        output.write_text(content, encoding="utf-8")
    except OSError as error:
        raise HarnessError(f"{output}: cannot be written ({error.strerror})") from error
    print(json.dumps({"report": str(output), "bytes": len(content.encode())}) if json_ else output)
