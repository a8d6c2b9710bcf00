"""``slbench calibrate``: the accuracy of the client on this machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..calibration import Calibration


def calibrate(
    quick: Annotated[
        bool, typer.Option("--quick", help="Only a few seconds, as before a run; no maxima.")
    ] = False,
    json_: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output.")
    ] = False,
) -> None:
    """Measure the client against a server whose true send times are known.

    Exits with status 1 if a target is missed. Example: slbench calibrate --quick
    """
    import sys

    from ..calibration import calibrate as measure

    with _Bar() as bar:
        result = measure(quick, on_progress=bar)
    problems = list(result.problems())
    if json_:
        print(json.dumps(result.as_dict()))
    else:
        _show(result)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        raise typer.Exit(1)


class _Bar:
    """Shows the requests of the current trial on standard error, if that is a terminal."""

    def __enter__(self) -> _Bar:
        import sys

        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._bar = Progress(
            TextColumn("calibrating"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("requests"),
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task("", total=None)
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, progress: tuple[int, int, int]) -> None:
        done, _, total = progress
        self._bar.update(self._task, completed=done, total=total)


def _show(result: Calibration) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "p50", "p99", box=None)
    for what, percentiles in (
        (f"lateness at {result.rate_rps:g} requests/s, ms", result.lateness_ms),
        (f"TTFT skew at {result.streams} × 50 tokens/s, ms", result.ttft_skew_ms),
        ("the machine's own wake-up, ms", result.machine.wake_ms),
    ):
        table.add_row(what, f"{percentiles.p50:.3f}", f"{percentiles.p99:.3f}")
    console = Console()
    console.print(table)
    console.print(f"client CPU per event: {result.cpu_us_per_event:.1f} µs")
    if result.max_rate_rps is not None:
        console.print(f"trusted up to {result.max_rate_rps:g} requests/s")
        console.print(f"trusted up to {result.max_streams} streams × 50 tokens/s")
