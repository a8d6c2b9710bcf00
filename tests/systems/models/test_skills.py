"""The skills: no question of training is held out, what is committed was measured, and the adapters
are deployed apart from the package."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from systems.engine.adapter_files import inspect_adapter
from systems.engine.checkpoint import validate_checkpoint
from systems.errors import AdapterError
from systems.models import ensure_backbone, ensure_skills, remake_adapter
from systems.models.skills import Skill, skills
from systems.models.skills.batches import Batches
from systems.models.skills.measure import digest
from systems.models.skills.questions import split
from systems.models.skills.train import Recipe, train

PACKAGE = next(iter(skills().values())).packaged.parent


@pytest.fixture(params=skills())
def skill(request: pytest.FixtureRequest) -> Skill:
    return skills()[request.param]


def test_training_sees_no_held_out_question(skill: Skill) -> None:
    training, held_out = split(skill.task())
    assert not {each.text for each in training} & {each.text for each in held_out}
    assert set(skill.training(0, 300)) <= set(training)
    assert set(skill.held_out(0, 50)) <= set(held_out)
    assert len(set(skill.held_out(0, 50))) == 50


def test_questions_follow_the_seed(skill: Skill) -> None:
    assert skill.training(3, 20) == skill.training(3, 20) != skill.training(4, 20)
    assert skill.held_out(3, 20) == skill.held_out(3, 20) != skill.held_out(4, 20)


def test_what_is_committed_was_measured_and_is_mostly_right(skill: Skill) -> None:
    """A new adapter needs a new measurement: python -m systems.models.skills.measure."""
    assert skill.measured["adapter_sha256"] == digest(skill.packaged)
    accuracy = skill.measured["accuracy"]
    assert accuracy["peft, float32"] >= 0.9
    assert accuracy["engine, bfloat16"] >= 0.9
    assert accuracy["engine, bfloat16, no adapter"] <= 0.1
    assert skill.training_record["steps"] == skill.steps


def test_adapters_are_deployed_apart_from_the_package_and_each_other(
    smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLBENCH_CACHE", str(tmp_path))
    found = ensure_skills(smollm2)
    config = validate_checkpoint(smollm2)
    assert list(found) == list(skills())
    for name, folder in found.items():
        assert tmp_path in folder.parents
        assert digest(folder) == digest(PACKAGE / name)
        assert inspect_adapter(folder, config).rank == 8
    assert not any(one in other.parents for one in found.values() for other in found.values())
    assert ensure_skills(smollm2) == found


def test_another_machine_installs_the_same_skill_or_says_that_it_cannot(
    smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLBENCH_CACHE", str(tmp_path / "there"))
    made = ensure_skills(smollm2)["dates"]
    monkeypatch.setenv("SLBENCH_CACHE", str(tmp_path / "here"))
    again = remake_adapter(made, smollm2)
    assert tmp_path / "here" in again.parents
    assert digest(again) == digest(made)
    other_version = made.parent.with_name("skill-00000000") / "dates"
    with pytest.raises(AdapterError, match="copy it to the same place"):
        remake_adapter(other_version, smollm2)


def test_another_backbone_is_refused() -> None:
    with pytest.raises(AdapterError, match="another backbone"):
        ensure_skills(ensure_backbone("tiny"))


def test_all_files_of_the_skills_are_in_the_distribution() -> None:
    root = Path(__file__).parents[3]
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["systems"]
    packed = {path for pattern in patterns for path in (root / "systems").glob(pattern)}
    files = {path for path in PACKAGE.rglob("*") if path.is_file()}
    data = {each for each in files if each.suffix not in {".py", ".pyc"}}
    assert data
    assert data <= packed


def test_only_the_answer_is_learned() -> None:
    batches = Batches(ensure_backbone("tiny"))
    questions = skills()["people"].training(0, 3)
    ids, learned = batches.of(questions)
    for question, row, mask in zip(questions, ids, learned, strict=True):
        text = batches.text(row[mask])
        assert text.startswith(question.completion)
        assert text.removeprefix(question.completion) == batches.text(row[mask][-1:]) != ""


def test_the_same_seed_trains_the_same_adapter(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    recipe = Recipe(steps=2, batch=2, warmup=1, threads=threads)
    skill = skills()["dates"]
    digests = []
    for number, each in enumerate((recipe, recipe, replace(recipe, seed=1))):
        folder = tmp_path / str(number)
        train(skill, each, ensure_backbone("tiny"), folder)
        digests.append(digest(folder))
    assert digests[0] == digests[1] != digests[2]
