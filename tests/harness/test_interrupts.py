"""A request to end is answered wherever it meets the main thread, with the same exit status."""

from __future__ import annotations

import subprocess
import sys

import pytest

SWALLOWED = """
class Last:
    def __del__(self):
        signal.raise_signal(number)  # raised in a finalizer, so only printed

last = Last()
del last
"""

TRANSLATED = """
with interrupts.surfacing():
    try:
        signal.raise_signal(number)
    except KeyboardInterrupt:
        raise ValueError("an extension module's own") from None
"""


def ended(body: str, number: str) -> int:
    """Return the exit status of a process that listens, runs ``body``, checks, and ends with 3."""
    script = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from harness import interrupts
number = signal.{number}
interrupts.listen()
try:
    {body.strip().replace(chr(10), chr(10) + "    ")}
    interrupts.check()
except KeyboardInterrupt:
    sys.exit(3)
"""
    return subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True
    ).returncode


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_request_that_a_finalizer_swallows_is_raised_by_the_next_check(number: str) -> None:
    assert ended(SWALLOWED, number) == 3


def test_a_request_that_an_extension_module_turns_into_its_own_exception_is_one_still() -> None:
    assert ended(TRANSLATED, "SIGTERM") == 3


def test_an_exception_without_a_request_stays_what_it_is() -> None:
    assert (
        ended(
            TRANSLATED.replace("signal.raise_signal(number)", "raise KeyboardInterrupt"), "SIGTERM"
        )
        == 1
    )


def test_an_ignored_signal_stays_ignored() -> None:
    body = "signal.signal(number, signal.SIG_IGN); interrupts.listen(); signal.raise_signal(number)"
    assert ended(body, "SIGHUP") == 0
