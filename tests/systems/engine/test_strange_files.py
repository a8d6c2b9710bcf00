"""Paths that are no regular files, endless files and malformed content: each is refused in one
clear line, in bounded time and memory."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from systems.engine.adapter_files import inspect_adapter
from systems.engine.checkpoint import plan_layout
from systems.engine.config import ModelConfig, read_config
from systems.errors import SystemsError

HUGE = 10**400
NOT_A_FILE = "not a regular file"


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    """Limit time to 20 s and additional memory to 1 GiB, so that no test hangs or fills memory."""

    def late(number: int, frame: object) -> None:
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, late)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + (1 << 30), limits[1]))
    signal.alarm(20)
    yield
    signal.alarm(0)
    resource.setrlimit(resource.RLIMIT_AS, limits)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def config(tiny: Path) -> ModelConfig:
    return read_config(tiny)


@pytest.fixture
def adapter(adapters: dict[str, Path], tmp_path: Path) -> Path:
    return shutil.copytree(adapters["f0"], tmp_path / "adapter")


@pytest.fixture
def model(tiny: Path, tmp_path: Path) -> Path:
    """Copy the model; its shards are links, so that no weights are copied."""
    return shutil.copytree(tiny, tmp_path / "model", copy_function=_link)


def _link(source: str, target: str) -> None:
    path = Path(source)
    if path.suffix == ".safetensors":
        Path(target).symlink_to(path)
    else:
        shutil.copy(source, target)


def line_of(look: Callable[[], Any]) -> str:
    """Return the one-line error with which ``look`` refuses a file."""
    with pytest.raises(SystemsError) as refusal:
        look()
    line = str(refusal.value)
    assert line.isprintable()
    assert len(line) < 1000
    return line


def pipe(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.mkdir()


def deep(path: Path) -> None:
    path.write_text('{"a":' * 200_000)


def long(path: Path) -> None:
    path.write_text('{"a": "' + "a" * (20 << 20) + '"}')


def with_header(text: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(struct.pack("<Q", len(text)) + text.encode() + bytes(64))

    write.__name__ = text[:40]
    return write


def entry(**changes: Any) -> Callable[[Path], None]:
    fields = {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64], **changes}
    return with_header(json.dumps({"base_model.model.a": fields}))


NO_FILES = [pipe, endless, folder]
HEADERS = [
    with_header('{"a":' * 200_000),
    with_header("[]"),
    with_header('{"a": 5}'),
    with_header('{"a": {"dtype": "F32"}}'),
    entry(data_offsets=[-64, 0]),
    entry(data_offsets=["0", "64"]),
    entry(data_offsets=[0, 64, 128]),
    entry(data_offsets=5),
    entry(shape=[True, 16]),
    entry(shape=[-4, -4]),
    entry(shape=[HUGE, 0], data_offsets=[0, 0]),
    entry(shape=[1] * 100_000, data_offsets=[0, 4]),
    entry(shape={"a": 1}),
    entry(shape="44"),
    entry(dtype=["F32"]),
    entry(dtype="F\n32"),
]


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
@pytest.mark.parametrize("make", NO_FILES)
def test_what_is_no_file_is_no_adapter(
    make: Callable[[Path], None], name: str, adapter: Path, config: ModelConfig
) -> None:
    (adapter / name).unlink()
    make(adapter / name)
    line = line_of(lambda: inspect_adapter(adapter, config))
    assert NOT_A_FILE in line
    assert name in line


@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json", "a shard"])
@pytest.mark.parametrize("make", NO_FILES)
def test_what_is_no_file_is_no_checkpoint(
    make: Callable[[Path], None], name: str, model: Path
) -> None:
    path = min(model.glob("*.safetensors")) if name == "a shard" else model / name
    path.unlink(missing_ok=True)
    make(path)
    line = line_of(lambda: plan_layout(model, "float32"))
    assert NOT_A_FILE in line or "is missing, which" in line
    assert path.name in line


@pytest.mark.parametrize("make", [deep, long])
def test_settings_without_end_are_refused(
    make: Callable[[Path], None], adapter: Path, model: Path, config: ModelConfig
) -> None:
    make(adapter / "adapter_config.json")
    assert "adapter_config.json" in line_of(lambda: inspect_adapter(adapter, config))
    make(model / "config.json")
    assert "config.json" in line_of(lambda: plan_layout(model, "float32"))


@pytest.mark.parametrize("make", HEADERS)
def test_a_header_that_says_nonsense_is_refused(
    make: Callable[[Path], None], adapter: Path, model: Path, config: ModelConfig
) -> None:
    make(adapter / "adapter_model.safetensors")
    assert "adapter_model" in line_of(lambda: inspect_adapter(adapter, config))
    shard = min(model.glob("*.safetensors"))
    shard.unlink()
    make(shard)
    assert shard.name in line_of(lambda: plan_layout(model, "float32"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("r", value) for value in (None, 0, -1, "16", 16.0, True, HUGE, [16])],
        *[("lora_alpha", value) for value in (None, 0, -1.0, "32", True, HUGE, -HUGE, {})],
        *[("lora_alpha", float(value)) for value in ("nan", "inf", "-inf")],
        ("use_rslora", "no"),
        ("layers_to_transform", "all"),
        ("layers_to_transform", [0, "1"]),
        ("peft_type", ["LORA"]),
        ("bias", {}),
    ],
)
def test_settings_of_the_wrong_kind_are_refused(
    field: str, value: Any, adapter: Path, config: ModelConfig
) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    assert field in line_of(lambda: inspect_adapter(adapter, config))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("hidden_size", value) for value in (HUGE, -1, 0, [256], {}, 25.6)],
        *[("rms_norm_eps", value) for value in (HUGE, float("inf"), float("nan"), "small")],
        *[("rope_parameters", value) for value in ("yarn", [1], 5)],
        ("rope_parameters", {"rope_theta": HUGE}),
        ("rope_parameters", {"rope_theta": float("inf")}),
        ("max_position_embeddings", HUGE),
        ("num_hidden_layers", HUGE),
        ("vocab_size", 1 << 62),
        ("model_type", ["llama"]),
    ],
)
def test_a_shape_of_the_wrong_kind_is_refused(field: str, value: Any, model: Path) -> None:
    path = model / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    line = line_of(lambda: plan_layout(model, "float32"))
    assert field.removesuffix("_parameters") in line


@pytest.mark.parametrize("content", ["[]", "5", "null", '"LORA"', "\x00", "{", ""])
def test_settings_that_are_no_object_are_refused(
    content: str, adapter: Path, model: Path, config: ModelConfig
) -> None:
    (adapter / "adapter_config.json").write_text(content)
    assert "adapter_config.json" in line_of(lambda: inspect_adapter(adapter, config))
    (model / "config.json").write_text(content)
    assert "config.json" in line_of(lambda: plan_layout(model, "float32"))


def test_an_index_that_names_no_files_is_refused(model: Path) -> None:
    for shard in model.glob("*.safetensors"):
        shard.unlink()
    for content in ("[]", '{"weight_map": {"a": 5}}', '{"weight_map": []}', '{"a":' * 200_000):
        (model / "model.safetensors.index.json").write_text(content)
        line = line_of(lambda: plan_layout(model, "float32"))
        assert "model.safetensors.index.json" in line
