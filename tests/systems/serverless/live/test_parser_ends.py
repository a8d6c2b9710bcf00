"""Every use of an adapter is answered once, however its parser or the template ends. So no place of
an instance waits for an adapter without end."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from systems.interface import Deployment
from systems.runtime.children import kill
from systems.serverless.live.adapters import tier as tier_module

from .puppets import Puppet, Stage, play

FUNCTIONS = ("f0", "f1", "f2", "f3")
End = Callable[[Stage, Puppet], Awaitable[None]]


async def _template_dies(stage: Stage, template: Puppet) -> None:
    """A fork that the template has not reported yet."""
    template.dies()


async def _template_dies_later(stage: Stage, template: Puppet) -> None:
    """A fork that runs; its end cannot be reported any more."""
    with subprocess.Popen(["sleep", "60"]) as fork:
        await stage.until(lambda: template.asked("fork"))
        template.says("forked", token=template.asked("fork")[0]["token"], pid=fork.pid)
        await stage.all_heard()
        template.dies()
        fork.kill()


async def _fork_is_killed(stage: Stage, template: Puppet) -> None:
    with subprocess.Popen(["sleep", "60"]) as fork:
        await stage.until(lambda: template.asked("fork"))
        template.says("forked", token=template.asked("fork")[0]["token"], pid=fork.pid)
        await stage.all_heard()
        kill(stage.node.adapters.children[0])
        fork.wait()
    template.says("exited", pid=fork.pid, returncode=-9, used_ns=0)
    await stage.all_heard()
    template.dies()


@pytest.mark.parametrize("end", [_template_dies, _template_dies_later, _fork_is_killed])
def test_every_use_is_answered_once(
    end: End, deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first parser is a fork, and the others wait for it. Once the template has ended, parsers
    are new interpreters, which are killed."""
    monkeypatch.setattr(tier_module, "MOST_PARSERS", 1)

    async def scene(stage: Stage) -> None:
        stage.node._processes.start_template(lambda: None, lambda reason: None)
        (template,) = stage.puppets
        before = len(os.listdir("/proc/self/fd"))
        answers: list[str] = []
        for function in (*FUNCTIONS, *FUNCTIONS):
            stage.node.adapters.get(function, pytest.fail, answers.append)
        await end(stage, template)

        def all_answered() -> bool:
            for parser in stage.puppets[1:]:
                parser.ends()
            return len(answers) == 2 * len(FUNCTIONS)

        await stage.until(all_answered)
        await stage.all_heard()
        assert Counter(line.partition(":")[0] for line in answers) == dict.fromkeys(FUNCTIONS, 2)
        assert (stage.node.adapters.nbytes, stage.node.adapters.children) == (0, [])
        assert len(os.listdir("/proc/self/fd")) <= before + len(FUNCTIONS), "one end of each puppet"

    play(deployment, tmp_path, scene)
