"""Probes of a card that run in virtual time with a known profile must recover that profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from harness.execution.progress import Progress
from harness.profiling import card_settings
from harness.profiling.card import LIKE, measure_card
from harness.profiling.card_cells import CardCells
from harness.profiling.found import Found
from harness.profiling.profile_file import to_toml
from systems.models.sizes import model_size
from systems.simulation.number import Curve, Frozen, Number
from systems.simulation.profile import load_profile

TAKEN_OVER = {
    "remap_s",
    "before_load_s",
    "takeover_beside.share",
    "preparation_beside.share",
    "preparation_beside.waits",
}
"""Not seen in records: as in the profile of another card."""
OPTION = {"context_bytes", "forked_context_bytes", "servers.float16.process_bytes"}
ASSUMED = {"cores", "stop_s", "batches_beside.share", *OPTION}
"""Of this machine, as long as offloading, the unit of shares, an option of the platform."""
ADAPTER = {"adapter_s", "adapter_bytes_per_s"}
"""Their sum for an adapter of rank 16 is what is measured."""
LINES = {"prefill_s", "prefill_request_s", "prefill_token_s_per_gparam",
         "decode_s", "decode_request_s"}  # fmt: skip
"""Replaced by curves, of which they are the fits."""
WITHIN = {"prepare_s": 0.15, "decode_rows_s": 0.02}
"""Relative; the first is derived from other numbers."""
EXACT = 0.002
"""The others'. Times of records are whole nanoseconds, steps are averages over growing contexts."""
CHANGED = {
    "fork_s": 1.7, "map_s": 0.6, "kernels_s": 1.4, "first_batch_s": 0.5, "parked_batch_s": 5.0,
    "spare_s": 1.6, "offload_s": 2.0, "libraries_s": 0.8, "process_s": 1.3,
    "tier_bytes_per_s": 0.7, "private_bytes_per_s": 0.6,
    "adapter_bytes_per_s": 0.3, "request_s": 2.0, "response_s": 1.5, "decode_bytes_per_s": 1.2,
    "prefill_pass_s_per_gparam": 0.7, "decode_rows_s": 1.2,
    "mixed_saved_s_per_gparam": 0.6,
    "graphs.first_s": 1.5, "graphs.capture_s": 1.4, "graphs.prepare_s": 1.3,
    "batches_beside.waits": 0.9, "starts_beside.waits": 0.7, "starts_beside.share": 2.0,
    "grouped.float16.adapter_share": 1.5, "grouped.float16.parse_s": 1.7,
    "grouped.float16.parse_bytes_per_s": 0.8,
    "grouped.float16.decode_rows_s": 1.1, "grouped.float16.prefill_pass_s_per_gparam": 0.8,
    "servers.float16.merged_share": 0.9, "servers.float16.switch_steps": 1.3,
}  # fmt: skip
"""Factors that make another card of the known one."""


def _numbers(table: Any, prefix: str = "") -> dict[str, Number | Curve]:
    """Return all numbers of a profile, those of tables as ``table.field``."""
    found: dict[str, Number | Curve] = {}
    for name, value in table.items() if isinstance(table, Mapping) else table:
        if isinstance(value, Number | Curve):
            found[prefix + name] = value
        elif isinstance(value, Mapping | Frozen):
            found |= _numbers(value, f"{prefix}{name}.")
    return dict(sorted(found.items(), key=lambda each: each[0].rpartition(".")[0]))


def _found(number: Number | Curve, factor: float) -> Found:
    if isinstance(number, Curve):
        return Found(tuple((x, y * factor) for x, y in number.points), number.source)
    return Found(number.value * factor, number.source)


NEW = {"private_beside": 0.25, "host_row_s": 3e-5}
"""Of the other card; the known one has none."""


@pytest.fixture(scope="module")
def other_card(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A profile that differs from the known one in what is measured."""
    known = _numbers(load_profile(LIKE))
    numbers = {name: Found(value, "none on the known card") for name, value in NEW.items()}
    numbers |= {name: _found(each, CHANGED.get(name, 1.0)) for name, each in known.items()}
    numbers["takeover_beside.waits"] = Found(0.4, "none on the known card")
    path = tmp_path_factory.mktemp("profiles") / "other.toml"
    text = to_toml("other", numbers, "a machine", card_settings.plain())
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("records")


@pytest.fixture(scope="module")
def measured(other_card: str, records: Path) -> dict[str, Found]:
    made = measure_card("llama2-7b", Progress(), records=records, by_profile=other_card)
    return dict(made.numbers)


def test_the_probes_find_the_card_they_were_run_by(
    other_card: str, measured: dict[str, Found]
) -> None:
    known = _numbers(load_profile(other_card))
    assert CHANGED.keys() <= known.keys()
    for name in measured.keys() - TAKEN_OVER - ASSUMED:
        field, value, expected = name.rpartition(".")[2], measured[name].value, known.get(name)
        within = WITHIN.get(field, EXACT)
        if isinstance(expected, Curve):
            assert isinstance(value, tuple), name
            assert dict(value) == pytest.approx({x: expected.at(x) for x, _ in value}, rel=within)
        elif field not in LINES | ADAPTER:
            assert isinstance(expected, Number), name
            assert value == pytest.approx(expected.value, rel=within, abs=1e-6), name


def test_the_loading_of_adapters_is_found_as_a_whole(
    other_card: str, measured: dict[str, Found]
) -> None:
    adapter_bytes = model_size("llama2-7b", "float16", 16, "cuda").adapter_bytes
    known = _numbers(load_profile(other_card))

    def loading_s(numbers: Mapping[str, Any], table: str) -> float:
        rate = numbers.get(f"{table}adapter_bytes_per_s", numbers["adapter_bytes_per_s"])
        return float(numbers[f"{table}adapter_s"].value + adapter_bytes / rate.value)

    for table in ("", "grouped.float16."):
        assert loading_s(measured, table) == pytest.approx(loading_s(known, table), rel=EXACT)


def test_what_records_do_not_show_is_told_and_as_on_the_card_that_is_named(
    measured: dict[str, Found],
) -> None:
    known = _numbers(load_profile(LIKE))
    for name in TAKEN_OVER:
        assert measured[name] == _found(known[name], 1.0)._replace(
            kind="derived", source=measured[name].source
        )
        assert LIKE in measured[name].source


def test_the_profile_of_a_card_is_complete(measured: dict[str, Found], tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    text = to_toml("mine", measured, "a machine", card_settings.plain())
    path.write_text(text, encoding="utf-8")
    mine, known = load_profile(str(path)), load_profile(LIKE)
    more = ("decode_s", "decode_request_s", "adapter_bytes_per_s")
    found_too = {*NEW, *(f"grouped.float16.{field}" for field in more)}
    fields_of_known = _numbers(known).keys() | found_too
    assert _numbers(mine).keys() == fields_of_known
    assert {name: getattr(mine, name) for name in card_settings.plain()} == {
        name: getattr(known, name) for name in card_settings.plain()
    }


def test_records_that_are_there_are_read_again(
    other_card: str, measured: dict[str, Found], records: Path
) -> None:
    again = measure_card("llama2-7b", Progress(), records=records, by_profile=other_card)
    assert again.numbers == measured
    assert len(list(records.glob("*/*-profile"))) == len(fields(CardCells))
