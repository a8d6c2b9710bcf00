"""Every figure of the reference records as it is printed: as wide as a column, and in grey."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from harness.errors import HarnessError
from harness.records import Run
from paper_figures import draw, open_record
from paper_figures.onset import onsets
from paper_figures.registry import drawings, sources
from paper_figures.style import drawn_for

from .kinds import ReadOnce
from .seen import alike, cut_marks, cut_off, empty, illegible, words

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
Source = tuple[str, str]
ALL: list[Source] = [(name, source) for name in sources() for source in sources()[name]]
Printed = Callable[[Source], Sequence[Any]]


@pytest.fixture(scope="module")
def printed() -> Printed:
    """Return the figures of a name from a record, drawn once for all tests."""

    @cache
    def opened(path: Path) -> Any:
        record = open_record(path)
        return ReadOnce.of(record) if isinstance(record, Run) else record

    @cache
    def figures(of: Source) -> Sequence[Any]:
        name, source = of
        with drawn_for("column"):
            found = [each.figure for each in drawings(name, opened(REFERENCE / source))]
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


@pytest.mark.usefixtures("png_only")
def test_a_figure_for_a_column_is_as_wide_as_one(tmp_path: Path) -> None:
    sweep = open_record(REFERENCE / "adapters")
    with drawn_for("column"):
        (narrow,) = draw("adapters", sweep, tmp_path)
    (wide,) = draw("adapters", sweep, tmp_path / "page")
    dpi = 160
    assert plt.imread(narrow).shape[1] / dpi == pytest.approx(3.35, abs=0.25)
    assert plt.imread(wide).shape[1] / dpi == pytest.approx(7.0, abs=0.25)
    with pytest.raises(HarnessError, match="width 'poster' is unknown; choose page or column"):
        drawn_for("poster").__enter__()


def test_a_mechanism_begins_to_matter_where_its_ratio_is_surely_above_one() -> None:
    rows = pd.DataFrame(
        [("a", 1, 1.3, 0.9), ("a", 2, 1.05, 1.01), ("a", 4, 1.2, 1.1), ("a", 8, 2.0, 1.5),
         ("b", 1, 1.0, 1.0), ("b", 2, 1.0, 1.0), ("c", 2, 3.0, None), ("c", 4, 3.0, None)],
        columns=["system", "at", "value", "low"],
    )  # fmt: skip
    found = onsets(rows, 1.1)
    assert dict(zip(found["system"], found["at"], strict=True)) == {"a": 4, "c": 2}


def test_every_onset_of_the_regimes_is_ringed(printed: Printed) -> None:
    (figure,) = printed(("regimes", "regimes-load"))
    rings = [
        [(x, y) for x, y in line.get_xydata()]
        for axis in figure.axes
        for line in axis.lines
        if line.get_mfc() == "none"
    ]
    assert sorted(x for x, _ in rings[0]) == [0.077, 0.077, 16.0]
    assert any("ring: the first point of at least 1.1" in text for text in words(figure))
