"""A gateway's metrics: what its journal is told, in Prometheus's text form."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from systems.access import AccessTokens
from systems.interface import (
    Deployment,
    Device,
    Function,
    MemoryOwner,
    MemoryStep,
    RequestTrace,
    Span,
    Stage,
    StartType,
)
from systems.runtime.journal import Journal
from systems.runtime.metrics import Metrics

from .http.endpoint import endpoint

S = 1_000_000_000
ANSWERED = RequestTrace(
    "1", "f0", received_ns=S, responded_ns=4 * S, start_type=StartType.COLD,
    spans=(
        Span(Stage.QUEUE, S, 2 * S), Span(Stage.PREFILL, 2 * S, 3 * S),
        Span(Stage.DECODE, 3 * S, 4 * S),
    ),
)  # fmt: skip
LEFT = RequestTrace("2", "f0", received_ns=S)
FAILED = RequestTrace("3", "f1", received_ns=S, responded_ns=2 * S)


def values(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """By name and the values of the labels."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def told(tmp_path: Path, traces: Iterable[tuple[RequestTrace, int | None]]) -> Metrics:
    metrics = Metrics()
    journal = Journal(tmp_path / "journal", metrics)
    for trace, tokens in traces:
        metrics.received(trace.function_id)
        journal.request(trace, tokens)
    journal.close()
    return metrics


def test_requests_are_counted_by_function_and_outcome(tmp_path: Path) -> None:
    metrics = told(tmp_path, [(ANSWERED, 5), (LEFT, 0), (FAILED, 0)])
    metrics.received("f1")
    found = values(metrics)
    assert found["slbench_requests_total", "f0", "answered"] == 1
    assert found["slbench_requests_total", "f0", "left"] == 1
    assert found["slbench_requests_total", "f1", "failed"] == 1
    assert found["slbench_requests_running", "f0"] == 0
    assert found["slbench_requests_running", "f1"] == 1
    assert found["slbench_start_types_total", "f0", "cold"] == 1


def test_ttft_and_tpot_are_those_of_the_stages(tmp_path: Path) -> None:
    found = values(told(tmp_path, [(ANSWERED, 5), (LEFT, 0)]))
    assert found["slbench_ttft_seconds_sum",] == 2.0
    assert found["slbench_ttft_seconds_count",] == 1
    assert found["slbench_tpot_seconds_sum",] == 0.25
    unknown = values(told(tmp_path, [(ANSWERED, None), (ANSWERED, 1)]))
    assert unknown["slbench_tpot_seconds_count",] == 0


def test_memory_is_the_sum_of_what_is_held_now(tmp_path: Path) -> None:
    metrics = Metrics()
    journal = Journal(tmp_path / "journal", metrics)
    for function, size in (("f0", 100), ("f1", 20), ("f0", 30), ("f1", 0)):
        journal.memory(MemoryStep(1, "cuda:0", MemoryOwner.KV, function, size))
    journal.close()
    assert values(metrics)["slbench_memory_bytes", "cuda:0", "kv"] == 30


def asked(header: str | None, tokens: AccessTokens | None) -> tuple[int, str, str]:
    deployment = Deployment(
        functions=(Function(id="f0", backbone="b"),),
        backbones={"b": Path("b")},
        devices=(Device(name="cpu:0", memory_bytes=1),),
    )
    headers = {} if header is None else {"Authorization": f"Bearer {header}"}

    async def ask() -> tuple[int, str, str]:
        metrics = Metrics()
        metrics.received("f0")
        async with (
            endpoint(deployment, texts={}, tokens=tokens, metrics=metrics) as found,
            found.session.get("/metrics", headers=headers) as response,
        ):
            return response.status, response.headers["Content-Type"], await response.text()

    return asyncio.run(ask())


def test_the_endpoint_has_them_in_the_form_that_prometheus_reads() -> None:
    status, form, text = asked(None, None)
    assert (status, form.split(";")[0]) == (200, "text/plain")
    assert 'slbench_requests_running{function="f0"} 1.0' in text


@pytest.mark.parametrize(("given", "status"), [(None, 401), ("own" * 9, 403), ("all" * 9, 200)])
def test_with_tokens_only_one_of_every_function_sees_them(
    given: str | None, status: int, tmp_path: Path
) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(f'"*" = ["{"all" * 9}"]\nf0 = ["{"own" * 9}"]\n')
    file.chmod(0o600)
    found, _, text = asked(given, AccessTokens.read(file))
    assert found == status
    assert ("slbench_requests_running" in text) == (status == 200)
