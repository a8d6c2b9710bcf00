"""The load of a cell while it is sent: what is due, under way and done, and how fast the last
answers were. Times are passed in."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from ..replay.messages import Ended

WINDOW_NS = 10_000_000_000
"""TTFT, TPOT and lateness are those of the requests that ended in the last ten seconds."""
_NS = 1e9
_MOST_LATE_S = 0.01


@dataclass(frozen=True, slots=True)
class Rolling:
    """Median and 95th percentile in seconds; None without a value."""

    p50_s: float | None
    p95_s: float | None

    @classmethod
    def of(cls, values_ns: Sequence[int]) -> Rolling:
        ordered = sorted(values_ns)
        if not ordered:
            return cls(None, None)
        at = [ordered[min(int(len(ordered) * p), len(ordered) - 1)] / _NS for p in (0.5, 0.95)]
        return cls(*at)


@dataclass(frozen=True, slots=True)
class LoadView:
    """A moment of a load. ``running`` by function: due and not ended; None in a closed loop, whose
    schedule has no times. ``failed``: by status. ``left_s``: until the last request is due."""

    done: int
    total: int
    done_by_function: Counter[str]
    running: Counter[str] | None
    failed: Counter[str]
    ttft: Rolling
    tpot: Rolling
    late: Rolling
    left_s: float

    @property
    def warnings(self) -> list[str]:
        found = [f"{count} {status}" for status, count in sorted(self.failed.items())]
        if self.late.p95_s is not None and self.late.p95_s > _MOST_LATE_S:
            found.append(f"requests are sent late: p95 {self.late.p95_s * 1e3:.0f} ms")
        return found


class Load:
    """Follows a load. ``functions`` and ``due_ns`` (after its start, ascending) by request. One
    thread may add what has ended while another looks."""

    def __init__(self, functions: Sequence[str], due_ns: Sequence[int], *, closed: bool) -> None:
        self._functions, self._due_ns, self._closed = functions, due_ns, closed
        self._start_ns: int | None = None
        self._lock = threading.Lock()
        self._done: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._recent: deque[tuple[int, Ended]] = deque()

    def started(self, start_ns: int) -> None:
        self._start_ns = start_ns

    def ended(self, requests: Sequence[Ended], now_ns: int) -> None:
        """Take note of requests that have ended."""
        with self._lock:
            for each in requests:
                self._done[self._functions[each.row]] += 1
                self._failed[each.status] += each.status != "ok"
                self._recent.append((now_ns, each))

    def view(self, now_ns: int) -> LoadView:
        with self._lock:
            return self._view(now_ns)

    def _view(self, now_ns: int) -> LoadView:
        while self._recent and self._recent[0][0] < now_ns - WINDOW_NS:
            self._recent.popleft()
        recent = [each for _, each in self._recent]
        return LoadView(
            done=self._done.total(),
            total=len(self._functions),
            done_by_function=+self._done,
            running=None if self._closed else self._running(now_ns),
            failed=+self._failed,
            ttft=Rolling.of([each.ttft_ns for each in recent if each.ttft_ns is not None]),
            tpot=Rolling.of([each.tpot_ns for each in recent if each.tpot_ns is not None]),
            late=Rolling.of([each.late_ns for each in recent if each.late_ns is not None]),
            left_s=self._left_s(now_ns),
        )

    def _running(self, now_ns: int) -> Counter[str]:
        if self._start_ns is None:
            return Counter()
        due = bisect_right(self._due_ns, now_ns - self._start_ns)
        return Counter(self._functions[:due]) - self._done

    def _left_s(self, now_ns: int) -> float:
        length_ns = self._due_ns[-1] if self._due_ns and not self._closed else 0
        gone_ns = 0 if self._start_ns is None else now_ns - self._start_ns
        return max(length_ns - gone_ns, 0) / _NS
