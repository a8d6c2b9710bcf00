"""What a process says of its own start is read as one of the expected messages, or as a failure."""

from __future__ import annotations

import io

import pytest

from systems.errors import CheckpointError, DeploymentError
from systems.serverless.live.start_messages import Joined, Listening, StartFailed, read, write

ENDED = "the gateway ended"


def test_a_message_is_read_as_it_was_written() -> None:
    for message in (Listening(8000, 9000), StartFailed("no config.json", "CheckpointError")):
        out = io.StringIO()
        write(message, out)
        assert out.getvalue().count("\n") == 1
        assert read(out.getvalue(), Listening | StartFailed, ENDED) == message


def test_a_failure_is_the_error_that_it_names_and_no_other_class() -> None:
    assert type(StartFailed("x", "CheckpointError").exception()) is CheckpointError
    for name in ("SystemExit", "re", "SystemsError.mro", ""):
        assert type(StartFailed("x", name).exception()) is DeploymentError


@pytest.mark.parametrize(
    "line",
    [
        "",
        "\n",
        "Traceback",
        "{}",
        '{"kind":"listening","port":"80"}',
        '{"kind":"joined","name":"n"}',
    ],
)
def test_anything_else_is_a_failure_of_one_line(line: str) -> None:
    found = read(line, Listening | StartFailed, ENDED)
    assert isinstance(found, StartFailed)
    assert found.reason.startswith(ENDED)
    assert "\n" not in found.reason


def test_an_agent_is_not_believed_to_be_a_gateway() -> None:
    out = io.StringIO()
    write(Joined("node-0"), out)
    assert isinstance(read(out.getvalue(), Listening | StartFailed, ENDED), StartFailed)
