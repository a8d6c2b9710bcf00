"""Kernels that start early touch what other kernels write only after they have waited for these."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

pytest.importorskip("triton")

from systems.engine.cuda import lora_kernels, row_kernels, triton_kernels

KERNELS = [
    pytest.param(kernel, id=name)
    for module in (lora_kernels, row_kernels, triton_kernels)
    for name, kernel in vars(module).items()
    if hasattr(kernel, "arg_names") and kernel.fn.__module__ == module.__name__
]


@pytest.mark.parametrize("kernel", KERNELS)
def test_programs_wait_before_they_read_or_write_or_end(kernel: Any) -> None:
    assert "EARLY" in kernel.arg_names
    source = inspect.getsource(kernel.fn)
    assert source.count("\n    wait(EARLY)\n") == 1, "once, in every program"
    before = source.partition("wait(EARLY)")[0].rstrip()
    assert before.endswith('"""'), "first of all"
