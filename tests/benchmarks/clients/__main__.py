"""``python -m tests.benchmarks.clients [TOKENIZER]``: run each client ``ROUNDS`` times in turn
against the reference server, and print a line for each. TOKENIZER: a local folder for the peers."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path

from harness.calibration.machine import MachineProbe
from harness.reference_server import running_reference_server

from . import tree
from .client import Client, Load
from .outcome import Outcome, outcome
from .registry import CLIENTS

RATE_RPS, SECONDS, PROMPT_TOKENS, TOKENS = 30, 10, 64, 50
MODEL = "ref.ttft-2.gap-20"
ROUNDS = 3
_TIMEOUT_S = 120.0
_COLUMNS = "client, requests/s, lateness p50 and p99 ms, TTFT skew p50 and p99 ms, CPU µs per event"


def _measure(client: Client, tokenizer: Path) -> Outcome:
    if not client.program.exists():
        raise RuntimeError(f"not installed ({client.program.name})")
    with (
        tempfile.TemporaryDirectory(prefix="bench-client-") as name,
        running_reference_server() as server,
    ):
        folder, count = Path(name), RATE_RPS * SECONDS
        load = Load(server.base_url, MODEL, RATE_RPS, count, PROMPT_TOKENS, TOKENS, tokenizer)
        environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
        samples = tree.run(client.command(load, folder), folder, environment, _TIMEOUT_S)
        return outcome(load, server.entries(), client.read(folder), samples)


def _line(name: str, found: list[Outcome]) -> str:
    """Format the median over the rounds for each number."""

    def middle(values: list[float]) -> str:
        return f"{statistics.median(values):9.3f}"

    cells = [
        middle([one.delivered_rps for one in found]),
        *(middle([one.lateness_ms[at] for one in found]) for at in (0, 1)),
        *(middle([one.skew_ms[at] for one in found]) for at in (0, 1)),
        middle([one.cpu_us_per_event for one in found]),
    ]
    return f"{name:14}" + " ".join(cells)


def main() -> None:
    tokenizer = Path(sys.argv[1]).expanduser() if len(sys.argv) > 1 else Path()
    found: dict[str, list[Outcome]] = {client.name: [] for client in CLIENTS}
    failed: dict[str, str] = {}
    with MachineProbe() as probe:
        for _ in range(ROUNDS):
            for client in CLIENTS:
                try:
                    found[client.name].append(_measure(client, tokenizer))
                except (RuntimeError, ValueError, OSError) as error:
                    failed[client.name] = str(error)
    print(_COLUMNS)
    for name, outcomes in found.items():
        print(_line(name, outcomes) if outcomes else f"{name:14}{failed[name]}")
        if outcomes and name in failed:
            print(f"{'':14}{ROUNDS - len(outcomes)} of {ROUNDS} rounds failed: {failed[name]}")
    print(f"{ROUNDS} rounds of {RATE_RPS} requests/s x {SECONDS} s; {probe.machine()}")


if __name__ == "__main__":
    main()
