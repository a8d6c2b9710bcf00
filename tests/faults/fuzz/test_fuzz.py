"""Try a few bad inputs of each kind; ``make fuzz`` tries ten thousand."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import http
from .__main__ import OF_FILES
from .tally import Tally

FEW = {
    "adapters": 50,
    "checkpoints": 30,
    "experiments": 60,
    "workloads": 30,
    "sweeps": 4,
    "traces": 30,
    "runs": 18,
    "messages": 360,
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", OF_FILES)
def test_files_are_taken_or_refused_in_a_line(kind: str, tmp_path: Path) -> None:
    tally = OF_FILES[kind](FEW[kind], 1, tmp_path)
    assert tally.problems == []
    assert tally.tried == FEW[kind] == tally.taken + tally.refused
    assert tally.taken, "some inputs are still valid"
    assert tally.refused


@pytest.mark.live
def test_requests_are_answered_as_the_document_says() -> None:
    with http.platform() as url:
        found = [http.documented(12, 1, url), http.raw(20, 1, url)]
    for tally in found:
        assert tally.problems == []
        assert tally.refused
    assert found[0].taken, "some were answered"


def test_an_input_that_is_neither_is_noticed() -> None:
    def crash() -> None:
        raise RecursionError("without end")

    tally = Tally("made")
    tally.attempt("one", crash)
    assert tally.problems == ["one: RecursionError: without end"]
