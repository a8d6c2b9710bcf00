"""Times and counts are parsed exactly, never as floating point."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from workloads.importers.dequantise import spread, untied
from workloads.importers.parse import decimal_seconds, tokens, wall_clock
from workloads.importers.rows import Ints


def parsed(parse: object, *texts: str) -> list[int | None]:
    values, ok = parse(pa.array(texts, type=pa.string()))  # type: ignore[operator]
    return [int(value) if good else None for value, good in zip(values, ok, strict=True)]


@given(st.integers(0, 10**18 - 1), st.integers(0, 9))
def test_decimal_seconds_are_exact(nanoseconds: int, cut: int) -> None:
    whole = nanoseconds // 10**cut * 10**cut
    text = f"{whole // 10**9}.{whole % 10**9:09d}"
    assert parsed(decimal_seconds, text, text[: len(text) - cut].rstrip(".")) == [whole] * 2


@given(st.decimals(min_value=0, max_value=10**6, places=14))
def test_further_digits_round_to_the_nearest_nanosecond(seconds: Decimal) -> None:
    (found,) = parsed(decimal_seconds, f"{seconds:f}")
    assert found is not None
    assert abs(found - seconds * 10**9) <= Decimal("0.5")


def test_exponents_and_signs_are_numbers_and_words_are_not() -> None:
    texts = ("1e-05", "-0.5", "", "nan", "Infinity", "1e99", "1,5", "٣", "9" * 12, "1_0")
    assert parsed(decimal_seconds, *texts) == [10_000, -500_000_000, *[None] * 8]


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)),
    st.integers(0, 9),
    st.integers(0, 999),
    st.integers(-14 * 60, 14 * 60),
)
def test_wall_clocks_are_exact_at_any_precision_in_any_zone(
    moment: datetime, digits: int, below_us: int, zone_min: int
) -> None:
    fraction = f".{moment.microsecond:06d}{below_us:03d}"[: digits + 1] if digits else ""
    sign, (hours, minutes) = "-" if zone_min < 0 else "+", divmod(abs(zone_min), 60)
    text = f"{moment:%Y-%m-%d %H:%M:%S}{fraction}"
    utc = moment.replace(microsecond=0, tzinfo=timezone.utc)  # noqa: UP017
    seconds = (utc - datetime(1970, 1, 1, tzinfo=utc.tzinfo)) // timedelta(seconds=1)
    expected = seconds * 10**9 + int(fraction[1:].ljust(9, "0"))
    zoned = parsed(wall_clock, text, f"{text}Z", f"{text}{sign}{hours:02d}:{minutes:02d}")
    assert zoned == [expected, expected, expected - zone_min * 60 * 10**9]


def test_days_that_no_calendar_has_are_no_time() -> None:
    texts = ("2023-02-30 00:00:00", "2023-02-28 24:01:00", "2023-02-28 00:00:00", "yesterday")
    assert parsed(wall_clock, *texts) == [None, None, 1_677_542_400 * 10**9, None]


def test_tokens_are_digits() -> None:
    texts = ("0", "2147483647", "2147483648", "-1", "1.0", "", " 1", "9" * 30)
    assert parsed(tokens, *texts) == [0, 2**31 - 1, *[None] * 6]


_TIMES = st.lists(st.integers(0, 10**6), min_size=1).map(sorted)


@given(_TIMES)
def test_untying_moves_no_time_back_and_none_further_than_it_must(times: list[int]) -> None:
    moved = untied(ints(times)).tolist()
    nearest = [max(times[j] + i - j for j in range(i + 1)) for i in range(len(times))]
    assert moved == nearest


@given(_TIMES, st.integers(0, 100))
def test_spreading_keeps_each_time_within_its_grid(cells: list[int], seed: int) -> None:
    grid = 10**9
    times = ints([cell * grid for cell in cells])
    assert (spread(times, grid, seed, "t") // grid).tolist() == cells


def ints(values: list[int]) -> Ints:
    import numpy as np

    return np.array(values, dtype=np.int64)
