"""Checks that a function is isolated from its neighbours."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from .check import NotTestableError, Subject, check, require
from .talk import complete

_TOKENS = 16
_ROUNDS = 3


@check("answers the same beside busy neighbours")
def unmoved_by_neighbours(subject: Subject) -> None:
    """Compare a function's greedy response alone with the one while all others run full batches."""
    mine, *others = subject.functions
    if not others:
        raise NotTestableError("one function has no neighbours")

    def answer(function: str, prompt_from: int) -> str | None:
        prompt = list(range(prompt_from, prompt_from + 16))
        reply = complete(subject.endpoint, function, _TOKENS, prompt=prompt)
        require(reply.status == 200, f"{function}: HTTP {reply.status} under load")
        return reply.answer.text_sha256

    alone = answer(mine, 40)
    with ThreadPoolExecutor(subject.batch * len(others) + 1) as pool:
        for round_ in range(_ROUNDS):
            load = [
                pool.submit(answer, other, 40 + 7 * index + round_)
                for other in others
                for index in range(subject.batch)
            ]
            beside = pool.submit(answer, mine, 40).result()
            for each in load:
                each.result()
            require(beside == alone, "a greedy response changed while neighbours were busy")
