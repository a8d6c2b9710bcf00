"""Kernels that start early touch what other kernels write only after they have waited for these."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

pytest.importorskip("triton")

from systems.engine.cuda import lora_kernels, row_kernels, triton_kernels

EARLY = [
    pytest.param(kernel, id=name)
    for module in (lora_kernels, row_kernels, triton_kernels)
    for name, kernel in vars(module).items()
    if "EARLY" in getattr(kernel, "arg_names", ()) and name != "wait"
]


@pytest.mark.parametrize("kernel", EARLY)
def test_programs_wait_before_they_read_or_write_or_end(kernel: Any) -> None:
    source = inspect.getsource(kernel.fn)
    assert source.count("\n    wait(EARLY)\n") == 1, "once, in every program"
    before = source.partition("wait(EARLY)")[0].partition('"""')[2].partition('"""')[2]
    assert not before.strip(), "first of all"


def test_all_kernels_start_early() -> None:
    assert len(EARLY) == 10
