"""Memory is measured of whole process trees, children that come and go included."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from subprocess import PIPE

import pytest

from harness.telemetry import Sampler, anonymous_bytes, pss_bytes, tree

HOLD = "import sys,time; x=bytearray(64<<20); print('ready',flush=True); sys.stdin.read()"


def test_a_child_is_counted_while_it_lives() -> None:
    with Sampler([os.getpid()], tick_s=0.02, pss_s=0.05) as sampler:
        time.sleep(0.1)
        command = [sys.executable, "-c", HOLD]
        with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(0.15)
            assert anonymous_bytes(child.pid) > 64 << 20
            assert child.stdin is not None
            child.stdin.close()
        time.sleep(0.1)
    before, during, after = (
        sampler.samples[0],
        max(sampler.samples, key=lambda s: s.anonymous_bytes),
        sampler.samples[-1],
    )
    assert during.processes == before.processes + 1 == after.processes + 1
    assert during.anonymous_bytes - before.anonymous_bytes > 60 << 20
    assert any(sample.pss_bytes for sample in sampler.samples)


def test_a_process_that_is_gone_counts_for_nothing() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert anonymous_bytes(child.pid) == 0
    assert pss_bytes(child.pid) is None
    assert list(tree(child.pid)) == [child.pid]


def test_samples_come_ten_times_a_second() -> None:
    with Sampler([os.getpid()]) as sampler:
        time.sleep(1.0)
    first, last = sampler.samples[0], sampler.samples[-1]
    period_s = (last.t_ns - first.t_ns) / 1e9 / (len(sampler.samples) - 1)
    assert period_s == pytest.approx(0.1, abs=0.05)
