"""The probe of the machine's noise."""

from __future__ import annotations

import time

from harness.calibration.machine import MachineProbe


def test_the_probe_reports_however_short_the_measurement_and_loaded_the_machine() -> None:
    """It was not there yet where its imports took longer than the measurement."""
    with MachineProbe() as probe:
        time.sleep(0.05)
    found = probe.machine()
    assert found.wake_ms.n >= 1
    assert 0 <= found.busy <= 1
