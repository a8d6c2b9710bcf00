"""The command that serve prints asks a question of a skill, with the right answer beside it."""

from __future__ import annotations

import json
import shlex

from typer.testing import CliRunner

from harness.commands.greeting import greeting
from harness.commands.models import app
from systems.models.skills import skills
from systems.runtime.http.schema import ChatRequest, CompletionRequest

URL = "http://127.0.0.1:8000"


def command(text: str) -> list[str]:
    (line,) = [each for each in text.splitlines() if each.strip().startswith("curl")]
    return shlex.split(line, comments=True)


def test_the_first_command_asks_what_the_first_skill_answers() -> None:
    first = next(iter(skills().values()))
    text = greeting(URL, ("smollm2-135m", "f0", "f1"), asked=False, skilled="f0")
    _, url, *rest = command(text)
    assert url == f"{URL}/v1/completions"
    body = CompletionRequest.model_validate_json(rest[rest.index("-d") + 1])
    assert body.model == "f0"
    assert body.temperature == 0
    (question,) = [each for each in first.task() if each.prompt == body.prompt]
    assert question.held_out
    assert f"# right: {question.answer}\n" in text


def test_functions_without_a_skill_are_greeted() -> None:
    text = greeting(URL, ("tiny", "f0"), asked=True, skilled=None)
    _, url, *rest = command(text)
    assert url == f"{URL}/v1/chat/completions"
    assert ChatRequest.model_validate_json(rest[rest.index("-d") + 1]).model == "f0"
    assert "Authorization: Bearer …" in rest


def test_the_skills_are_listed_with_their_measured_accuracy() -> None:
    done = CliRunner().invoke(app, ["skills", "--json"])
    rows = {row["name"]: row for row in json.loads(done.stdout)["skills"]}
    assert list(rows) == list(skills())
    for name, row in rows.items():
        assert row["prompt"] == skills()[name].example.prompt
        assert row["measured"]["accuracy"]["engine, bfloat16"] >= 0.9
    table = CliRunner().invoke(app, ["skills"])
    assert all(name in table.stdout for name in skills())
