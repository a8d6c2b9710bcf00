"""Every figure of the reference records as it is printed: as wide as a column, and in grey."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import to_hex

from paper_figures import open_record
from paper_figures.registry import drawings, sources
from paper_figures.style import drawn_for

from .seen import alike, cut_marks, cut_off, empty, illegible, words

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
Source = tuple[str, str]
ALL: list[Source] = [(name, source) for name in sources() for source in sources()[name]]
Printed = Callable[[Source], Sequence[Any]]


@pytest.fixture(scope="module")
def printed() -> Printed:
    """Return the figures of a name from a record, drawn once for all tests."""

    @cache
    def figures(of: Source) -> Sequence[Any]:
        name, source = of
        with drawn_for("column"):
            found = [each.figure for each in drawings(name, open_record(REFERENCE / source))]
        for figure in found:
            plt.close(figure)
        return found

    return figures


@pytest.mark.parametrize("of", ALL, ids="-".join)
def test_a_figure_of_a_reference_record_is_whole_and_legible(of: Source, printed: Printed) -> None:
    for figure in printed(of):
        assert illegible(figure) == []
        assert cut_marks(figure) == []
        assert alike(figure) == []
        assert any("; run " in text for text in words(figure)), "the caption names its records"
        for axis in figure.axes:
            assert not empty(axis)
            assert cut_off(axis) == []


def test_a_label_has_one_look_in_all_figures(printed: Printed) -> None:
    found: dict[str, set[tuple[str, str]]] = {}
    for of in ALL:
        for figure in printed(of):
            for line in (line for axis in figure.axes for line in axis.lines):
                look = (to_hex(line.get_color()), str(line.get_marker()))
                found.setdefault(str(line.get_label()), set()).add(look)
    assert {"ServerlessLoRA", "ServerlessLLM", "InstaInfer"} <= set(found)
    assert {label: looks for label, looks in found.items() if _of_a_system(label, looks)} == {}


def _of_a_system(label: str, looks: set[tuple[str, str]]) -> bool:
    return not label.startswith("_") and label != "as published" and len(looks) > 1
