"""Which GPUs are this process's, by the rules of CUDA rather than those of the driver."""

from __future__ import annotations

import sys

import pytest

from systems.runtime import cards


class Nvml:
    """Two GPUs; a handle is a GPU's UUID."""

    class NVMLError(Exception):
        pass

    uuids = ("GPU-a", "GPU-b")

    def nvmlInit(self) -> None:  # noqa: N802
        pass

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.uuids)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        return self.uuids[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        if uuid not in self.uuids:
            raise self.NVMLError("Not Found")
        return uuid


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, ["GPU-a", "GPU-b"]),
        ("1", ["GPU-b"]),
        ("1,0", ["GPU-b", "GPU-a"]),
        ("GPU-b", ["GPU-b"]),
        ("", []),
    ],
)
def test_cards_are_those_that_cuda_sees(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, expected: list[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert cards.handles() == expected


def test_a_card_of_another_name_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-c")
    with pytest.raises(Nvml.NVMLError):
        cards.handles()
