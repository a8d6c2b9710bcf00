"""Inject a fault into `slbench run` at a moment drawn from a seed. Finished cells must stay
unchanged, `--resume` must run the rest, and every request of the schedule must have a row."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from harness.records import open_run

from . import process_tree
from .fault import Seen, Undo

SYSTEMS = ("serverless-lora", "serverless-lora-no-offloading")
EXPERIMENT = {
    "summary": "what faults are inflicted on",
    "systems": [{"name": name} for name in SYSTEMS],
    "workloads": [
        {
            "name": str(Path(__file__).with_name("workload.toml")),
            "overrides": {"prompt_tokens": 12, "output_tokens": 12},
        }
    ],
    "deployment": {
        "backbone": "tiny",
        "device": "cpu",
        "device_memory_gib": 2,
        "limits": {
            "max_context_tokens": 256,
            "threads_per_instance": 1,
            "request_timeout_s": 60,
        },
    },
    "request_timeout_s": 60,
    "lateness_budget_s": 10,
    "load_workers": 2,
    "figures": [],
}
ENDS_S = 300.0
"""Time limit for a run after a fault: its timeouts plus the time to start."""
GONE_S = 15.0
_DONE = (0, 1)
"""Accepted exit statuses. 1: the machine was too busy for a valid run, which the fault did not
cause."""


@dataclass(frozen=True)
class RunFault:
    """``inflict`` gets the process of the run and returns the undo function, which is called after
    ``pause_s``. ``dies``: the fault ends the run without a message; otherwise the run reports what
    went wrong, if anything, in one line."""

    name: str
    inflict: Callable[[psutil.Process, Path], Undo | None]
    dies: bool = False
    pause_s: float = 0.0
    recovers_s: float = ENDS_S


def send(number: signal.Signals, *words: str) -> Callable[[psutil.Process, Path], None]:
    """Send a signal to a process of the run whose command line has all these words; without words,
    to the run itself."""

    def inflict(run: psutil.Process, folder: Path) -> None:
        family = run.children(recursive=True) if words else [run]
        found = [p for p in family if all(word in process_tree.command_of(p) for word in words)]
        for process in found[:1]:
            process.send_signal(number)

    return inflict


def paused(run: psutil.Process, folder: Path) -> Undo:
    run.suspend()
    return run.resume


def faults() -> list[RunFault]:
    kill, stop = signal.SIGKILL, signal.SIGSTOP
    return [
        RunFault("kill -9, the runner", send(kill), dies=True),
        RunFault("SIGSTOP, the runner, for 4 s", paused, pause_s=4.0),
        RunFault("kill -9, a run's gateway", send(kill, "live.gateway")),
        RunFault("SIGSTOP, a run's gateway", send(stop, "live.gateway")),
        RunFault("kill -9, Locust's master", send(kill, "replay.driver", "master")),
        RunFault("SIGSTOP, Locust's master", send(stop, "replay.driver", "master")),
        RunFault("kill -9, a Locust worker", send(kill, "replay.driver", "worker")),
        RunFault("SIGSTOP, a Locust worker", send(stop, "replay.driver", "worker")),
        RunFault("kill -9, a sender", send(kill, "replay.sender")),
        RunFault("SIGSTOP, a sender", send(stop, "replay.sender")),
        RunFault("interrupt", send(signal.SIGINT), dies=True),
    ]


class RunScene:
    """A run with both cells finished. Each moment copies it and deletes one cell, to be rerun."""

    def __init__(self, folder: Path, temporary: Path) -> None:
        self._folder, self._temporary = folder, temporary
        self._experiment = folder / "faults.yaml"
        self._base: Path | None = None

    def _whole(self) -> Path:
        """Return the finished run; make it on the first call."""
        if self._base is None:
            # Every JSON document is also a YAML document.
            self._experiment.write_text(json.dumps(EXPERIMENT), encoding="utf-8")
            base = self._folder / "base"
            done = self._start("run", str(self._experiment), "--out", str(base)).wait(ENDS_S)
            assert done in _DONE, self.log
            (self._base,) = base.iterdir()
        return self._base

    def _start(self, *arguments: str) -> subprocess.Popen[str]:
        with (self._folder / "log").open("w") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "harness", *arguments],
                stdout=subprocess.DEVNULL,
                stderr=log,
                text=True,
            )

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text(encoding="utf-8")

    def play(self, fault: RunFault, moment: int, random: np.random.Generator) -> Seen:
        base, folder = self._whole(), self._folder / "hurt"
        shutil.rmtree(folder, ignore_errors=True)
        run = shutil.copytree(base, folder / base.name)
        todo = run / SYSTEMS[int(random.integers(2))] / "workload" / "0"
        shutil.rmtree(todo)
        kept = _digest(run)
        hurt = self._resume(run)
        self._until_loading(hurt)
        at_s, began = float(random.uniform(0.0, 9.0)), time.monotonic()
        problems = list(self._hurt(hurt, fault, at_s))
        problems += process_tree.leftovers(self._temporary, (), GONE_S)
        if problems:
            process_tree.end_all(self._temporary)
        slowest_s = time.monotonic() - began
        problems += self._complete(run, todo, fault)
        if not kept <= _digest(run):
            problems.append("a finished cell was changed")
        rows = [] if problems else open_run(run).cells()[0].requests["status"].tolist()
        return Seen(
            moment=moment,
            fault=fault.name,
            at_s=round(at_s, 3),
            answers=dict(Counter(rows)),
            slowest_s=round(slowest_s, 3),
            recovered_s=round(time.monotonic() - began - slowest_s, 3),
            problems=tuple(problems),
            limit_s=ENDS_S,
        )

    def _resume(self, run: Path) -> subprocess.Popen[str]:
        return self._start("run", "--out", str(run.parent), "--resume", run.name)

    def _until_loading(self, process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + ENDS_S
        while "[1/1]" not in self.log and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)

    def _hurt(self, process: subprocess.Popen[str], fault: RunFault, at_s: float) -> Iterator[str]:
        """Inject the fault and wait for the end of the run."""
        time.sleep(at_s)
        if process.poll() is None:
            undo = fault.inflict(psutil.Process(process.pid), self._folder)
            if undo is not None:
                time.sleep(fault.pause_s)
                undo()
        try:
            status = process.wait(ENDS_S)
        except subprocess.TimeoutExpired:
            process.kill()
            yield f"the run had not ended after {ENDS_S:g} s"
            return
        if "Traceback" in self.log:
            yield f"a traceback: {self.log.strip().splitlines()[-1]}"
        if not fault.dies and status not in (0, 1, 2):
            yield f"exit status {status}"

    def _complete(self, run: Path, todo: Path, fault: RunFault) -> Iterator[str]:
        """Resume an unfinished run; then the cell must exist and have a row for every request."""
        if not (todo / "manifest.json").exists():
            status = self._resume(run).wait(ENDS_S)
            if status not in _DONE:
                yield f"--resume ended with {status}: {self.log.strip().splitlines()[-1:]}"
                return
        cells = open_run(run).cells()
        if len(cells) != len(SYSTEMS):
            yield f"{len(cells)} cells after --resume"
        for cell in cells:
            if cell.requests["request_id"].tolist() != list(range(24)):
                yield f"{cell.system}: {len(cell.requests)} requests of 24"
            elif cell.manifest.valid and set(cell.requests["status"]) != {"ok"}:
                failed = cell.requests["status"].value_counts().to_dict()
                if "unsent" in failed:
                    yield f"{cell.system}: valid, with {failed}"


def _digest(run: Path) -> set[tuple[str, str]]:
    return {
        (str(path.relative_to(run)), hashlib.sha256(path.read_bytes()).hexdigest())
        for path in run.rglob("*")
        if path.is_file()
    }
