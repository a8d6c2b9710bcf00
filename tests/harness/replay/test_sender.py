"""A sender that cannot do what it is told ends and says why: its driver waits for its output."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness.replay.frames import Settings, pack
from harness.replay.process import command

_ALONE = ["unshare", "--user", "--map-root-user", "--net"]
"""A network of its own, in which the loopback interface is down."""
_MOST_S = 30
_CALIBRATES = "from harness.calibration import calibrate; calibrate(quick=True)"


def test_orders_that_cannot_be_carried_out_end_it_with_a_line() -> None:
    order = pack(Settings(["ftp://127.0.0.1"], 1.0, [], 0))
    with subprocess.Popen(
        command("sender"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as sender:
        assert sender.stdin is not None
        assert sender.stderr is not None
        sender.stdin.write(order)
        sender.stdin.flush()
        try:
            assert sender.wait(_MOST_S) == 1
        finally:
            sender.kill()
        (line,) = sender.stderr.read().decode().splitlines()
    assert line == "base URL 'ftp://127.0.0.1': write http://host:port or https://host"


@pytest.mark.skipif(
    subprocess.run([*_ALONE, "true"], check=False, capture_output=True).returncode != 0,
    reason="no network namespace can be made here",
)
def test_a_calibration_without_a_loopback_interface_ends_with_a_line() -> None:
    ended = subprocess.run(
        [*_ALONE, sys.executable, "-c", _CALIBRATES],
        capture_output=True,
        text=True,
        timeout=2 * _MOST_S,
        check=False,
    )
    assert ended.stderr.splitlines()[-1].endswith("must be up: ip link set lo up")
