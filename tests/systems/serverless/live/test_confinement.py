"""The sandbox of an instance: each claim of SECURITY.md is tested by an attack on it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from systems.interface import Deployment, Isolation
from systems.runtime import channel as wire
from systems.runtime import process
from systems.runtime.channel import Channel
from systems.runtime.messages import Failed
from systems.runtime.roles import Role
from systems.runtime.sandbox import confine, landlock, measures
from systems.runtime.template_messages import Exited, Forked
from systems.serverless.live import roles
from systems.serverless.live.adapters import memory_file
from systems.serverless.live.plan import make_plan

from .attackers import (
    REFUSALS,
    TIMEOUT_MS,
    Attacker,
    Sides,
    fork_of,
    running_template,
    start_process,
)
from .attacks import FREE, INSTANCE, SECRET

SILENT_MS = 30_000
sees_less = pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")


@pytest.fixture(scope="module")
def template() -> Iterator[tuple[int, Channel]]:
    with running_template() as found:
        yield found


def link_as_a_cache(snapshot: Path, name: str, place: str) -> None:
    """Make ``name`` in a snapshot as in the Hugging Face cache: a link to a file in the folder
    ``place`` of its repository."""
    folder = snapshot.parents[1] / place
    folder.mkdir(exist_ok=True)
    (folder / "0123abcd").write_text(place, encoding="utf-8")
    (snapshot / name).symlink_to(f"../../{place}/0123abcd")


@pytest.fixture(scope="module", params=["new interpreter", "fork of the template"])
def sides(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sides]:
    """Instances started in both ways: spawned and forked."""
    repository = tmp_path_factory.mktemp("hub") / "models--me--mine"
    (repository / "blobs").mkdir(parents=True)
    adapters = (repository / "snapshots" / "c0ffee", tmp_path_factory.mktemp("theirs"))
    adapters[0].mkdir(parents=True)
    link_as_a_cache(adapters[0], "weights.safetensors", "blobs")
    link_as_a_cache(adapters[0], "config.json", "not-blobs")
    for folder in adapters:
        (folder / "adapter").write_text(folder.name, encoding="utf-8")
    popens: list[subprocess.Popen[bytes]] = []

    def spawn(role: Role) -> Attacker:
        popen, sock = start_process(role)
        popens.append(popen)
        return Attacker(sock)

    def fork(role: Role) -> Attacker:
        return fork_of(request.getfixturevalue("template")[1], role)

    start = spawn if request.param == "new interpreter" else fork
    confined, free = (start(INSTANCE), start(INSTANCE)), (start(FREE), start(FREE))
    started = Sides(confined, free, adapters)
    for attacker, own in zip(confined, adapters, strict=True):
        assert attacker.tries("settle in", {"device": "cpu", "own": [str(own)]}) == {"got": None}
    for attacker in started.free:
        attacker.tries("be open")
    yield started
    for attacker in (*started.confined, *started.free):
        attacker.channel.close()
    for popen in popens:
        popen.wait()


def test_an_internet_socket_is_refused(sides: Sides) -> None:
    assert sides.refused("internet")


def test_an_internet_socket_is_refused_to_what_it_forks(sides: Sides) -> None:
    assert sides.refused("internet from a child")


def test_a_socket_to_services_of_the_machine_is_refused(sides: Sides) -> None:
    assert sides.refused("unix socket")


def test_tracing_a_sibling_is_refused(sides: Sides) -> None:
    assert sides.refused("trace")


def test_opening_the_memory_of_a_sibling_is_refused(sides: Sides) -> None:
    attacker, victim = sides.free
    assert attacker.tries("memory file", victim.about) == {"got": SECRET.value.decode()}
    assert sides.refused("memory file")


def test_reading_the_memory_of_a_sibling_by_a_call_is_refused(sides: Sides) -> None:
    attacker, victim = sides.free
    assert attacker.tries("memory call", victim.about) == {"got": SECRET.value.decode()}
    assert sides.refused("memory call")


def test_no_descriptor_of_the_template_is_left_to_an_instance(sides: Sides) -> None:
    for attacker in sides.confined:
        assert attacker.tries("inherited pipes") == {"got": []}


def test_the_template_goes_on_whatever_its_forks_do_with_their_descriptors() -> None:
    with running_template() as (pid, channel):
        attacker, victim = fork_of(channel, INSTANCE), fork_of(channel, INSTANCE)
        attacker.tries("fill inherited pipes")
        os.kill(victim.about["pid"], signal.SIGKILL)
        try:
            told = [channel.receive(SILENT_MS) for _ in range(3)]
        finally:
            os.kill(pid, signal.SIGKILL)  # one that waits for itself sees no closed channel
    assert [type(each[0]) for each in told if each] == [Forked, Forked, Exited]


def test_the_memory_of_the_template_is_refused(sides: Sides, template: tuple[int, Channel]) -> None:
    pid, _ = template
    attacker, _ = sides.confined
    assert attacker.tries("memory file", {"pid": pid, "address": 0}) == {"refused": "EACCES"}


def test_the_environment_and_descriptors_of_a_sibling_are_refused(sides: Sides) -> None:
    assert sides.refused("their environment")
    assert sides.refused("their descriptors")


def test_starting_a_program_is_refused(sides: Sides) -> None:
    assert sides.refused("program")


def test_a_signal_to_a_sibling_is_refused(sides: Sides) -> None:
    assert sides.refused("signal")


def test_the_limits_of_a_sibling_cannot_be_changed(sides: Sides) -> None:
    assert sides.refused("their limits")


def test_exhausting_descriptors_ends_at_a_bound_that_cannot_be_raised(sides: Sides) -> None:
    attacker, sibling = sides.confined
    got = attacker.tries("exhaust descriptors")["got"]
    assert got < measures.MAX_DESCRIPTORS
    assert attacker.tries("more descriptors") == {"refused": "EPERM"}
    assert sibling.tries("exhaust descriptors") == {"got": got}, "its sibling has its own"


@sees_less
def test_the_adapter_of_another_is_neither_read_nor_listed(sides: Sides) -> None:
    mine, theirs = sides.adapters
    attacker, _ = sides.confined
    own = attacker.tries("read", {"path": str(mine / "adapter")})
    assert own == {"got": mine.name}, "its own is"
    assert sides.refused("read", {"path": str(theirs / "adapter")})
    assert sides.refused("list", {"path": str(theirs)})
    link = mine / "link"
    link.symlink_to(theirs / "adapter")
    assert sides.refused("read", {"path": str(link)})


@sees_less
@pytest.mark.parametrize("level", ["tenant", "backbone"])
def test_an_instance_of_several_functions_reads_no_adapter_not_even_those_it_serves(
    level: Isolation, template: tuple[int, Channel], deployment: Deployment
) -> None:
    """It settles in as it is told to at this level. The memory file of an adapter, which only a
    descriptor gives access to, is that of another tenant."""
    functions = tuple(each.model_copy(update={"tenant": "acme"}) for each in deployment.functions)
    shared = deployment.model_copy(update={"functions": functions, "isolation": level})
    plan = make_plan(shared, forks=True)
    told = plan.configuration(plan.cluster.group_of("f0").id)
    fd = memory_file.create(64)
    memory_file.seal(fd)
    victims = [("read", {"path": f"/proc/{os.getpid()}/fd/{fd}"})]
    for function in functions:
        assert function.adapter is not None
        victims.append(("list", {"path": str(function.adapter)}))
        victims.append(("read", {"path": str(function.adapter / "adapter_config.json")}))
    attacker, free = (fork_of(template[1], role) for role in (INSTANCE, FREE))
    free.tries("be open")
    assert all("got" in free.tries(attack, victim) for attack, victim in victims)
    assert attacker.tries("settle in as told", msgspec.to_builtins(told)) == {"got": None}
    backbone = attacker.tries("list", {"path": told.model_dir})
    assert "config.json" in backbone["got"], "its backbone it reads"
    for attack, victim in victims:
        assert attacker.tries(attack, victim).get("refused") in {"EPERM", "EACCES"}, victim
    for one in (attacker, free):
        one.channel.close()
    os.close(fd)


@sees_less
def test_links_are_followed_into_the_blobs_of_its_own_repository_alone(sides: Sides) -> None:
    mine, _ = sides.adapters
    attacker, _ = sides.confined
    own = attacker.tries("read", {"path": str(mine / "weights.safetensors")})
    assert own == {"got": "blobs"}
    assert sides.refused("read", {"path": str(mine / "config.json")})
    assert sides.refused("list", {"path": str(mine.parents[1] / "blobs")})


@sees_less
def test_the_files_of_the_platforms_user_are_not_read(sides: Sides, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text("secret", encoding="utf-8")
    tokens.chmod(0o600)
    assert sides.refused("read", {"path": str(tokens)})
    assert sides.refused("list", {"path": "/proc"})
    assert sides.refused("list", {"path": "/home"})


@sees_less
def test_no_file_is_written_or_removed(sides: Sides, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("before", encoding="utf-8")
    attacker, _ = sides.confined
    for path in (there, tmp_path / "new", sides.adapters[0] / "adapter"):
        assert attacker.tries("write", {"path": str(path)}) == {"refused": "EACCES"}
    assert attacker.tries("remove", {"path": str(there)})["refused"] in REFUSALS
    assert there.read_text(encoding="utf-8") == "before"
    assert sides.refused("write", {"path": str(there)})


@pytest.mark.parametrize(
    "attack", ["set user id", "open to all", "give away", "change times", "attach"]
)
def test_modes_owners_times_and_attributes_stay_as_they_are(
    attack: str, sides: Sides, tmp_path: Path
) -> None:
    for name in ("confined", "free"):
        (tmp_path / name).write_text("secret", encoding="utf-8")
        (tmp_path / name).chmod(0o600)
    about = {"path": str(tmp_path / "confined")}
    before = (tmp_path / "confined").stat()
    attacker, _ = sides.confined
    assert attacker.tries(attack, about).get("refused") in {"EPERM", "EACCES"}
    after = (tmp_path / "confined").stat()
    assert (after.st_mode, after.st_ctime_ns) == (before.st_mode, before.st_ctime_ns)
    free, _ = sides.free
    assert "got" in free.tries(attack, {"path": str(tmp_path / "free")})


def test_no_descriptor_signals_another(sides: Sides) -> None:
    assert sides.refused("signals by descriptor")


def test_it_ends_with_the_platform_whether_it_will_or_not(sides: Sides) -> None:
    assert sides.refused("outlive")


def test_starting_processes_without_end_is_refused_at_the_first(sides: Sides) -> None:
    assert sides.refused("fork")


def test_memory_ends_at_a_bound(sides: Sides) -> None:
    attacker, _ = sides.free
    assert "got" in attacker.tries("take memory")
    attacker, _ = sides.confined
    assert attacker.tries("take memory") == {"refused": "ENOMEM"}
    assert sides.refused("take a memory file"), "which no bound would count"


def test_the_priority_and_the_cores_of_a_sibling_cannot_be_changed(sides: Sides) -> None:
    assert sides.refused("their priority")
    assert sides.refused("their cores")


def test_no_credential_of_the_platform_reaches_an_instance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "SLBENCH_TOKENS", "DATABASE_URL", "TORCH_TOKEN")
    for name in names:
        monkeypatch.setenv(name, "a-credential")
    popen, sock = start_process(INSTANCE)
    attacker = Attacker(sock)
    environment = attacker.tries("own environment")["got"]
    assert "PATH" in environment
    assert "a-credential" not in environment
    attacker.channel.close()
    popen.wait()


def test_where_a_measure_cannot_be_taken_no_instance_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unavailable() -> None:
        raise OSError(errno.ENOSYS, "the kernel has no such thing")

    monkeypatch.setitem(confine.MEASURES["cpu"], "no core files", unavailable)  # type: ignore[arg-type]
    ours, theirs = wire.pair()
    pid = os.fork()
    if pid == 0:
        process.become(roles.INSTANCE, theirs, "cpu")
    theirs.close()
    received = Channel(ours, roles.INSTANCE.says).receive(TIMEOUT_MS)
    assert received is not None
    assert isinstance(received[0], Failed), "and never 'started'"
    assert "no core files" in received[0].reason
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
