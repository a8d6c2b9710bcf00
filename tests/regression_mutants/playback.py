"""The responses of the reference server on a virtual clock, as a reader would receive them."""

from __future__ import annotations

from typing import Any

from harness.reference_server import Expected, expect
from harness.reference_server.behaviours import script_for
from harness.reference_server.script import Request, Script, Step
from harness.reference_server.wire import halves, render, stamped
from harness.replay.frames import Captured, Ending

START_NS = 1_000_000_000
SENT_NS = START_NS + 250_000
PROMPT = (11, 222, 3333, 44444)
_ENDINGS = {"end": Ending.COMPLETE, "cut": Ending.CUT, "stall": Ending.TIMEOUT}
_SPLIT_NS = 1_000_000


def play(model: str, max_tokens: int = 6) -> tuple[Captured, Expected]:
    """Return the captured response of ``model``, with no network delay, and the oracle's expected
    record of it."""
    request = Request("7", model, PROMPT, max_tokens, include_usage=True)
    script = script_for(request)
    reads, sent, now_ns = _reads(script)
    head_ns = SENT_NS + script.head_after_ns if script.head_after_ns is not None else None
    captured = Captured(
        row=0,
        ending=int(_ENDINGS[script.ending]),
        sent_ns=SENT_NS,
        connect_ns=0,
        first_byte_ns=head_ns or (reads[0][0] if reads else 0),
        end_ns=now_ns,
        http_status=script.status if reads or head_ns else 0,
        retry_after=script.headers.get("Retry-After", ""),
        times=[at for at, _ in reads],
        chunks=[data for _, data in reads],
        error="" if script.ending == "end" else "as the server chose",
    )
    return captured, expect(model, PROMPT, {"sent": sent})


def _reads(script: Script) -> tuple[list[tuple[int, bytes]], list[Any], int]:
    now_ns = SENT_NS + (script.head_after_ns or 0)
    reads: list[tuple[int, bytes]] = []
    sent: list[tuple[int, tuple[int, ...]]] = []
    for step in script.steps:
        now_ns += step.after_ns
        for piece in _pieces(step, script, now_ns):
            now_ns += _SPLIT_NS if script.split and piece is not None and reads else 0
            reads.append((now_ns, piece))
        if step.ids:
            sent.append((now_ns, step.ids))
    return reads, sent, now_ns


def _pieces(step: Step, script: Script, now_ns: int) -> list[bytes]:
    data = stamped(render(step, script.newline), now_ns)
    return [half for half in halves(data) if half] if script.split else [data]
