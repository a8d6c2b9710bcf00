"""A process that its GPU fails ends with a line that says so."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from systems.errors import DeploymentError
from systems.runtime.messages import Failed, Message, Started
from systems.serverless.live import instance

NO_MEMORY = "CUDA out of memory. Tried to allocate 2.00 MiB. GPU 0 has a total of 139.80 GiB."
REPORTED = "CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation' in the manual"


class Line:
    """A channel of an instance whose device fails when it is told the first thing."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.sent: list[Message] = []

    def receive(self, timeout_ms: int | None) -> Any:
        raise self._error

    def send(self, message: Message) -> None:
        self.sent.append(message)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (torch.OutOfMemoryError(NO_MEMORY), "its device failed: CUDA out of memory"),
        (torch.AcceleratorError(REPORTED), "its device failed: CUDA error: out of memory"),
        (DeploymentError("the CUDA driver refused"), "its device failed: the CUDA driver refused"),
    ],
)
def test_it_is_told_in_a_line(error: Exception, line: str) -> None:
    channel = Line(error)
    assert instance.main(channel) == 1  # type: ignore[arg-type]
    assert isinstance(channel.sent[0], Started)
    assert channel.sent[1:] == [Failed(line)]


def test_a_defect_is_no_failure_of_the_device() -> None:
    with pytest.raises(RuntimeError):
        instance.main(Line(RuntimeError("a tensor of the wrong shape")))  # type: ignore[arg-type]
