"""Memory of processes: what forks share, and of one that has ended."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
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


def test_the_end_of_a_process_that_maps_the_same_file_changes_only_the_unique_set_size(
    tmp_path: Path,
) -> None:
    """As of a library that a gateway and another program have loaded."""
    path = tmp_path / "library"
    path.write_bytes(b"x" * (16 << 20))
    code = (
        "import mmap,sys; file=open(sys.argv[1],'rb'); "
        "pages=mmap.mmap(file.fileno(),0,prot=mmap.PROT_READ); "
        "print(sum(pages[::4096]),flush=True); sys.stdin.read(1)"
    )
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdin is not None
        first.stdout.readline()
        with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as second:
            assert second.stdout is not None
            second.stdout.readline()
            before = shares(first.pid), anonymous_bytes(first.pid)
            second.communicate()
        after = shares(first.pid), anonymous_bytes(first.pid)
        first.stdin.close()
    assert before[0] is not None
    assert after[0] is not None
    assert after[0].uss - before[0].uss > 12 << 20
    assert after[1] == before[1]


def test_a_process_that_is_gone_counts_for_nothing() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert anonymous_bytes(child.pid) is None, "missing, not nothing"
    assert shares(child.pid) is None
    assert shares_of_all([child.pid]) is None
    assert list(tree(child.pid)) == [child.pid]
