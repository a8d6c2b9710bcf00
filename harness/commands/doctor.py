"""``slbench doctor``: checks whether this machine can run the suite."""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(
    json_: Annotated[bool, typer.Option("--json", help="Findings as one JSON document.")] = False,
) -> None:
    """Check what is missing or misconfigured on this machine, and show the command that fixes it.

    Example: slbench doctor
    """
    import json
    from dataclasses import asdict

    from ..doctor import examine

    findings = examine()
    if json_:
        print(json.dumps({"checks": [asdict(finding) for finding in findings]}))
    else:
        from rich.console import Console
        from rich.table import Table

        table = Table("", "check", "finding", "mend it with", box=None)
        for finding in findings:
            mark = "[green]ok[/]" if finding.ok else "[red]no[/]"
            table.add_row(mark, finding.name, finding.why, finding.mend)
        Console().print(table)
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)
