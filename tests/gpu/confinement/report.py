"""What :mod:`tests.gpu.confinement` prints."""

from __future__ import annotations

import platform
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from systems.models import ensure_backbone
from systems.runtime.sandbox import (
    confine,
    landlock,
    measures,
    nvidia,
    paths,
    seccomp,
    system_calls,
    users,
)
from systems.runtime.sandbox.machines import MACHINES
from systems.runtime.sandbox.system_calls import COMMANDS

from . import facts
from .notified import Marks, trace
from .scenario import Scenario
from .trials import Trial, run

AT_ONCE = 6
GROUPS = {
    "network": system_calls.NETWORK,
    "programs": system_calls.PROGRAMS,
    "processes": system_calls.PROCESSES,
    "kernel": system_calls.KERNEL,
    "scheduling": system_calls.SCHEDULING,
    "sharing": system_calls.SHARING,
    "files": system_calls.FILES,
}
_BY_ARGUMENT = ("socket", "clone", "clone3", "prlimit64", "sched_setaffinity", "kill", "tgkill")
_NAMES = {number: name for name, number in MACHINES[platform.machine()].numbers.items()}


def say(line: object) -> None:
    print(line, flush=True)


def print_trace(device: str) -> None:
    for result in run([Trial("nothing (compiles kernels)")], device):
        say(result)
    scenario = Scenario(device)

    def work(marks: Marks) -> int:
        try:
            for name, step in scenario.steps():
                marks.set(name)
                step()
        except BaseException:
            traceback.print_exc()
            return 1
        return 0

    found, status = trace(work)
    say(f"traced: exit status {status}")
    for phase, calls in found.calls.items():
        numbers = sorted({number for number, _, _ in calls})
        say(f"calls, {phase}: " + " ".join(_NAMES.get(n, str(n)) for n in numbers))
        say(f"  denied by the full list: {_denied(calls)}")
    for phase, opened in found.opened.items():
        for path, flags in sorted(opened):
            if flags & 0x3 or not path.startswith(("/usr/", "/lib")):
                say(f"opened, {phase}: {path} flags {flags:#o}")


def _denied(calls: Iterable[tuple[int, int, int]]) -> list[str]:
    found = set()
    for number, *arguments in calls:
        name = _NAMES.get(number, str(number))
        command = COMMANDS.get(name)
        if name not in system_calls.ALLOWED and name not in _BY_ARGUMENT:
            found.add(name)
        elif command and arguments[command.argument] in command.denied:
            found.add(f"{name}:{arguments[command.argument]:#x}")
        elif name in _BY_ARGUMENT:
            found.add(f"{name}({arguments[0]:#x})")
    return sorted(found)


def _narrow(rules: Mapping[Path, int]) -> None:
    paths.narrow_to([ensure_backbone("tiny")], rules)


def _deny(names: Iterable[str], *, forks: bool = True, commands: bool = False) -> None:
    rules = seccomp.Rules(COMMANDS if commands else {}, frozenset(range(46)), forks)
    seccomp.deny(names, rules)


def _settle_in(device: str) -> None:
    confine.confine(device)
    confine.settle_in(device, [ensure_backbone("tiny")])


def print_measures(device: str) -> None:
    """Print which measures hold, all together and each alone; if they do not hold together, also
    what :func:`print_trials` prints."""
    complete = partial(confine.complete, device)
    list(run([Trial("nothing")], device))  # kernels are compiled
    whole = [
        Trial("nothing"),
        Trial("all measures", partial(_settle_in, device), complete),
        Trial("all measures but the last", partial(_settle_in, device)),
    ]
    there, first = confine.names(device), confine.MEASURES[f"{device}-strict"]
    alone = [
        *(Trial(name, do) for name, do in first.items() if name in there),
        Trial("a user of its own", users.become_one),
        Trial("files of its own only", partial(_narrow_to, {})),
        Trial("no programs or forks", measures.filter_calls_beside_a_driver),
        Trial("the last measure", late=complete),
    ]
    failed = _print_all(whole, device, at_once=1)
    _print_all([replace(each, name=f"{each.name}, alone") for each in alone], device)
    if failed:
        print_trials(device)


def print_trials(device: str) -> None:
    """Print which files and groups of calls the driver needs; of a group that it needs, each call
    alone."""
    _print_all(_landlock_trials(), device)
    groups = [Trial(f"before the context: {name}", partial(_deny, GROUPS[name])) for name in GROUPS]
    groups += [
        Trial("before the context: all but the allowed", measures.filter_calls),
        Trial("before the context: forks", partial(_deny, (), forks=False)),
        Trial("before the context: commands", partial(_deny, (), commands=True)),
        Trial("before the context: sockets", partial(seccomp.deny, (), seccomp.Rules(forks=True))),
    ]
    failed = _print_all(groups, device)
    for name in [name for name in GROUPS if f"before the context: {name}" in failed]:
        say(f"-- {name}, call by call")
        _print_all([Trial(each, partial(_deny, [each])) for each in sorted(GROUPS[name])], device)
    _print_all(
        [Trial(f"after the engine: {n}", late=partial(_deny, GROUPS[n])) for n in GROUPS], device
    )


def _landlock_trials() -> list[Trial]:
    if not landlock.version():
        say("this kernel has no Landlock")
        return []
    everything = landlock.REWRITE | landlock.DEVICE
    wider: dict[str, Mapping[Path, int]] = {
        "as told": {},
        "and /proc to write": {Path("/proc"): landlock.REWRITE},
        "and / to read": {Path("/"): landlock.READ},
        "and / to read, /proc to write": {
            Path("/"): landlock.READ, Path("/proc"): landlock.REWRITE,
        },
        "and / to read, /proc, /dev, /tmp to write": {
            Path("/"): landlock.READ,
            **dict.fromkeys(map(Path, ("/proc", "/dev", "/tmp", "/run", "/sys")), everything),
        },
        "and / to read, write, command": {Path("/"): everything},
    }  # fmt: skip
    return [Trial(f"Landlock {name}", partial(_narrow_to, more)) for name, more in wider.items()]


def _narrow_to(more: Mapping[Path, int]) -> None:
    _narrow(nvidia.rules() | more)


def _print_all(trials: list[Trial], device: str, at_once: int = AT_ONCE) -> set[str]:
    """Print each result; return the names of those that failed."""
    failed = set()
    for result in run(trials, device, at_once):
        say(result)
        if result.failed:
            failed.add(result.name)
    return failed


PARTS: Mapping[str, Callable[[str], None]] = {
    "measures": print_measures,
    "trace": print_trace,
    "facts": facts.print_all,
    "trials": print_trials,
}
