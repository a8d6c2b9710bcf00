"""A journal has whole lines only, whatever becomes of its disk and its writer."""

from __future__ import annotations

import contextlib
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from systems.interface import Decision, MemoryOwner, MemoryStep
from systems.runtime import journal
from systems.runtime.metrics import Metrics

from .test_metrics import ANSWERED


@contextmanager
def room_for(nbytes: int) -> Iterator[None]:
    """Let this process write no file longer than ``nbytes``, as a full disk would."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with contextlib.ExitStack() as undo:
        undo.callback(signal.signal, signal.SIGXFSZ, ignored)
        undo.callback(resource.setrlimit, resource.RLIMIT_FSIZE, limits)
        resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, limits[1]))
        yield


def test_a_journal_on_a_full_disk_loses_whole_lines_and_says_how_many(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    book = journal.Journal(path)
    book.decision(Decision(1, "first", {}))
    whole = path.read_bytes()
    with room_for(len(whole) + 10):
        book.decision(Decision(2, "second", {}))
        assert path.read_bytes() == whole, "no half line is left"
        book.decision(Decision(3, "third", {}))
    book.decision(Decision(4, "fourth", {}))
    book.close()
    found = journal.read(path)
    assert [each.kind for each in found.decisions] == ["first", "fourth"]
    assert found.problems == ("2 journal lines lost",)


def test_a_line_that_its_writer_did_not_end_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    book = journal.Journal(path)
    book.problem("one")
    book.close()
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        path.write_bytes(whole + whole[:length])
        assert len(journal.read(path).problems) == 1 + (length == len(whole))


def test_a_problem_that_quotes_a_process_is_no_control_sequence(tmp_path: Path) -> None:
    """``slbench serve`` and ``slbench run`` print problems and isolation gaps as they are read."""
    book = journal.Journal(tmp_path / "journal.jsonl")
    book.problem("audit: \x1b[2Jnot summed\nproblem: another" + "x" * 40_000)
    book.isolation_gap("\x1b]0;title\x07")
    book.close()
    found = journal.read(tmp_path / "journal.jsonl")
    for text in (*found.problems, *found.isolation_gaps):
        assert text.isprintable()
        assert len(text) < 1_000
    assert found.problems[0].startswith("audit:")


def test_what_is_journaled_of_requests_and_memory_is_counted_too(tmp_path: Path) -> None:
    metrics = Metrics()
    book = journal.Journal(tmp_path / "journal.jsonl", metrics)
    metrics.received("f0")
    book.request(ANSWERED, tokens=5)
    book.memory(MemoryStep(1, "cpu:0", MemoryOwner.KV, None, 100))
    book.close()
    page = metrics.text().decode()
    assert 'slbench_start_types_total{function="f0",start_type="cold"} 1.0' in page
    assert 'owner="kv"} 100.0' in page
