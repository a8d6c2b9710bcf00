"""The device of a deployment: the requested one, else the one that this machine has."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import ValidationError

from harness.cells import deployments
from harness.cells.tables import requests_table
from harness.choices import DeploymentChoice, SystemChoice
from harness.errors import HarnessError
from systems.errors import DeploymentError
from systems.interface import SystemTrace
from systems.models.skills import skills
from systems.serverless_lora import ServerlessLoRA

TINY = DeploymentChoice(backbone="tiny", dtype="float32", device_memory_gib=4)


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return a folder that replaces /dev; a file named like a card stands for the card."""
    real = Path
    monkeypatch.setattr(
        deployments, "Path", lambda *parts: tmp_path if parts == ("/dev",) else real(*parts)
    )
    return tmp_path


def kind(device: str, devices: int = 1) -> str:
    choice = TINY.model_copy(update={"device": device, "devices": devices})
    made = deployments.deployment_for(choice, SystemChoice(name="serverless-lora"), ["f0"])
    return made.devices[0].name


def test_a_card_is_used_where_there_is_one_unless_the_cpu_is_asked_for(cards: Path) -> None:
    assert kind("auto") == "cpu:0"
    (cards / "nvidia0").touch()
    (cards / "nvidiactl").touch()
    assert kind("auto") == "cuda:0"
    assert kind("cpu") == "cpu:0"
    assert kind("auto", devices=2) == "cpu:0"


@pytest.mark.parametrize("name", ["../../up", "ann@x", "..", ""])
def test_a_name_that_is_no_folder_is_refused_before_a_model_is_made(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLBENCH_CACHE", str(tmp_path / "cache"))
    system = SystemChoice(name="serverless-lora")
    with pytest.raises(HarnessError, match="letters, digits, dots"):
        deployments.deployment_for(TINY, system, ["f0", name])
    with pytest.raises(HarnessError, match="letters, digits, dots"):
        deployments.simulated_deployment(TINY, system, ["f0", name], "cpu")
    assert not (tmp_path / "cache").exists()


def test_a_card_that_is_not_there_is_said_so(cards: Path) -> None:
    with pytest.raises(HarnessError, match="1 asked for, 0 here; a simulation"):
        kind("cuda")


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="a card is here")
def test_the_platform_refuses_a_card_that_does_not_answer(cards: Path) -> None:
    (cards / "nvidia0").touch()
    choice = TINY.model_copy(update={"device": "cuda"})
    made = deployments.deployment_for(choice, SystemChoice(name="serverless-lora"), ["f0"])
    with pytest.raises(DeploymentError, match="no GPU responds"):
        ServerlessLoRA().check(made)


def test_functions_get_the_skills_in_turn() -> None:
    choice = DeploymentChoice(adapters="skills", device="cpu")
    names = [f"f{index}" for index in range(len(skills()) + 1)]
    made = deployments.deployment_for(choice, SystemChoice(name="serverless-lora"), names)
    adapters = [each.adapter.name for each in made.functions if each.adapter]
    assert adapters == [*skills(), next(iter(skills()))]


def test_devices_that_differ_are_told_by_their_memory() -> None:
    choice = DeploymentChoice(devices=2, device_memory_gib=(76, 44))
    made = deployments.simulated_deployment(
        choice, SystemChoice(name="serverless-lora"), ["f0"], "cuda"
    )
    assert [device.memory_bytes >> 30 for device in made.devices] == [76, 44]
    same = DeploymentChoice(devices=2, device_memory_gib=44)
    assert same.memory_bytes == (44 << 30,) * 2
    with pytest.raises(ValidationError, match="2 numbers for 3 devices; give one for each"):
        DeploymentChoice(devices=3, device_memory_gib=(76, 44))


def test_the_objectives_of_a_deployment_reach_every_request() -> None:
    choice = TINY.model_copy(update={"slo_tpot_s": 0.05, "device": "cpu"})
    made = deployments.simulated_deployment(
        choice, SystemChoice(name="serverless-lora"), ["f0", "f1"], "cpu"
    )
    client = pa.table({"request_id": [0, 1], "function_id": ["f1", "f0"]})
    table = requests_table(client, SystemTrace(), made)
    assert table["slo_ttft_ns"].to_pylist() == [2_500_000_000] * 2
    assert table["slo_tpot_ns"].to_pylist() == [50_000_000] * 2
    assert table["slo_e2e_ns"].null_count == 2
