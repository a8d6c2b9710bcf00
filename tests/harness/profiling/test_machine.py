"""Probes that run in virtual time with a known latency profile must recover that profile."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from harness.execution.progress import Progress
from harness.profiling.found import Found, as_number
from harness.profiling.machine import measure, settings
from harness.profiling.profile_file import to_toml
from harness.profiling.servers import measure_servers
from systems.simulation.number import Number
from systems.simulation.profile import Profile, load_profile

FOUND = (
    "process_s",
    "fork_s",
    "libraries_s",
    "map_s",
    "adapter_s",
    "kernels_s",
    "parked_kernels_s",
    "tier_bytes_per_s",
    "prefill_s",
    "prefill_token_s_per_gparam",
    "core_beside",
    "private_bytes_per_s",
    "offload_s",
    "request_s",
    "response_s",
)


def points(found: Found) -> dict[float, float]:
    """Return the points of what is a curve."""
    assert isinstance(found.value, tuple), found.source
    return dict(found.value)


def test_the_probes_of_servers_find_the_profile_they_were_run_by(tmp_path: Path) -> None:
    known = load_profile("cpu-small")
    found = measure_servers("smollm2-135m", 1, Progress(), by_profile="cpu-small")
    assert {name.split(".")[1] for name in found} == set(known.servers) == {"bfloat16", "float32"}
    for name, number in found.items():
        table, dtype, field = name.split(".")
        if field.startswith("decode"):
            # The line through few numbers of requests differs; the curve takes its place.
            curve = known.servers[dtype].decode_rows_s
            assert curve is not None
            rows = points(found[f"{table}.{dtype}.decode_rows_s"])
            assert rows == pytest.approx({n: curve.at(n) for n in rows}, rel=0.1), name
            continue
        expected = getattr(getattr(known, table)[dtype], field).value
        assert as_number(number) == pytest.approx(expected, rel=0.1, abs=1e-3), name
    path = tmp_path / "mine.toml"
    path.write_text(to_toml("mine", {**_numbers_of(known), **found}, "a machine"), encoding="utf-8")
    again = load_profile(str(path))
    assert again.map_s.value == pytest.approx(known.map_s.value, rel=1e-4)
    assert set(again.servers) == set(again.grouped) == set(known.servers)


def _numbers_of(profile: Profile) -> dict[str, Found]:
    return {name: Found(n.value, n.source) for name, n in profile if isinstance(n, Number)}


def test_the_probes_find_the_profile_they_were_run_by(tmp_path: Path) -> None:
    known = load_profile("cpu-small")
    numbers = measure("smollm2-135m", 1, Progress(), by_profile="cpu-small")
    for name in FOUND:
        expected = getattr(known, name).value
        assert numbers[name][0] == pytest.approx(expected, rel=0.1, abs=2e-3), name
    curve = known.decode_rows_s
    assert curve is not None
    rows = points(numbers["decode_rows_s"])
    assert rows == pytest.approx({n: curve.at(n) for n in (1, 2, 4, 8)}, rel=0.02)
    path = tmp_path / "mine.toml"
    path.write_text(to_toml("mine", {**settings(2), **numbers}, "a machine"), encoding="utf-8")
    again = load_profile(str(path))
    assert again.decode_rows_s is not None
    assert again.decode_rows_s.at(3) == pytest.approx(curve.at(3), rel=0.02)
    kinds = {name: number.kind for name, number in again if isinstance(number, Number)}
    assert {name for name, kind in kinds.items() if kind != "measured"} == {"stop_s"}
    assert tomllib.loads(path.read_text(encoding="utf-8"))["name"] == "mine"
