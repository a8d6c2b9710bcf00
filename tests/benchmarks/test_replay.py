"""Time of the client per decoded event, per encoded request, and per event end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.calibration.phases import sending, streaming
from harness.reference_server import running_reference_server
from harness.replay import replay
from harness.replay.decode import decode
from harness.replay.frames import pack
from harness.replay.requests import Encoder
from harness.replay.sse import EventParser
from harness.replay.target import Target
from tests.regression_mutants.playback import START_NS, play

TOKENS = 200


def test_decoding_an_answer_of_200_tokens(benchmark: Any) -> None:
    captured, _ = play("ref", TOKENS)
    record = benchmark(decode, captured, START_NS)
    assert record.output_tokens == TOKENS


@pytest.mark.parametrize("newline", ["ref", "ref.crlf"])
def test_parsing_its_events(benchmark: Any, newline: str) -> None:
    captured, _ = play(newline, TOKENS)

    def parse() -> int:
        parser = EventParser()
        return sum(len(parser.feed(chunk)) for chunk in captured.chunks)

    assert benchmark(parse) == TOKENS + 2


def test_handing_it_over(benchmark: Any) -> None:
    captured, _ = play("ref", TOKENS)
    assert benchmark(pack, captured)


def test_encoding_a_prompt_of_512_tokens(benchmark: Any) -> None:
    encoder = Encoder(Target.parse("http://127.0.0.1:8000"), {})
    assert benchmark(encoder.encode, 1, "f", list(range(10_000, 10_512)), 64)


@pytest.mark.parametrize(
    ("phase", "rate"), [(sending, 500), (streaming, 256)], ids=["send500", "read256"]
)
def test_the_whole_client(benchmark: Any, tmp_path: Path, phase: Any, rate: int) -> None:
    schedule = phase(rate, 0.2 if benchmark.disabled else 3.0).schedule()
    with running_reference_server() as server:
        result = benchmark.pedantic(
            replay,
            (schedule, server.base_url, tmp_path),
            {"timeout_s": 20},
            rounds=1,
        )
    assert set(result.table["status"].to_pylist()) == {"ok"}
    benchmark.extra_info["cpu_us_per_event"] = result.cpu_us_per_event
    benchmark.extra_info["lateness_ns"] = result.lateness._asdict()
    benchmark.extra_info["read_lag_ns"] = result.read_lag._asdict()
