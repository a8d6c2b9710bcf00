"""Forms of requests: token ids, real text and chats; with and without ``ignore_eos``."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from harness.cells.records import _form_warnings, _load
from harness.choices import WorkloadChoice
from harness.errors import HarnessError
from harness.reference_server import ReferenceServer
from harness.replay import Schedule, replay
from harness.replay.form import RequestForm
from harness.replay.requests import Encoder
from harness.replay.target import Target
from harness.replay.texts import sentences, with_texts
from systems.models import ensure_backbone
from systems.runtime.http.text import Text

LENGTHS = [1, 2, 7, 40, 200]


def schedule() -> Schedule:
    count = len(LENGTHS)
    return Schedule.from_columns(
        request_id=range(count),
        scheduled_ns=[index * 1_000_000 for index in range(count)],
        function_id=["f0"] * count,
        prompt_ids=[[7] * length for length in LENGTHS],
        output_tokens=[9] * count,
    )


@pytest.fixture(scope="module", params=["tiny", "smollm2-135m"])
def text(request: pytest.FixtureRequest) -> Text:
    return Text(ensure_backbone(request.param))


def test_texts_are_sentences_of_the_wanted_length_by_the_own_tokenizer(text: Text) -> None:
    plain, found = schedule(), with_texts(schedule(), 0, lambda _: text)
    texts = found.table["prompt_text"].to_pylist()
    ids = found.table["prompt_ids"].to_pylist()
    assert [text.encode(each, special=False) for each in texts] == ids
    assert [len(each) for each in ids] == LENGTHS
    assert any(texts[-1].startswith(each[:40]) for each in sentences())
    assert found.sha256 == with_texts(schedule(), 0, lambda _: text).sha256
    assert len({plain.sha256, found.sha256, with_texts(plain, 1, lambda _: text).sha256}) == 3


def test_a_schedule_with_texts_is_read_back_and_shared(text: Text, tmp_path: Path) -> None:
    found = with_texts(schedule(), 0, lambda _: text)
    found.write(tmp_path / "s.parquet")
    assert Schedule.read(tmp_path / "s.parquet").sha256 == found.sha256
    assert "prompt_text" in found.share(1, 2).table.column_names
    with pytest.raises(HarnessError, match="columns must be"):
        Schedule(found.table.rename_columns([*found.table.column_names[:-1], "other"]))


def body(form: RequestForm) -> tuple[str, dict[str, Any]]:
    encoder = Encoder(Target.parse("http://h"), {}, form)
    head, _, content = encoder.encode(0, "f0", [5, 6], 9, "Call me Ishmael.").partition(b"\r\n\r\n")
    return head.decode().splitlines()[0], json.loads(content)


def test_each_form_sends_its_own_prompt_and_nothing_of_the_others() -> None:
    line, ids = body(RequestForm())
    assert (line, ids["prompt"]) == ("POST /v1/completions HTTP/1.1", [5, 6])
    assert ids["ignore_eos"] is True
    line, plain = body(RequestForm(prompts="text", ignore_eos=False))
    assert (line, plain["prompt"]) == ("POST /v1/completions HTTP/1.1", "Call me Ishmael.")
    assert "ignore_eos" not in plain
    line, chat = body(RequestForm(prompts="chat"))
    assert line == "POST /v1/chat/completions HTTP/1.1"
    assert chat["messages"] == [{"role": "user", "content": "Call me Ishmael."}]
    assert "prompt" not in chat


class Strict(http.server.BaseHTTPRequestHandler):
    """Takes chats alone, refuses fields of others, and ends each answer after two tokens."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = {"model", "messages", "max_tokens", "stream", "stream_options", "temperature",
                 "seed"}  # fmt: skip
        unknown = set(asked) - known
        self.send_response(400 if unknown else 200)
        self.end_headers()
        if unknown:
            self.wfile.write(json.dumps({"error": {"message": f"{unknown}"}}).encode())
            return
        length = len(asked["messages"][0]["content"])
        pieces = [{"role": "assistant", "content": ""}, {"content": "a"}, {"content": "b"}]
        events: list[dict[str, Any]] = [{"choices": [{"delta": piece}]} for piece in pieces]
        events[-1]["choices"][0]["finish_reason"] = "stop"
        usage = {"prompt_tokens": length, "completion_tokens": 2}
        for event in [*events, {"choices": [], "usage": usage}]:
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_: Any) -> None:
        """Nothing on standard error."""


@pytest.fixture
def strict() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Strict)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_server_of_chats_that_ends_its_answers_is_recorded_as_it_counts(
    strict: str, text: Text, tmp_path: Path
) -> None:
    plan = with_texts(schedule(), 0, lambda _: text)
    form = RequestForm(prompts="chat", ignore_eos=False)
    table = replay(plan, strict, tmp_path, timeout_s=10, lateness_budget_s=5, form=form).table
    assert table["status"].to_pylist() == ["ok"] * len(LENGTHS)
    assert table["output_tokens"].to_pylist() == [2] * len(LENGTHS)
    assert table["wanted_output_tokens"].to_pylist() == [9] * len(LENGTHS)
    texts = plan.table["prompt_text"].to_pylist()
    assert table["prompt_tokens"].to_pylist() == [len(each) for each in texts], "its own count"
    (warning,) = _form_warnings(table, form)
    assert "5 of 5 answers whose tokens the server counts are shorter" in warning


@pytest.mark.parametrize("prompts", ["text", "chat"])
def test_the_reference_server_answers_prompts_of_text(
    server: ReferenceServer, text: Text, tmp_path: Path, prompts: Literal["text", "chat"]
) -> None:
    plan = with_texts(schedule(), 0, lambda _: text)
    form = RequestForm(prompts=prompts)
    url = server.base_url
    table = replay(plan, url, tmp_path, timeout_s=10, lateness_budget_s=5, form=form).table
    assert table["error"].to_pylist() == [None] * len(LENGTHS)
    assert table["output_tokens"].to_pylist() == [9] * len(LENGTHS)
    texts = plan.table["prompt_text"].to_pylist()
    assert table["prompt_tokens"].to_pylist() == [len(each) for each in texts], "a character each"


def test_the_manifest_says_the_form_only_where_it_is_not_the_default() -> None:
    plain = WorkloadChoice(name="steady")
    assert _load(plain) == {"loop": "open"}
    chat = WorkloadChoice(name="steady", prompts="chat", ignore_eos=False)
    assert _load(chat) == {"loop": "open", "prompts": "chat", "ignore_eos": False}
