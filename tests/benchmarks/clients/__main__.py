"""``python -m tests.benchmarks.clients [TOKENIZER]``: run each client in turn against the reference
server, several times at each rate, and print a line for each. TOKENIZER: a local folder for the
peers."""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness.calibration.machine import MachineProbe
from harness.reference_server import running_reference_server

from . import tree
from .client import Client, Load
from .outcome import Outcome, outcome
from .registry import CLIENTS

SECONDS, PROMPT_TOKENS = 10, 64
TOKENS = {30: 50, 200: 10, 500: 4}
"""By rate: about as many tokens a second at each, so that the server is never the limit."""
MODEL = "ref.ttft-2.gap-20"
_TIMEOUT_S = 180.0
_COLUMNS = "client, requests/s, lateness p50 and p99 ms, TTFT skew p50 and p99 ms, CPU µs per event"


def _measure(client: Client, rate: int, tokenizer: Path) -> Outcome:
    if not client.program.exists():
        raise RuntimeError(f"not installed ({client.program.name})")
    with (
        tempfile.TemporaryDirectory(prefix="bench-client-") as name,
        running_reference_server() as server,
    ):
        folder, count = Path(name), rate * SECONDS
        load = Load(server.base_url, MODEL, rate, count, PROMPT_TOKENS, TOKENS[rate], tokenizer)
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
    return f"{name:17}" + " ".join(cells)


def _measure_all(rate: int, rounds: int, chosen: Sequence[Client], tokenizer: Path) -> None:
    """Measure the clients at one rate and print their lines."""
    found: dict[str, list[Outcome]] = {client.name: [] for client in chosen}
    failed: dict[str, str] = {}
    with MachineProbe() as probe:
        for client in [client for _ in range(rounds) for client in chosen]:
            try:
                found[client.name].append(_measure(client, rate, tokenizer))
            except (RuntimeError, ValueError, OSError, LookupError) as error:
                failed[client.name] = str(error)
    print(f"{rate} requests/s of {TOKENS[rate]} tokens x {SECONDS} s, {rounds} rounds")
    for name, outcomes in found.items():
        print(_line(name, outcomes) if outcomes else f"{name:17}{failed[name]}")
        if outcomes and name in failed:
            print(f"{'':17}{rounds - len(outcomes)} of {rounds} rounds failed: {failed[name]}")
    print(f"{probe.machine()}\n", flush=True)


def main() -> None:
    names = [client.name for client in CLIENTS]
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.clients", description=__doc__)
    parser.add_argument("tokenizer", nargs="?", type=Path, default=Path())
    parser.add_argument("--rates", nargs="+", type=int, choices=TOKENS, default=list(TOKENS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", nargs="+", choices=names, default=names)
    given = parser.parse_args()
    chosen = [client for client in CLIENTS if client.name in given.clients]
    print(_COLUMNS)
    for rate in given.rates:
        _measure_all(rate, given.rounds, chosen, given.tokenizer.expanduser())


if __name__ == "__main__":
    main()
