"""Checks of the system trace against what a client observed."""

from __future__ import annotations

import time

from systems.interface import RequestTrace

from .check import NotTestableError, Subject, check, require
from .talk import complete

_SLACK_NS = 2_000_000
"""Maximum sum of the gaps between stages: the limit for the residual of a run."""
_WRITTEN_S = 1.0


@check("reports spans that add up")
def spans_add_up(subject: Subject) -> None:
    """Send a request: its stages are in order, without gap or overlap, from its receipt to its
    response, and within the time that the client waited."""
    before_ns = time.monotonic_ns()
    complete(subject.endpoint, subject.functions[0], 8, request_id="424242")
    after_ns = time.monotonic_ns()
    said = _said(subject, "424242")
    if not said or not said[0].spans:
        raise NotTestableError("the system reports no spans")
    require(len(said) == 1, f"one request was sent, {len(said)} are in the trace")
    require(before_ns <= said[0].received_ns, "received before it was sent")
    _check_spans(said[0], after_ns)


def _said(subject: Subject, request_id: str) -> list[RequestTrace]:
    """Return a request's records. They may be written after the client has read the last byte."""
    deadline = time.monotonic() + _WRITTEN_S
    while True:
        said = [each for each in subject.system_trace().requests if each.request_id == request_id]
        if said or time.monotonic() > deadline:
            return said
        time.sleep(_WRITTEN_S / 50)


def _check_spans(said: RequestTrace, after_ns: int) -> None:
    end_ns, gaps_ns = said.received_ns, 0
    for span in said.spans:
        require(span.start_ns <= span.end_ns, f"{span.stage.value} ends before it starts")
        require(span.start_ns >= end_ns, f"{span.stage.value} starts within the stage before it")
        gaps_ns += span.start_ns - end_ns
        end_ns = span.end_ns
    require(gaps_ns <= _SLACK_NS, f"{gaps_ns / 1e6:.1f} ms of the wait are in no stage")
    require(end_ns <= (said.responded_ns or after_ns), "a stage ends after the response")
