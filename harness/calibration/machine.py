"""The noise of the machine during a measurement."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Self

import psutil

from ..errors import HarnessError
from .result import Machine, Percentiles

_SLEEPER = Path(__file__).with_name("sleeper.py")


class MachineProbe:
    """Context manager that measures from its entry on; call ``machine`` after exit."""

    def __enter__(self) -> Self:
        self._sleeper = subprocess.Popen(
            [sys.executable, "-I", str(_SLEEPER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._sleeper.stdout is not None
        self._sleeper.stdout.readline()
        self._before = psutil.cpu_times()
        return self

    def __exit__(self, *raised: object) -> None:
        output, _ = self._sleeper.communicate()
        self._late_ns = json.loads(output or "[]")
        self._after = psutil.cpu_times()

    def machine(self) -> Machine:
        if not self._late_ns:
            raise HarnessError("calibration: the probe of the machine's noise did not report")
        spent = {
            name: getattr(self._after, name) - getattr(self._before, name)
            for name in ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
        }
        total = sum(spent.values())
        return Machine(
            wake_ms=Percentiles.of_ns(self._late_ns),
            busy=round(1 - (spent["idle"] + spent["iowait"]) / total, 4),
            steal=round(spent["steal"] / total, 4),
        )
