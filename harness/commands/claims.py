"""``slbench claims``: compares each published result with ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..claims import Claim


def claims(
    from_: Annotated[
        Path | None,
        typer.Option("--from", help="The folder of the reference runs; default: the suite's."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Compare every published result with ours: holds, direction holds, does not, not testable.

    Shows whether ours is live or simulated, and the data behind it. Example: slbench claims
    """
    from ..claims import claims as judged

    found = judged(from_)
    if json_:
        print(json.dumps({"claims": [claim.as_dict() for claim in found]}))
    else:
        _show(found)


def _show(found: list[Claim]) -> None:
    from rich.console import Console

    from ..claims.page import interval

    console = Console(highlight=False, soft_wrap=True)
    for claim in found:
        ours, between = claim.ours, interval(claim)
        shown = ours.shown if ours else "—"
        mode = f", {ours.mode}" if ours else ""
        console.print(f"[bold]{claim.published.claim}[/]: {claim.verdict.replace('-', ' ')}")
        console.print(f"  paper {claim.published.paper}   ours {shown}", end="")
        console.print(f" ({between}){mode}" if between else mode)
        console.print(f"  [dim]{claim.why}[/]")
