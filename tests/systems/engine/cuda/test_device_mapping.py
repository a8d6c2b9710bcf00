"""The descriptor of a shared copy grants writing, so it is closed whatever the driver says."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from systems.engine.cuda import device_mapping
from systems.errors import DeploymentError


def test_a_descriptor_that_cannot_be_mapped_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise DeploymentError("the CUDA driver refused: CUDA_ERROR_OUT_OF_MEMORY")

    kinds = SimpleNamespace(CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR=1)
    fake = SimpleNamespace(
        CUmemAllocationHandleType=kinds, cuMemImportFromShareableHandle=lambda *_: (1,)
    )
    monkeypatch.setattr(device_mapping.device_memory, "started", lambda: fake)
    monkeypatch.setattr(device_mapping, "call", refuse)
    fd = os.memfd_create("copy")
    with pytest.raises(DeploymentError):
        device_mapping.map_shared(fd, 1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
