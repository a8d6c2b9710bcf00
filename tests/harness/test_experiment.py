"""Experiment files: complete and strict; every shipped one is valid."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from harness.cells.plan import plan_cells
from harness.commands.chosen import choose
from harness.errors import HarnessError
from harness.experiment import Experiment
from harness.experiment_files import load, parse_setting, shipped
from systems.registry import system_names
from systems.simulation.profile import load_profile
from workloads import catalogue


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_experiment_names_what_exists(name: str) -> None:
    experiment = load(name)
    assert {system.name for system in experiment.systems} <= set(system_names())
    for workload in experiment.workloads:
        assert len(catalogue.load(workload.name, seed=0, **workload.overrides))


@pytest.mark.parametrize("name", sorted(shipped()))
def test_an_experiment_on_gpus_is_simulated_on_gpus(name: str) -> None:
    if load(name).deployment.device == "cuda":
        assert load_profile(load(name, {"mode": "simulated"}).profile).device_slots.value


def test_an_unknown_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("systems: [{name: serverless-lora}]\nworkloads: [{name: x}]\nseedz: [1]\n")
    with pytest.raises(ValidationError, match="seedz"):
        load(str(path))


def test_a_file_that_extends_another_says_only_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: weak-scaling-h100\ndeployment: {dtype: bfloat16}\nseeds: [1, 2]")
    base, mine = load("weak-scaling-h100"), load(str(path))
    deployment = base.deployment.model_copy(update={"dtype": "bfloat16"})
    changed = {"name": "mine", "deployment": deployment, "seeds": (1, 2)}
    assert mine == base.model_copy(update=changed)
    assert load(str(path), {"mode": "simulated"}).profile == "h100x4"


def test_a_file_that_extends_itself_is_refused_in_a_line(tmp_path: Path) -> None:
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    one.write_text(f"extends: {other}")
    other.write_text(f"extends: {one}")
    with pytest.raises(HarnessError, match=r"one\.yaml: extends itself$"):
        load(str(one))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("mode: simulated\nseeds: [1]\nmode: live\n", "line 3, column 1: key mode is there twice"),
        ("deployment: {devices: 1, devices: 2}\n", "line 1, column 26: key devices is there twice"),
        ("systems:\n  - name: a\n- name: b\n", "line 3, column 1: expected <block end>"),
    ],
)
def test_a_key_that_is_there_twice_and_what_is_no_yaml_are_told_with_their_line(
    text: str, told: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(HarnessError) as error:
        load(str(path))
    assert str(error.value).startswith(f"{path}: {told}")
    assert "\n" not in str(error.value)


def test_settings_are_laid_over_the_file() -> None:
    experiment = load("quickstart", {"deployment.limits.keep_alive_s": 3, "seeds": [4]})
    assert experiment.deployment.limits.keep_alive_s == 3
    assert experiment.seeds == (4,)
    assert parse_setting("a.b=[1, 2]") == ("a.b", [1, 2])
    with pytest.raises(HarnessError, match="key=value"):
        parse_setting("nonsense")
    with pytest.raises(
        HarnessError, match="seeds is a list in this experiment; give the whole list"
    ):
        load("quickstart", {"seeds.x": 1})


@pytest.mark.parametrize("name", ["nothing", "nothing.yaml"])
def test_an_unknown_experiment_is_one_line(name: str) -> None:
    with pytest.raises(HarnessError) as caught:
        load(name)
    assert "\n" not in str(caught.value)


def test_a_baseline_must_take_part() -> None:
    with pytest.raises(ValidationError, match="baseline"):
        load("quickstart", {"baseline": "vllm"})


def test_a_baseline_is_dropped_with_its_system_and_one_that_is_asked_for_must_take_part() -> None:
    """The first recipe of docs/your-system.md replaces the systems of quickstart."""
    others = [{"name": "openai-endpoint"}, {"name": "vllm"}]
    assert load("quickstart", {"systems": others}).against == "vllm"
    both = [{"name": "serverless-llm"}, {"name": "vllm"}]
    assert load("quickstart", {"systems": both}).against == "serverless-llm"
    with pytest.raises(ValidationError, match="baseline"):
        load("quickstart", {"systems": others, "baseline": "serverless-llm"})


def test_a_baseline_is_held_against_the_systems_that_the_command_line_leaves() -> None:
    asked = ["baseline=vllm"]
    assert choose("quickstart", ["serverless-lora", "vllm"], None, {}, asked).baseline == "vllm"
    assert choose("quickstart", ["serverless-lora", "vllm"], None, {}, []).baseline is None
    with pytest.raises(ValidationError, match="baseline"):
        choose("quickstart", ["serverless-lora"], None, {}, asked)


def test_systems_take_turns_in_an_order_that_is_drawn() -> None:
    experiment = Experiment.model_validate(
        {
            "name": "turns",
            "systems": [{"name": "a"}, {"name": "b"}],
            "workloads": [{"name": "w"}],
            "repeats": 40,
        }
    )
    cells = list(plan_cells(experiment))
    assert cells == list(plan_cells(experiment))
    assert len({cell.path for cell in cells}) == 80
    firsts = [cell.system.name for cell in cells[::2]]
    assert 8 < firsts.count("a") < 32
    for first, second in zip(cells[::2], cells[1::2], strict=True):
        assert {first.system.name, second.system.name} == {"a", "b"}


def test_those_are_asked_to_audit_that_can_and_where_none_can_it_is_refused() -> None:
    content = load("quickstart").model_dump()
    content |= {"systems": [{"name": "serverless-lora"}, {"name": "vllm"}], "baseline": None}
    ours, theirs = Experiment.model_validate(content).auditing(2.5).systems
    assert ours.options["audit_s"] == 2.5
    assert theirs.options == {}
    content["systems"] = content["systems"][1:]
    with pytest.raises(HarnessError, match=r"none of the systems \(vllm\) can audit"):
        Experiment.model_validate(content).auditing(2.5)
    with pytest.raises(HarnessError, match="run it live"):
        load("main", {"mode": "simulated"}).auditing(2.5)


LEVELS = [
    {"name": "serverless-lora"},
    {"name": "serverless-lora", "label": "by-tenant", "isolation": "tenant", "tenants": 2},
    {"name": "serverless-lora", "label": "by-backbone", "isolation": "backbone"},
]


def test_a_system_is_chosen_several_times_under_labels_which_name_its_cells() -> None:
    chosen = load("quickstart", {"systems": LEVELS})
    assert [system.label for system in chosen.systems] == [
        "serverless-lora",
        "by-tenant",
        "by-backbone",
    ]
    cells = list(plan_cells(chosen))
    assert {cell.path.parts[0] for cell in cells} == {each.label for each in chosen.systems}
    assert {cell.system.name for cell in cells} == {"serverless-lora"}
    assert load("quickstart", {"systems": LEVELS, "baseline": "by-tenant"}).against == "by-tenant"
    assert Experiment.model_validate(chosen.model_dump(mode="json")) == chosen


def test_decisions_are_traced_where_a_system_can() -> None:
    content = {
        "name": "mixed",
        "systems": [{"name": "serverless-lora"}, {"name": "vllm"}, {"name": "vllm-sleep"}],
        "workloads": [{"name": "time-breakdown"}],
    }
    options = [each.options for each in Experiment.model_validate(content).tracing().systems]
    assert options == [{"trace_decisions": True}, {}, {}]
    content["systems"] = content["systems"][1:]
    with pytest.raises(HarnessError, match=r"none of the systems \(vllm, vllm-sleep\)"):
        Experiment.model_validate(content).tracing()


def test_an_experiment_of_a_run_from_before_labels_is_resumed() -> None:
    content = load("main").model_dump(mode="json")
    for system in content["systems"]:
        del system["label"], system["isolation"], system["tenants"]
    for workload in content["workloads"]:
        del workload["label"]
    del content["deployment"]["isolation"], content["deployment"]["tenants"]
    assert Experiment.model_validate(content) == load("main")


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("serverless-lora", "each label at most once"),
        ("serverless-llm", "name of another system"),
        ("../elsewhere", "label"),
        (".draft", "label"),
        ("", "label"),
    ],
)
def test_a_label_that_misleads_or_names_no_folder_is_refused(label: str, words: str) -> None:
    systems = [LEVELS[0], {"name": "serverless-lora", "label": label}]
    with pytest.raises(ValidationError, match=words):
        load("quickstart", {"systems": systems, "baseline": "serverless-lora"})


def test_the_command_line_chooses_systems_by_label() -> None:
    settings = [f"systems={json.dumps(LEVELS)}"]
    chosen = choose("quickstart", ["by-tenant", "vllm"], None, {}, settings)
    assert [(each.label, each.name) for each in chosen.systems] == [
        ("by-tenant", "serverless-lora"),
        ("vllm", "vllm"),
    ]
    assert chosen.systems[0].isolation == "tenant"


LOADS = [
    {"name": "steady", "label": "slow", "overrides": {"time_scale": 0.5}},
    {"name": "steady", "label": "fast", "overrides": {"time_scale": 2}},
]


def test_a_workload_is_chosen_several_times_under_labels_which_name_its_cells() -> None:
    chosen = load("quickstart", {"workloads": LOADS, "systems": LEVELS[:1], "baseline": None})
    cells = {cell.path.parts[1]: cell for cell in plan_cells(chosen)}
    assert {name: cell.workload.overrides["time_scale"] for name, cell in cells.items()} == {
        "slow": 0.5,
        "fast": 2,
    }
    assert Experiment.model_validate(chosen.model_dump(mode="json")) == chosen


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("steady", "each label at most once"),
        ("azure-normal8", "name of another workload"),
        ("../elsewhere", "label"),
        (".draft", "label"),
        ("a@b", "label"),
        ("", "label"),
    ],
)
def test_a_workload_label_that_misleads_or_names_no_folder_is_refused(
    label: str, words: str
) -> None:
    workloads = [{"name": "steady"}, {"name": "steady", "label": label}]
    with pytest.raises(ValidationError, match=words):
        load("quickstart", {"workloads": workloads})


@pytest.mark.parametrize(
    ("wanted", "labels"),
    [
        (["fast"], ["fast"]),
        (["steady"], ["slow", "fast"]),
        (["fast", "steady"], ["fast", "slow"]),
        (["llm-code", "slow"], ["llm-code", "slow"]),
    ],
)
def test_the_command_line_chooses_workloads_by_label_or_name(
    wanted: list[str], labels: list[str]
) -> None:
    chosen = choose("quickstart", None, wanted, {}, [f"workloads={json.dumps(LOADS)}"])
    assert [each.label for each in chosen.workloads] == labels
    assert {each.name for each in chosen.workloads} <= {"steady", "llm-code"}


@pytest.mark.parametrize(
    ("workloads", "settings", "drawn"),
    [
        (None, [], ("time-breakdown", "memory-over-time")),
        (["azure-bursty8"], [], ("memory-over-time",)),
        (["time-breakdown"], [], ("time-breakdown", "memory-over-time")),
        (["azure-bursty8"], ["figures=[time-breakdown]"], ("time-breakdown",)),
        (["steady"], ["sweep={workloads.time_scale: [1, 2]}"], ("throughput",)),
    ],
)
def test_by_default_a_run_draws_what_its_workloads_have(
    workloads: list[str] | None, settings: list[str], drawn: tuple[str, ...]
) -> None:
    assert choose("quickstart", None, workloads, {}, settings).figures == drawn


def test_isolation_and_tenants_are_set_from_the_command_line() -> None:
    asked = ["deployment.tenants=2", "deployment.isolation=tenant"]
    chosen = choose("quickstart", None, None, {}, asked).deployment
    assert (chosen.tenants, chosen.isolation) == (2, "tenant")
    named = choose("quickstart", None, None, {}, ["deployment.tenants={f0: acme}"]).deployment
    assert named.tenants == {"f0": "acme"}


@pytest.mark.parametrize(
    ("setting", "place"),
    [
        ("tenants=0", r"deployment\.tenants\.number"),
        ("tenants=many", r"deployment\.tenants\.number"),
        ("tenants={f0: a b}", r"deployment\.tenants\.by-function\.f0"),
        ("isolation=process", r"deployment\.isolation"),
    ],
)
def test_tenants_and_levels_that_do_not_exist_are_refused(setting: str, place: str) -> None:
    with pytest.raises(ValidationError, match=place):
        choose("quickstart", None, None, {}, [f"deployment.{setting}"])
