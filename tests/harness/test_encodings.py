"""Commands print under an encoding that has few characters: the others are escaped."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from harness import cli, interrupts

from .made import made_run

PRINTING = (
    ("experiments", "list"),
    ("experiments", "show", "quickstart"),
    ("workloads", "list"),
    ("systems", "list"),
    ("models", "list"),
    ("claims",),
    ("compare", "RUN"),
    ("compare", "RUN", "--format", "markdown"),
    ("compare", "RUN", "--format", "csv"),
    ("report", "RUN", "--output", "OUT/né.html"),
    ("compare", "né"),
)


class Printed:
    """The standard streams of a process whose encoding is ``encoding``."""

    def __init__(self, encoding: str, patch: pytest.MonkeyPatch) -> None:
        self._streams = []
        for name in ("stdout", "stderr"):
            self._streams.append(io.TextIOWrapper(io.BytesIO(), encoding, errors="strict"))
            patch.setattr(sys, name, self._streams[-1])

    def text(self) -> str:
        for stream in self._streams:
            stream.flush()
        return "".join(stream.buffer.getvalue().decode(stream.encoding) for stream in self._streams)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_run(tmp_path_factory.mktemp("encoded")).path


def said(words: tuple[str, ...], encoding: str, patch: pytest.MonkeyPatch) -> tuple[object, str]:
    patch.setattr(interrupts, "listen", lambda: None)
    patch.setattr(sys, "argv", ["slbench", *words])
    printed = Printed(encoding, patch)
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code, printed.text()


@pytest.mark.parametrize("words", PRINTING, ids=" ".join)
def test_what_a_command_prints_is_printed_in_ascii(
    words: tuple[str, ...], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {"RUN": str(run), "OUT/né.html": str(tmp_path / "né.html")}
    status, text = said(tuple(here.get(word, word) for word in words), "ascii", monkeypatch)
    assert status in ((2,) if words == ("compare", "né") else (0, None)), text
    assert text
