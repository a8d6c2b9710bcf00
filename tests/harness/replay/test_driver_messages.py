"""What a load worker sends is checked by the driver, and what the driver writes by its caller."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.replay.following import read
from harness.replay.messages import Done, Started

# In a process of its own, since the driver's modules patch the standard library.
DRIVER = """
import contextlib, io, json, sys, tempfile, types
import msgspec
import pyarrow as pa, pyarrow.parquet as pq
from harness.replay import driver_controller
from harness.replay.messages import (
    Ended, WorkerCounts, WorkerDone, WorkerRecent, as_data, read_line
)

schedule = tempfile.NamedTemporaryFile()
pq.write_table(pa.table({"row": [0, 1, 2, 3]}), schedule.name)

class Runner:
    def register_message(self, kind, listener): setattr(self, kind, listener)
    def send_message(self, kind, data=None): pass

def counts(worker): return as_data(WorkerCounts(worker, 3, 1, 9))
def recent(worker, row):
    return as_data(WorkerRecent(worker, [Ended(row, "ok", None, None, None)]))
def done(worker): return as_data(WorkerDone(worker, 3, 1, 9, 5, 5, [1, 2], True))

def outcome(bad, early):
    runner = Runner()
    plan = types.SimpleNamespace(workers=2, lead_s=0.0, solo=False, schedule=schedule.name)
    controller = driver_controller.Controller(plan, types.SimpleNamespace(runner=runner))
    def say(kind, node, data):
        getattr(runner, kind)(environment=None, msg=types.SimpleNamespace(data=data, node_id=node))
    names = {"say": say, "counts": counts, "recent": recent, "done": done}
    def ends(status): controller._watch(0, types.SimpleNamespace(wait=lambda: status))
    names |= {"failed": lambda: ends(1), "killed": lambda: ends(-9)}
    said, told = io.StringIO(), io.StringIO()
    over = lambda: controller._all_ended.is_set()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(told):
        say("replay_ready", "a", counts(0))
        if early:
            exec(bad, names)
            exec(bad, names)
            if over():
                say("replay_ready", "b", counts(1))
                return [said.getvalue().splitlines(), "started" in told.getvalue()]
        say("replay_ready", "b", counts(1))
        if not early:
            exec(bad, names)
            exec(bad, names)
        before = over()
        say("replay_done", "a", done(0))
    end = read_line(msgspec.json.encode(controller._outcome(controller._cpu_ns())))
    return [said.getvalue().splitlines(), len(end.workers), end.lost, before, over()]

outcomes = [[outcome(bad, True), outcome(bad, False)] for bad in json.load(sys.stdin)]
print(json.dumps(outcomes))
"""
NOTHING = "say('replay_recent', 'b', recent(1, 3))"
TWICE = "say('replay_ready', 'a', counts(0))"
ENDED = "say('replay_done', 'b', done(1)); say('replay_progress', 'b', 'x')"
FAILED = "failed(); say('replay_done', 'a', done(0))"
KILLED = "killed()"
STRANGE = "say('replay_progress', 'c', 'x')"
BAD = {
    "say('replay_progress', 'b', {'worker': 1})": "missing required field",
    "say('replay_progress', 'b', counts(1) | {'done': -1})": "Expected `int` >= 0",
    "say('replay_progress', 'b', counts(1) | {'more': 1})": "unknown field `more`",
    "say('replay_progress', 'b', 'x')": "Expected `object`",
    "say('replay_recent', 'b', recent(1, 2))": "request 2 is not in its share",
    "say('replay_recent', 'b', recent(1, 5))": "request 5 is not in its share",
    "say('replay_done', 'b', done(0))": "worker 0 is not its share",
    "say('replay_progress', 'b', counts(7))": "worker 7 is not its share",
}


ALL = (NOTHING, TWICE, ENDED, FAILED, KILLED, STRANGE, *BAD)


@pytest.fixture(scope="module")
def outcomes() -> Any:
    """By what is said: what follows from it before the start, and after it."""
    ran = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=json.dumps(ALL),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    return dict(zip(ALL, json.loads(ran.stdout.splitlines()[-1]), strict=True))


@pytest.mark.parametrize("bad", BAD)
def test_a_worker_that_sends_what_it_may_not_is_lost_and_named_once(
    bad: str, outcomes: Any
) -> None:
    before, (lines, *after) = outcomes[bad]
    assert len(lines) == 1
    assert lines[0].startswith("replay: load worker b sent an invalid message: ")
    assert BAD[bad] in lines[0]
    assert after == [1, 1, False, True]
    assert before == [lines, False], "a run does not start without one of its workers"


def test_without_a_bad_message_nothing_is_lost(outcomes: Any) -> None:
    assert outcomes[NOTHING] == [[[], 1, 0, False, False]] * 2


def test_a_worker_that_is_ready_twice_does_not_start_the_run_for_another(outcomes: Any) -> None:
    assert outcomes[TWICE] == [[[], 1, 0, False, False]] * 2


def test_one_that_has_ended_and_is_then_refused_is_counted_once(outcomes: Any) -> None:
    lines, *after = outcomes[ENDED][1]
    assert len(lines) == 1
    assert after == [1, 1, False, True]


def test_one_that_has_ended_and_also_fails_is_counted_once_and_does_not_end_the_run_of_others(
    outcomes: Any,
) -> None:
    before, after = outcomes[FAILED]
    assert before == [[], False]
    assert after == [[], 0, 1, False, False]


def test_why_a_run_did_not_start_is_said_of_the_first_that_was_lost(outcomes: Any) -> None:
    before, _ = outcomes[KILLED]
    assert before == [["replay: load worker 0 was ended by signal 9"], False]


def test_a_node_without_a_share_does_not_end_a_run_that_has_started(outcomes: Any) -> None:
    lines, *after = outcomes[STRANGE][1]
    assert len(lines) == 1
    assert after == [1, 0, False, False]


def test_a_line_that_no_driver_writes_is_an_error_of_one_line() -> None:
    assert read(b'{"kind":"started","start_ns":5}') == Started(5)
    end = {"kind": "done", "workers": [], "lost": 0, "cpu_ns": 1}
    assert read(json.dumps(end).encode()) == Done([], 0, 1)
    for line in (b"x", b"{}", b'{"kind":"started","start_ns":"5"}', b'{"kind":"gone"}'):
        with pytest.raises(HarnessError, match="sent an invalid message"):
            read(line)
