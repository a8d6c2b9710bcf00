"""What the naive server generates, against plain transformers and peft; and the system, live."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from harness.conformance import examine
from systems.errors import DeploymentError
from systems.interface import Deployment, Limits
from systems.naive import Naive
from systems.runtime.calls import Call, Tokens
from systems.runtime.messages import Sampling
from systems.serverful.naive.__main__ import load
from systems.serverful.naive.generation import generate
from systems.serverful.naive.launch import Launch
from tests.deployments import tiny_deployment

PROMPT = [40, 41, 42, 43]


@pytest.fixture(scope="module")
def deployment() -> Deployment:
    limits = Limits(
        max_batch_size=1, max_context_tokens=256, keep_alive_s=60, threads_per_instance=1
    )
    return tiny_deployment(limits, ("f0", "f1"))


@pytest.fixture(scope="module")
def model(deployment: Deployment) -> Iterator[Any]:
    one = deployment.model_copy(update={"functions": deployment.functions[:1]})
    threads = torch.get_num_threads()
    yield load(Launch(deployment=one, port=1, dtype="float32", threads=1))
    torch.set_num_threads(threads)


def said(model: Any, tokens: int, after: int | None = None, **sampling: Any) -> list[Tokens]:
    """Return what a request is told; it is abandoned ``after`` so many tokens."""
    call = Call(1, "", "f0", PROMPT, tokens, Sampling(**sampling), 0)
    found: list[Tokens] = []
    generate(model, call, found.append, lambda: after is not None and len(found) >= after)
    return found


def ids(found: list[Tokens]) -> list[int]:
    return [token for each in found for token in each.ids]


@pytest.fixture(scope="module")
def plain(model: Any) -> list[int]:
    """The greedy answer, by hand."""
    answer = list(PROMPT)
    for _ in range(8):
        logits = model(input_ids=torch.tensor([answer])).logits
        answer.append(int(logits[0, -1].argmax()))
    return answer[len(PROMPT) :]


def test_greedy_tokens_are_the_models(model: Any, plain: list[int]) -> None:
    found = said(model, 8)
    assert ids(found) == plain
    assert [each.finished for each in found] == [None] * 7 + ["length"]


def test_it_ends_at_the_end_of_a_sequence_unless_told_to_go_on(
    model: Any, plain: list[int]
) -> None:
    stop = (plain[3],)
    ended = said(model, 8, stop_token_ids=stop)
    assert ids(ended) == plain[: plain.index(plain[3]) + 1]
    assert ended[-1].finished == "stop"
    assert ids(said(model, 8, stop_token_ids=stop, ignore_eos=True)) == plain


def test_a_seed_repeats_what_is_drawn(model: Any, plain: list[int]) -> None:
    drawn = [ids(said(model, 8, temperature=1.0, seed=seed)) for seed in (3, 3, 4)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0] != plain


def test_an_abandoned_request_ends(model: Any, plain: list[int]) -> None:
    found = ids(said(model, 8, after=3))
    assert len(found) < 6
    assert found == plain[: len(found)]


@pytest.mark.slow
@pytest.mark.live
def test_it_conforms(deployment: Deployment) -> None:
    results = list(examine(Naive(), deployment))
    rest = {each.check: each.why for each in results if each.outcome != "passed"}
    assert rest == {
        "serves only functions of one group by an instance": "the system has no isolation levels"
    }


def test_a_process_that_does_not_fit_is_refused(deployment: Deployment) -> None:
    asked = deployment.model_copy(update={"options": {"process_gib": 4}})
    with pytest.raises(DeploymentError, match=r"^naive: a process takes 4.0 GiB, cpu:0 has 2.0"):
        Naive().check(asked)
