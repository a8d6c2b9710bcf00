"""The view of a run as rich renderables, and as one line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .gateway import GatewayView
from .load import LoadView, Rolling

if TYPE_CHECKING:
    from rich.console import Group

_MOST_FUNCTIONS = 8
_MOST_WARNINGS = 3


@dataclass(frozen=True, slots=True)
class RunView:
    """A moment of a run. ``load``: None while none is sent."""

    cell: str
    title: str
    phase: str
    left_s: float
    load: LoadView | None = None
    gateway: GatewayView = field(default_factory=GatewayView)


def line(view: RunView) -> str:
    """Return the moment in one line, for where there is no terminal."""
    parts = [f"[{view.cell}] {view.phase}"]
    if view.load is not None:
        load = view.load
        parts.append(f"{load.done} of {load.total} done")
        if load.running is not None:
            parts.append(f"{load.running.total()} running")
        parts += [f"TTFT {_seconds(load.ttft)}", f"TPOT {_seconds(load.tpot)}", *load.warnings]
    return ", ".join([*parts, f"about {clock(view.left_s)} left"])


def screen(view: RunView) -> Group:
    """Return the whole view, for a terminal."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    head = Text(f"[{view.cell}] {view.title}", style="bold", no_wrap=True, overflow="ellipsis")
    status = f"{view.phase}, about {clock(view.left_s)} left of the whole run"
    rows: list[Text | Padding] = [head, Text(status)]
    if view.load is not None:
        bar = ProgressBar(total=max(view.load.total, 1), completed=view.load.done, width=60)
        rows += [Padding(bar, 0)]  # A bar alone does not end its line.
        rows += [Text(row) for row in _load_rows(view.load)]
    rows += [Text(row) for row in _gateway_rows(view.gateway)]
    if view.load is not None:
        shown = view.load.warnings[:_MOST_WARNINGS]
        rows += [Text(f"warning: {each}", style="yellow") for each in shown]
    return Group(*rows)


def _load_rows(load: LoadView) -> list[str]:
    running = "" if load.running is None else f", {load.running.total()} running"
    rows = [
        f"requests    {load.done} of {load.total} done{running}",
        f"last 10 s   TTFT {_seconds(load.ttft)}   TPOT {_seconds(load.tpot)}",
    ]
    busy = load.done_by_function + (load.running or type(load.done_by_function)())
    shown = [function for function, _ in busy.most_common(_MOST_FUNCTIONS)]
    each = [_function(function, load) for function in sorted(shown)]
    more = f"   and {len(busy) - len(shown)} more" if len(busy) > len(shown) else ""
    return [*rows, f"functions   {'   '.join(each)}{more}"] if each else rows


def _function(name: str, load: LoadView) -> str:
    done = load.done_by_function[name]
    return f"{name} {done}" if load.running is None else f"{name} {done}+{load.running[name]}"


def _gateway_rows(gateway: GatewayView) -> list[str]:
    rows = []
    if gateway.start_types:
        counted = (f"{count} {name}" for name, count in sorted(gateway.start_types.items()))
        rows.append(f"starts      {', '.join(counted)}")
    if gateway.memory:
        held = (f"{owner} {size / 1e9:.2f} GB" for owner, size in sorted(gateway.memory.items()))
        rows.append(f"memory      {', '.join(held)}")
    return rows


def _seconds(rolling: Rolling) -> str:
    if rolling.p50_s is None or rolling.p95_s is None:
        return "–"
    return f"p50 {_short(rolling.p50_s)} p95 {_short(rolling.p95_s)}"


def _short(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1e3:.0f} ms"


def clock(seconds: float) -> str:
    """Return a duration as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
