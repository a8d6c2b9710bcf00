"""Audits compute checksums of shared copies in use, and detect a changed copy."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from systems.interface import Deployment
from systems.runtime import journal
from systems.runtime.cards import Cards
from systems.runtime.incoming import BadMessageError
from systems.runtime.messages import Message
from systems.serverless.core.artifacts import CopyKey
from systems.serverless.live.messages import CopySum, Summed
from systems.serverless.live.node import Node
from systems.serverless.live.nodes import Reports
from systems.serverless.live.plan import make_plan
from systems.serverless.live.weights import cuda_copies, store
from systems.serverless.live.weights.auditing import Account, Audit, Audits, Sum, problem
from systems.serverless.live.weights.copies import StoredCopy
from systems.serverless.live.weights.handle import SharedWeightsHandle

KEY = CopyKey("tiny", "cpu:0")


@pytest.mark.parametrize("nbytes", [0, 5, 4096, 4099])
def test_a_sum_is_the_same_on_the_host_and_by_torch(nbytes: int) -> None:
    content = os.urandom(nbytes + 8)
    flat = torch.frombuffer(bytearray(content), dtype=torch.uint8)[:nbytes]
    assert store.checksum(content, nbytes) == cuda_copies.checksum(flat)


def test_any_changed_byte_changes_the_sum() -> None:
    content = bytearray(os.urandom(4099))
    before = store.checksum(content, 4099)
    for place in (0, 7, 4095, 4098):
        content[place] ^= 1
        assert store.checksum(content, 4099) != before
        content[place] ^= 1
    assert store.checksum(content, 4099) == before


@pytest.mark.live
def test_a_copy_that_is_changed_underneath_is_reported_once(deployment: Deployment) -> None:
    """With real auditors, on a copy that (only in this test) is not sealed."""
    plan = make_plan(deployment.model_copy(update={"options": {"audit_s": 0.2}}), forks=True)
    nbytes = plan.layouts["tiny"].nbytes
    fd = store.create("backbone:test", nbytes)
    mapping = store.map_writable(fd)
    mapping[:] = os.urandom(nbytes)
    found: list[Audit] = []

    async def watch() -> None:
        node = Node(plan, Cards(), Reports(print, print, print, found.append, print, print))
        sum_ = Sum(store.checksum(mapping, nbytes), 0, 0)
        node.copies[KEY] = StoredCopy(
            "backbone tiny on cpu:0", SharedWeightsHandle(os.dup(fd)), 1, sum=sum_
        )
        await _until(lambda: len(found) == 1)
        mapping[nbytes // 2] ^= 1
        await _until(lambda: found[-1].changed)
        seen = len(found)
        await _until(lambda: len(found) > seen)
        await node.close()

    asyncio.run(asyncio.wait_for(watch(), 60))
    os.close(fd)
    assert not found[0].changed
    assert not found[-1].changed
    assert [audit.changed for audit in found].count(True) == 1
    (change,) = [audit for audit in found if audit.changed]
    assert change.now is not None
    assert change.last.end_ns < change.now.start_ns


@pytest.mark.parametrize("closed", [True, False], ids=["at the end", "dropped meanwhile"])
def test_an_auditor_that_nobody_waits_for_any_more_is_no_problem(closed: bool) -> None:
    found: list[Audit] = []
    ends: list[Callable[[str], None]] = []
    copies = {KEY: StoredCopy("backbone tiny on cpu:0", SharedWeightsHandle(), 1, sum=Sum(1, 0, 1))}

    async def watch() -> None:
        audits = Audits(0.001, copies, lambda key, said, ended: ends.append(ended), found.append)
        await _until(lambda: bool(ends))
        if closed:
            audits.close()
        else:
            copies.clear()
        ends[0]("killed by SIGKILL")
        audits.close()

    asyncio.run(asyncio.wait_for(watch(), 60))
    assert found == []


def test_an_auditor_has_one_result() -> None:
    """All of them were kept until it ended, so one that goes on filled the gateway's memory."""
    found: list[Audit] = []
    copies = {KEY: StoredCopy("backbone tiny on cpu:0", SharedWeightsHandle(), 1, sum=Sum(1, 0, 1))}

    def start(key: CopyKey, said: Callable[[Message], None], ended: Callable[[str], None]) -> None:
        said(Summed(CopySum(1, 2, 3)))
        with pytest.raises(BadMessageError, match="a second result"):
            said(Summed(CopySum(2, 2, 3)))
        ended("killed by SIGKILL")

    async def watch() -> None:
        audits = Audits(0.001, copies, start, found.append)
        await _until(lambda: bool(found))
        audits.close()

    asyncio.run(asyncio.wait_for(watch(), 60))
    assert not found[0].changed


async def _until(condition: object) -> None:
    assert callable(condition)
    while not condition():
        await asyncio.sleep(0.02)


def test_a_change_names_backbone_device_and_the_two_moments_in_a_line() -> None:
    at = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    audit = Audit(KEY, Sum(1, 1_000_000_000, 1_500_000_000), Sum(2, 4_000_000_000, 5_000_000_000))
    assert problem(audit, at, 6_000_000_000) == (
        "audit: backbone tiny on cpu:0 changed between"
        " 2030-01-02T03:04:00.000+00:00 and 2030-01-02T03:04:04.000+00:00"
    )


def test_audits_that_fail_and_changes_are_problems_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    account = Account(journal.Journal(path), audited=True)
    assert journal.read(path).measured["audits"] == 0
    same, other = Sum(1, 0, 1), Sum(2, 2, 3)
    for now, reason in ((same, ""), (other, ""), (None, "killed by SIGKILL")):
        account.take(Audit(KEY, same, now, reason))
    system_trace = journal.read(path)
    assert system_trace.measured == {"audits": 2, "audits_changed": 1, "audits_failed": 1}
    changed, failed = system_trace.problems
    assert "changed between" in changed
    assert "could not be summed: killed by SIGKILL" in failed
