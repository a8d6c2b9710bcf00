"""What a reader sees in a figure: names, colours, marks, and whether texts cover each other."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from matplotlib.colors import to_hex

from harness.records import Run, new_run
from paper_figures import open_record
from paper_figures.looks import OTHERS, SYSTEMS, is_ablation, looks
from paper_figures.registry import drawings
from tests.harness.made import made_cell, made_run, tables, unseen_tables
from tests.harness.many import many_requests

from .kinds import ReadOnce, many_loads, swept_endpoint
from .seen import words

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
ALIKE = ("alike", "alike18")
"""Two labels that would have the same colour if each had its own by itself."""
PUBLISHED = "as published"


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return ReadOnce.of(many_loads(tmp_path_factory.mktemp("runs")))


def _legend(figure: Any) -> dict[str, str]:
    """Return the colour of each label."""
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    found = {}
    for name, handle in zip(names, legend.legend_handles, strict=True):
        colour = handle.get_facecolor() if hasattr(handle, "get_facecolor") else handle.get_color()
        found[name] = to_hex(colour)
    return found


def _overlapping(texts: list[Any]) -> list[tuple[str, str]]:
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]
    return [(a, b) for (a, one), (b, other) in combinations(boxes, 2) if one.overlaps(other)]


@pytest.mark.parametrize("name", ["ttft-by-pattern", "ttft-distribution", "cost-of-serving"])
def test_names_of_many_loads_do_not_cover_each_other(name: str, crowded: Run) -> None:
    (drawing,) = drawings(name, crowded)
    drawing.figure.draw_without_rendering()
    titles = [text for axis in drawing.figure.axes for text in (axis.title, axis._left_title)]
    for texts in (titles, *(axis.get_xticklabels() for axis in drawing.figure.axes)):
        assert _overlapping(list(texts)) == []
    said = " ".join(words(drawing.figure))
    assert all(f"requests_per_second={rate}" in said for rate in range(1, 13))


def test_loads_of_a_sweep_are_in_the_order_of_their_numbers(crowded: Run) -> None:
    (drawing,) = drawings("ttft-by-pattern", crowded)
    labels = [text.get_text() for text in drawing.figure.axes[0].get_xticklabels()]
    at = [int(label.partition("=")[2].split(",")[0]) for label in labels]
    assert at == list(range(1, 13))


def test_every_known_look_and_every_other_can_be_told_apart() -> None:
    every = [*SYSTEMS.values(), *OTHERS]
    for kept in ("colour", "hatch"):
        assert len({getattr(look, kept) for look in every}) == len(every), kept
    assert len({(look.mark, look.dashes) for look in every}) == len(every)
    many = looks([f"label-{number}" for number in range(len(OTHERS))])
    assert len({look.colour for look in many.values()}) == len(OTHERS)


def test_a_system_has_one_name_and_one_colour_in_all_figures_of_a_run(tmp_path: Path) -> None:
    alone = [looks([label])[label].colour for label in ALIKE]
    assert alone[0] == alone[1], "choose two that are alike"
    run = new_run({"name": "alike"}, tmp_path)
    made_cell(run, ALIKE[0], unseen_tables())
    made_cell(run, ALIKE[1])
    made_cell(run, "serverless-lora")
    found = {name: _legend(next(iter(drawings(name, run))).figure)
             for name in ("ttft-by-pattern", "cost-against-ttft", "tpot-and-e2e")}  # fmt: skip
    first = found["ttft-by-pattern"]
    assert set(first) == {*ALIKE, "ServerlessLoRA"}
    assert len(set(first.values())) == 3
    for name, legend in found.items():
        assert legend.items() <= first.items(), name
    assert ALIKE[0] not in found["cost-against-ttft"], "its cost is not known"


@pytest.mark.parametrize("name", ["time-breakdown", "memory-over-time"])
def test_panels_are_titled_by_the_names_of_the_legends(name: str, tmp_path: Path) -> None:
    said = words(next(iter(drawings(name, made_run(tmp_path)))).figure)
    assert {"ServerlessLoRA", "ServerlessLLM"} <= set(said)
    assert not set(SYSTEMS) & set(said)


def test_a_distribution_of_an_own_run_has_every_step_and_reaches_one(tmp_path: Path) -> None:
    content = {**tables(), "requests": many_requests(1500), "spans": tables()["spans"].slice(0, 0)}
    run = new_run({"name": "many"}, tmp_path)
    cell = made_cell(run, "serverless-lora", content)
    (drawing,) = drawings("ttft-distribution", run)
    x, y = drawing.figure.axes[0].lines[0].get_data()
    ttft = cell.requests["ttft_from_schedule_s"]
    assert set(ttft) <= set(x)
    assert y[-1] == 1.0
    assert not any("below 1" in text for text in words(drawing.figure))


def test_a_distribution_that_ends_below_one_says_why_and_of_what(tmp_path: Path) -> None:
    run = made_run(tmp_path)
    (drawing,) = drawings("ttft-distribution", run)
    told = " ".join(" ".join(words(drawing.figure)).split())
    assert "requests without a first token (ServerlessLoRA, ServerlessLLM)" in told


def test_tpot_is_drawn_in_milliseconds(tmp_path: Path) -> None:
    (drawing,) = drawings("tpot-and-e2e", made_run(tmp_path))
    axis = drawing.figure.axes[0]
    assert axis.get_ylabel() == "mean TPOT, ms"
    assert max(bar.get_height() for bar in axis.patches) == pytest.approx(50)


def test_small_costs_are_in_the_unit_of_the_tables(tmp_path: Path) -> None:
    run = made_run(tmp_path)
    (usd,) = {cell.summary["cost_usd"] for cell in run.cells()}
    (drawing,) = drawings("cost-of-serving", run)
    axis = drawing.figure.axes[0]
    assert axis.get_ylabel() == "cost, millionths of $"
    assert max(bar.get_height() for bar in axis.patches) == pytest.approx(1e6 * usd)


@pytest.mark.parametrize(
    ("name", "source", "marks"),
    [("slo-violations", "evaluation", 3), ("ablation", "evaluation", 6),
     ("throughput", "throughput", 1), ("regimes", "regimes-devices", 3)],
)  # fmt: skip
def test_published_marks_are_named_and_inside_their_axes(
    name: str, source: str, marks: int
) -> None:
    (drawing,) = drawings(name, open_record(REFERENCE / source))
    assert PUBLISHED in _legend(drawing.figure)
    found = 0
    for axis in drawing.figure.axes:
        for line in (line for line in axis.lines if line.get_label() == PUBLISHED):
            found += 1
            (low, high), value = axis.get_ylim(), line.get_ydata()[0]
            assert low < value < high * 0.97
            assert line.get_clip_on()
    assert found == marks


def test_a_caption_tells_of_bands_only_where_there_are_some(tmp_path: Path) -> None:
    (without,) = drawings("throughput", swept_endpoint(tmp_path))
    (with_bands,) = drawings("throughput", open_record(REFERENCE / "throughput"))
    for drawing, expected in ((without, False), (with_bands, True)):
        assert any("bands: 95 %" in text for text in words(drawing.figure)) is expected
        areas = [path for axis in drawing.figure.axes for each in axis.collections
                 for path in each.get_paths() if len(path.vertices)]  # fmt: skip
        assert bool(areas) is expected


def test_a_breakdown_names_every_backbone_of_its_run(tmp_path: Path) -> None:
    run = new_run({"name": "two"}, tmp_path)
    deployment = made_run(tmp_path / "one").cells()[0].manifest.deployment
    two = {**deployment, "backbones": {"tiny": "tiny", "small": "small"}}
    made_cell(run, "serverless-lora", deployment=two)
    (drawing,) = drawings("time-breakdown", run)
    assert any("tiny and small" in text for text in words(drawing.figure))


def test_a_panel_without_values_has_no_scale(tmp_path: Path) -> None:
    (drawing,) = drawings("adapters", swept_endpoint(tmp_path))
    drawing.figure.draw_without_rendering()
    for axis in drawing.figure.axes[1:]:
        assert [text.get_text() for text in axis.texts] == ["not known"]
        assert not [text for text in axis.get_yticklabels() if text.get_visible()]


def test_ablations_are_named_in_no_figure_of_a_run_without_them(tmp_path: Path) -> None:
    names = {SYSTEMS[label].name for label in filter(is_ablation, SYSTEMS)}
    for name in ("cost-against-ttft", "slo-violations"):
        (drawing,) = drawings(name, made_run(tmp_path / name))
        assert not names & set(words(drawing.figure))
