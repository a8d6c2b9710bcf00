"""The reference server's own command line."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [(["--help"], 0, "PORT"), (["eighty"], 2, "PORT"), (["1", "2", "3"], 2, "unrecognized")],
)
def test_help_is_shown_and_a_wrong_word_is_refused_in_words(
    words: list[str], status: int, told: str
) -> None:
    command = [sys.executable, "-m", "harness.reference_server", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    said = done.stdout + done.stderr
    assert (done.returncode, told in said, "Traceback" in said) == (status, True, False)
