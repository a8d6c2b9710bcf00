"""At ``function`` level, decisions change only where that is intended and recorded."""

from __future__ import annotations

import json

import pytest

from . import recording

_RECORDED = json.loads(recording.PATH.read_text(encoding="utf-8"))


@pytest.mark.parametrize("first", range(0, recording.SCRIPTS, 50))
def test_decisions_are_those_that_were_recorded(first: int) -> None:
    seeds = range(first, first + 50)
    assert [recording.digest(seed) for seed in seeds] == _RECORDED[first : first + 50]
