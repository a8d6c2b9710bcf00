"""Checks that a function is isolated from its neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from systems.interface import RequestTrace

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


@check("serves only functions of one group by an instance")
def shares_within_groups_only(subject: Subject) -> None:
    """Send a request to every function: by the system trace, functions of two groups of the
    isolation level have no instance in common. At ``function`` level, a group is one function."""
    groups = subject.groups
    if groups is None:
        raise NotTestableError("the system has no isolation levels")
    if len(groups) < 2:
        raise NotTestableError("all functions are of one group")
    for function in subject.functions:
        complete(subject.endpoint, function, 1)
    group_of = {function: group for group, members in groups.items() for function in members}
    served = _groups_by_instance(subject.system_trace().requests, group_of)
    if not served:
        raise NotTestableError("the system reports no instances")
    for instance, found in served.items():
        names = " and ".join(sorted(found))
        require(len(found) == 1, f"instance {instance} served functions of {names}")


def _groups_by_instance(
    requests: tuple[RequestTrace, ...], group_of: Mapping[str, str]
) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for request in requests:
        if request.instance_id is not None and request.function_id in group_of:
            found.setdefault(request.instance_id, set()).add(group_of[request.function_id])
    return found
