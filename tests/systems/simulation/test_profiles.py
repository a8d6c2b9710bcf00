"""Latency profiles: every number has a source."""

from __future__ import annotations

from pathlib import Path

import pytest

from systems.simulation.engine_numbers import Beside, Graphs
from systems.simulation.number import Curve, Number
from systems.simulation.profile import (
    ProfileError,
    load_profile,
    profile_names,
)


@pytest.mark.parametrize("name", profile_names())
def test_every_number_says_where_it_comes_from(name: str) -> None:
    profile = load_profile(name)
    numbers = {k: v for k, v in profile if isinstance(v, Number | Curve)}
    tables = {k: v for k, v in profile if isinstance(v, Graphs | Beside)}
    told = {
        "name",
        "summary",
        "date",
        "sha256",
        "profiled_offline",
        "kv_slots",
        "prompt_piece_tokens",
        "instance_prices",
        "alike",
        "grouped",
        "servers",
        *tables,
    }
    unsaid = {name for name, value in profile if value is None}
    assert numbers.keys() == type(profile).model_fields.keys() - told - unsaid
    assert profile.name == name
    all_tables = (*profile.servers.values(), *profile.grouped.values(), *tables.values())
    in_tables = [number for table in all_tables for _, number in table if number is not None]
    assert all(len(n.source.split()) >= 3 for n in (*numbers.values(), *in_tables))
    assert profile.servers.keys() == profile.grouped.keys() != set(), "every profile has both"


def test_engines_of_a_dtype_that_was_not_measured_are_refused() -> None:
    profile = load_profile("l40s")
    for table, numbers_of in (("servers", profile.of_servers), ("grouped", profile.of_grouped)):
        with pytest.raises(ProfileError, match=rf"l40s has no numbers.*{table}.float32.*float16"):
            numbers_of("float32")


def test_a_number_without_a_source_is_refused(tmp_path: Path) -> None:
    shipped = Path("systems/simulation/profiles/l40s.toml").read_text(encoding="utf-8")
    lines = [
        "map_s = { value = 0.1, kind = 'measured' }" if line.startswith("map_s") else line
        for line in shipped.splitlines()
    ]
    (tmp_path / "own.toml").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ProfileError, match=r"own\.toml"):
        load_profile(str(tmp_path / "own.toml"))


def test_an_unknown_profile_lists_the_known_ones() -> None:
    with pytest.raises(ProfileError, match="l40s"):
        load_profile("a100")


@pytest.mark.parametrize(
    ("value", "right"), [("-1.0", "greater than or equal to 0"), ("inf", "a finite number")]
)
def test_a_number_that_cannot_be_says_which_it_is_and_what_would_be_right(
    value: str, right: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    wrong = f'{{ value = {value}, kind = "measured", source = "a test of profiles" }}'
    path.write_text(f'extends = "cpu-small"\nname = "mine"\nmap_s = {wrong}\n', encoding="utf-8")
    with pytest.raises(ProfileError, match=rf"map_s\.value: .* {right}") as told:
        load_profile(str(path))
    assert len(str(told.value).splitlines()) == 1


def test_a_tables_own_line_takes_the_place_of_the_profiles_curve() -> None:
    profile = load_profile("cpu-small")
    assert profile.decode_rows_s is not None
    servers, _, own = profile.of_servers("bfloat16")
    assert own.decode_rows_s == servers.decode_rows_s not in (None, profile.decode_rows_s)
    line = servers.model_copy(update={"decode_rows_s": None})
    _, _, own = profile.model_copy(update={"servers": {"bfloat16": line}}).of_servers("bfloat16")
    assert own.decode_s == line.decode_s
    assert own.decode_rows_s is None


def test_a_curve_goes_on_as_between_its_last_points_but_does_not_fall() -> None:
    rising, falling = ((1.0, 1.0), (2.0, 3.0)), ((1.0, 3.0), (2.0, 1.0))
    values = [
        [
            Curve(points=points, kind="measured", source="a test of curves").at(x)
            for x in (0.5, 1.5, 4)
        ]
        for points in (rising, falling)
    ]
    assert values == [[0.0, 2.0, 7.0], [4.0, 2.0, 1.0]]


@pytest.mark.parametrize("name", ["h100", "l40s"])
def test_on_a_card_bfloat16_is_as_fast_as_float16(name: str) -> None:
    profile = load_profile(name)
    assert profile.of_grouped("bfloat16") == profile.of_grouped("float16")
    assert profile.of_servers("bfloat16") == profile.of_servers("float16")
    with pytest.raises(ProfileError, match=r"no numbers of \[grouped.float32\]"):
        profile.of_grouped("float32")
