"""Memory of processes: what forks share, and of one that has ended."""

from __future__ import annotations

import subprocess
import sys
from subprocess import PIPE

from systems.runtime.process_memory import anonymous_bytes, shares, shares_of_all
from systems.runtime.process_tree import tree


def test_what_a_fork_shares_is_nobodys_own_and_half_of_each() -> None:
    """A child that is forked after 64 MiB were touched and touches none of them."""
    code = (
        "import os,sys; x=bytearray(b'x')*(64<<20); pid=os.fork(); "
        "pid and print(pid,flush=True); sys.stdin.read(1); pid and os.waitpid(pid,0)"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        pids = (parent.pid, int(parent.stdout.readline()))
        both = [shares(pid) for pid in pids]
        resident = anonymous_bytes(parent.pid)
        parent.stdin.close()
    assert resident is not None
    assert resident > 64 << 20
    for each in both:
        assert each is not None
        assert 30 << 20 < each.pss < 64 << 20
        assert each.uss < 20 << 20


def test_a_process_that_is_gone_counts_for_nothing() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert anonymous_bytes(child.pid) is None, "missing, not nothing"
    assert shares(child.pid) is None
    assert shares_of_all([child.pid]) is None
    assert list(tree(child.pid)) == [child.pid]
