"""A trace's functions have names that can be deployed, and that stay apart."""

from __future__ import annotations

from pathlib import Path

from systems.interface import Function
from workloads.importers import import_file
from workloads.importers.function_names import deployable
from workloads.trace import TraceFunction

HEADER = "arrival_s,function,prompt_tokens,output_tokens\n"


def renamed(*names: str) -> list[str]:
    found, _ = deployable([TraceFunction(id=name) for name in names])
    return [each.id for each in found]


def test_other_characters_become_underscores_and_names_stay_apart() -> None:
    names = ["ann@x.org", "ann_x.org", "ann/x.org", "../up", "..", "\u00dcmit", "f-0.a_B"]
    found = renamed(*names)
    assert found == [
        *("ann_x.org-2", "ann_x.org", "ann_x.org-3", ".._up", "_", "_mit", "f-0.a_B"),
    ]
    assert [Function(id=name, backbone="b").id for name in found] == found


def test_names_that_can_be_deployed_are_left_and_no_step_is_recorded() -> None:
    assert renamed("a", "..a", "a-2") == ["a", "..a", "a-2"]
    assert deployable([TraceFunction(id="a")])[1] == {}


def test_an_import_says_how_many_names_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    path.write_text(f"{HEADER}0,ann@x,5,6\n1,bob,5,6\n2,ann@x,7,8\n", encoding="utf-8")
    workload = import_file(path)
    assert workload.requests["function"].to_pylist() == ["ann_x", "bob", "ann_x"]
    (step,) = [each for each in workload.provenance.transforms if each.name == "names"]
    assert step.parameters == {"renamed": 1, "first": ["ann@x \u2192 ann_x"]}
