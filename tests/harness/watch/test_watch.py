"""The view of a run: what it shows of a moment, on a terminal and in lines."""

from __future__ import annotations

import io
from collections import Counter

import pytest
from rich.console import Console

from harness.replay.messages import Ended
from harness.watch.clock import RunClock
from harness.watch.console import Watch, watch
from harness.watch.gateway import GatewayView, parse
from harness.watch.load import Load
from harness.watch.text import RunView, clock, line, screen
from systems.runtime.metrics import Metrics
from tests.systems.runtime.test_metrics import ANSWERED

S, MS = 1_000_000_000, 1_000_000
FUNCTIONS = ["f0", "f1", "f0", "f1"]
DUE_NS = [0, 1 * S, 2 * S, 8 * S]


def ok(row: int, ttft_ms: int = 100, tpot_ms: int | None = 20, late_ms: int = 0) -> Ended:
    tpot = None if tpot_ms is None else tpot_ms * MS
    return Ended(row, "ok", ttft_ms * MS, tpot, late_ms * MS)


def load(*, closed: bool = False) -> Load:
    made = Load(FUNCTIONS, DUE_NS, closed=closed)
    made.started(100 * S)
    return made


def test_what_is_due_and_has_not_ended_is_running() -> None:
    made = load()
    assert made.view(99 * S).running == Counter()
    assert made.view(102 * S).running == {"f0": 2, "f1": 1}
    made.ended([ok(0), ok(1)], 103 * S)
    view = made.view(103 * S)
    assert (view.done, view.total, view.running) == (2, 4, {"f0": 1})
    assert view.left_s == pytest.approx(5.0)
    assert load(closed=True).view(103 * S).running is None


def test_latencies_are_those_of_the_last_ten_seconds() -> None:
    made = load()
    made.ended([ok(0, ttft_ms=9000)], 101 * S)
    made.ended([ok(1, ttft_ms=100), ok(2, ttft_ms=300, tpot_ms=None)], 110 * S)
    assert made.view(110 * S).ttft.p95_s == 9.0
    view = made.view(112 * S)
    assert (view.ttft.p50_s, view.ttft.p95_s, view.tpot.p50_s) == (0.3, 0.3, 0.02)
    assert view.done == 3, "they are still counted"
    assert made.view(130 * S).ttft.p50_s is None


def test_failures_and_late_sends_are_warned_of() -> None:
    made = load()
    assert made.view(101 * S).warnings == []
    made.ended([Ended(0, "http_5xx", None, None, 0), ok(1, late_ms=40)], 101 * S)
    assert made.view(101 * S).warnings == ["1 http_5xx", "requests are sent late: p95 40 ms"]


def test_the_time_left_counts_what_cells_took_beyond_their_loads() -> None:
    run = RunClock([10.0, 20.0, 30.0])
    assert run.left_s(0.0) == 60 + 3 * RunClock.FIRST_GUESS_S
    run.begin(100.0)
    assert (run.cell, run.left_s(104.0)) == ("1/3", 60 + 15 - 4)
    run.end(112.0)  # two seconds beyond its load
    run.begin(112.0)
    assert (run.cell, run.left_s(113.0)) == ("2/3", 20 + 2 - 1 + 30 + 2)
    run.end(134.0)
    run.begin(134.0)
    assert run.left_s(999.0) == 0.0


def test_the_gateway_is_read_by_its_own_names_and_others_tell_nothing() -> None:
    metrics = Metrics()
    metrics.received("f0")
    metrics.ended(ANSWERED, 5)
    assert parse(metrics.text().decode()) == GatewayView({"cold": 1}, {})
    assert parse("# HELP vllm:x y\n# TYPE vllm:x counter\nvllm:x 3.0\n") == GatewayView()


@pytest.mark.parametrize("value", ["NaN", "+Inf", "1e400", "x"])
@pytest.mark.parametrize("labels", ['{start_type="cold"}', "", "{"])
def test_a_page_with_other_metrics_of_our_names_is_refused(value: str, labels: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(f"slbench_start_types_total{labels} {value}\n")


def moment() -> RunView:
    made = load()
    made.ended([ok(0), Ended(1, "timeout", None, None, 0)], 102 * S)
    gateway = GatewayView({"cold": 2, "hot": 1}, {"weights": 270 * MS, "kv": 5 * MS})
    return RunView("2/6", "ours under steady", "sending load", 75.0, made.view(102 * S), gateway)


def test_a_terminal_shows_all_of_it() -> None:
    out = io.StringIO()
    Console(file=out, width=100, force_terminal=False).print(screen(moment()))
    text = out.getvalue()
    for shown in (
        "[2/6] ours under steady", "sending load, about 1:15 left of the whole run",
        "2 of 4 done, 1 running", "TTFT p50 100 ms p95 100 ms   TPOT p50 20 ms p95 20 ms",
        "f0 1+1", "f1 1+0", "2 cold, 1 hot", "kv 0.01 GB, weights 0.27 GB", "warning: 1 timeout",
    ):  # fmt: skip
        assert shown in text, shown
    assert "\nrequests  " in text, "the bar has a line of its own"


def test_elsewhere_it_is_a_line() -> None:
    assert line(moment()) == (
        "[2/6] sending load, 2 of 4 done, 1 running, TTFT p50 100 ms p95 100 ms,"
        " TPOT p50 20 ms p95 20 ms, 1 timeout, about 1:15 left"
    )
    assert [clock(each) for each in (5, 65, 3725)] == ["0:05", "1:05", "1:02:05"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_watch_says_each_cell_and_shows_a_view_only_on_a_terminal() -> None:
    plain, terminal = io.StringIO(), Terminal()
    for stream in (plain, terminal):
        with watch([1.0, 1.0], stream) as shown:
            for title in ("one", "two"):
                with shown.cell(title):
                    shown.phase("calibrating", told=True)
                    shown.say("a remark")
    assert plain.getvalue() == (
        "[1/2] one\ncalibrating\na remark\n[2/2] two\ncalibrating\na remark\n"
    )
    text = terminal.getvalue()
    assert text.count("a remark") == 2
    assert "[2/2] two: 0:00" in text
    assert "left of the whole run" in text


def test_lines_come_at_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.replay import Schedule
    from systems.interface import Endpoint

    monkeypatch.setattr("harness.watch.console.LINE_EVERY_S", 0.0)
    schedule = Schedule.from_columns(
        request_id=[0], scheduled_ns=[0], function_id=["f0"], prompt_ids=[[1]], output_tokens=[1]
    )
    out = io.StringIO()
    shown = Watch([0.0], out)
    with (
        shown.cell("ours"),
        shown.load(schedule, Endpoint("http://127.0.0.1:1", ("f0",)), closed=False) as follow,
    ):
        follow.started(1)
        follow.ended([ok(0)])
    first, second = out.getvalue().splitlines()
    assert first == "[1/1] ours"
    assert second.startswith("[1/1] sending load, 1 of 1 done, 0 running, TTFT p50 100 ms")
