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
    """Compare every published result with ours: holds, direction holds, does not hold.

    Shows, for each set-up, whether ours is live or simulated, the data behind it, and what was
    assumed because the paper's digests do not say it. Example: slbench claims
    """
    from ..claims import claims as judged

    found = judged(from_)
    if json_:
        print(json.dumps({"claims": [claim.as_dict() for claim in found]}))
    else:
        _show(found)


def _show(found: list[Claim]) -> None:
    from rich.console import Console

    from ..claims.page import interval, where

    console = Console(highlight=False, soft_wrap=True)
    for claim in found:
        console.print(f"[bold]{claim.published.claim}[/]: {claim.published.paper} in the paper")
        for each in claim.findings:
            between = f" ({interval(each)})" if interval(each) else ""
            verdict = each.verdict.replace("-", " ")
            console.print(f"  {verdict}: {each.ours.shown}{between}, {where(each, '[i]', '[/]')}")
            console.print(f"    in the set-up: {each.title}")
            console.print(f"    [dim]{each.ours.why}[/]")
            console.print(f"    [dim]assumed: {each.assumed}[/]")
