"""vllm-sleep as a system: scripted vLLMs, a real proxy, real HTTP."""

from __future__ import annotations

import pytest

from harness.conformance import examine
from systems.errors import DeploymentError
from systems.interface import Device
from systems.vllm_sleep import VllmSleep

from .conftest import Scripted


def test_it_conforms(scripted: Scripted, deployed) -> None:
    results = list(examine(VllmSleep(), deployed("f0", "f1")))
    rest = {each.check: each.why for each in results if each.outcome != "passed"}
    assert rest == {
        "serves only functions of one group by an instance": "the system has no isolation levels"
    }


def test_without_a_card_it_is_refused(deployed) -> None:
    cores = (Device(name="cpu:0", memory_bytes=2 << 30),)
    with pytest.raises(DeploymentError, match=r"^vllm-sleep: sleep mode needs a card; .* cpu:0$"):
        VllmSleep().check(deployed("f0").model_copy(update={"devices": cores}))
