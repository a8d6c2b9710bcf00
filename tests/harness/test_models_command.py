"""``slbench models show`` and ``systems check``: a user's own backbones and adapters."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.commands.models import app
from harness.conformance.subjects import deployed
from systems.errors import AdapterError, CheckpointError
from systems.models import ensure_adapters, ensure_backbone


def show(*words: str | Path) -> Any:
    done = CliRunner().invoke(app, ["show", *map(str, words), "--json"], catch_exceptions=False)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def qwen2() -> Path:
    return ensure_backbone("tiny-qwen2")


@pytest.fixture(scope="module")
def adapter(qwen2: Path) -> Path:
    return ensure_adapters(qwen2, ["f1"], 4, ("q_proj", "v_proj"))["f1"]


def copied(folder: Path, target: Path, file: str, **changes: Any) -> Path:
    """A copy of a directory with other values in one of its JSON files."""
    copy = Path(shutil.copytree(folder, target))
    fields = json.loads((copy / file).read_text())
    (copy / file).write_text(json.dumps(fields | changes))
    return copy


def test_a_backbone_is_described(qwen2: Path, tmp_path: Path) -> None:
    found = show(qwen2)
    assert found["architecture"] == "Qwen2ForCausalLM, biases on q, k and v, a tied head"
    assert found["parameters"] == 676_480
    assert found["stored_as"] == ["float32"]
    assert found["kv_bytes_per_token"] == {"cpu": 1536, "cuda": 768}
    assert show("tiny-qwen2") == found
    own = copied(
        qwen2, tmp_path / "own", "config.json", use_sliding_window=True, max_window_layers=1
    )
    (own / "tokenizer.json").unlink()
    found = show(own)
    assert found["architecture"].endswith("a window of 4096 tokens, a tied head")
    assert [note.partition(":")[0] for note in found["notes"]] == [
        "no tokenizer.json",
        "keys and values outside the window are kept",
        "loads fastest as float32; other dtypes are converted through host memory",
    ]


def test_the_text_says_what_the_document_says(qwen2: Path) -> None:
    text = CliRunner().invoke(app, ["show", str(qwen2)], catch_exceptions=False).stdout
    assert "Qwen2ForCausalLM, biases on q, k and v" in text
    assert "cpu: float32; bfloat16; float16" in text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model_type": "gemma2"}, "model_type is 'gemma2'; the engine runs llama, mistral"),
        ({"quantization_config": {"quant_method": "awq"}}, "quantization_config"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "rope"),
    ],
)
def test_a_backbone_that_does_not_run_is_refused_with_the_reason(
    changes: dict[str, Any], says: str, qwen2: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=says):
        show(copied(qwen2, tmp_path / "own", "config.json", **changes))


def test_an_adapter_is_described_with_the_backbone_that_it_names(
    adapter: Path, qwen2: Path, tmp_path: Path
) -> None:
    found = show(adapter)
    assert (found["kind"], found["backbone"]) == ("adapter", str(qwen2))
    assert (found["rank"], found["targets"], found["layers"]) == (
        4,
        ["q_proj", "v_proj"],
        [0, 1, 2],
    )
    assert show(qwen2, "--adapter", adapter)["adapter"] == found
    config = "adapter_config.json"
    lost = copied(adapter, tmp_path / "a", config, base_model_name_or_path="Qwen/Qwen2.5-7B")
    with pytest.raises(AdapterError, match=r"its backbone is 'Qwen/Qwen2.5-7B', which is not here"):
        show(lost)
    assert show(lost, "--backbone", qwen2)["rank"] == 4
    with pytest.raises(AdapterError, match="it is an adapter of another backbone"):
        show(lost, "--backbone", "tiny")


def test_the_conformance_suite_takes_a_users_own_backbone_and_adapters(
    qwen2: Path, adapter: Path
) -> None:
    own = deployed("serverless-lora", str(qwen2), [adapter], None, ["isolation=backbone"])
    assert own.backbones == {"tiny-qwen2": qwen2}
    assert [each.adapter for each in own.functions] == [adapter]
    more = deployed("serverless-lora", str(qwen2), [adapter], 2, [])
    assert [each.adapter for each in more.functions] == [adapter, adapter]
    assert len(deployed("serverless-lora", "tiny-qwen2", [], None, []).functions) == 3
