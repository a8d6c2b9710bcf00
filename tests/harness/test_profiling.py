"""Probes recover what they measure: run in virtual time by a known profile, they must find it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from harness.profiling import measure, settings, to_toml
from harness.progress import Progress
from systems.serverless.simulated.profile import Number, load_profile

FOUND = (
    "process_s",
    "fork_s",
    "libraries_s",
    "map_s",
    "adapter_s",
    "kernels_s",
    "disk_bytes_per_s",
    "prefill_s",
    "prefill_token_s_per_gparam",
    "decode_s",
    "decode_request_s",
    "offload_s",
    "request_s",
    "response_s",
)


def test_the_probes_find_the_profile_they_were_run_by(tmp_path: Path) -> None:
    known = load_profile("cpu-small")
    numbers = measure("smollm2-135m", 1, Progress(), by_profile="cpu-small")
    for name in FOUND:
        expected = getattr(known, name).value
        assert numbers[name][0] == pytest.approx(expected, rel=0.1, abs=2e-3), name
    path = tmp_path / "mine.toml"
    path.write_text(to_toml("mine", {**settings(2), **numbers}, "a machine"), encoding="utf-8")
    again = load_profile(str(path))
    assert all(number.kind == "measured" for _, number in again if isinstance(number, Number))
    assert tomllib.loads(path.read_text(encoding="utf-8"))["name"] == "mine"
