"""The host tier parses each adapter once, keeps what fits, and fails one function at a time."""

from __future__ import annotations

import asyncio
import mmap
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from safetensors.torch import load_file, save_file

from systems.engine.adapter import read_adapter
from systems.engine.adapter_files import CONFIG, WEIGHTS
from systems.engine.config import ModelConfig
from systems.engine.dtypes import torch_dtype
from systems.engine.packed import SlotShape as EngineShape
from systems.engine.packed import pack
from systems.engine.packed_size import packed_bytes
from systems.runtime import channel as wire
from systems.runtime import liveness
from systems.runtime.channel import AsyncChannel, Channel
from systems.runtime.children import Child, kill
from systems.runtime.incoming import Incoming
from systems.runtime.liveness import LivenessMonitor, Monitored
from systems.runtime.messages import Failed
from systems.runtime.processes import Processes
from systems.serverless.live import roles
from systems.serverless.live.adapters import memory_file, parsing
from systems.serverless.live.adapters import tier as tier_module
from systems.serverless.live.adapters.messages import ParseAdapter
from systems.serverless.live.adapters.tier import AdapterTier
from systems.serverless.live.plan import Plan
from systems.serverless.live.roles import PARSER
from systems.serverless.options import MOST_PARSERS

from . import flawed
from .conftest import PATIENCE_S, SHAPE, Forks, use, uses

GIB = 1 << 30
Request = Callable[[str], ParseAdapter]


def packed_here(plan: Plan, function: str, dtype: str = "float32") -> bytes:
    config = plan.layouts["tiny"].config
    shape = EngineShape.of(config, SHAPE.rank, SHAPE.targets, torch_dtype(dtype))
    stored = read_adapter(plan.adapters[function].path, config)
    return pack(stored, shape).numpy().tobytes()


@pytest.mark.parametrize("targets", [("q_proj",), ("gate_proj", "down_proj"), SHAPE.targets])
def test_the_size_is_known_without_torch(plan: Plan, targets: tuple[str, ...]) -> None:
    config: ModelConfig = plan.layouts["tiny"].config
    for dtype in ("float32", "float16"):
        shape = EngineShape.of(config, 4, targets, torch_dtype(dtype))
        known = packed_bytes(config, 4, targets, dtype)
        assert known == shape.nbytes


def test_what_it_holds_is_what_packing_here_gives(
    forks: Forks, plan: Plan, request_of: Request
) -> None:
    async def scene() -> None:
        sizes = [0]
        tier = AdapterTier(request_of, forks.of(), GIB, sizes.append)
        found = await uses(tier, "f0", "f1", "f2", "f3")
        assert sizes[-1] == tier.nbytes
        assert sizes == sorted(set(sizes)), "adapters count while they are parsed, and once"
        assert found == [packed_here(plan, name) for name in ("f0", "f1", "f2", "f3")]
        assert (tier.adapters, tier.nbytes) == (4, sum(map(len, found)))
        assert tier.children == []
        tier.close()
        assert (tier.adapters, tier.nbytes) == (0, 0)

    forks.play(scene())


@pytest.mark.live
def test_a_system_that_does_not_fork_parses_in_a_new_interpreter(
    plan: Plan, request_of: Request
) -> None:
    async def scene() -> None:
        tier = AdapterTier(request_of, partial(Processes("cpu", roles.TEMPLATE).begin, PARSER), GIB)
        assert await use(tier, "f0") == packed_here(plan, "f0")
        tier.close()

    asyncio.run(asyncio.wait_for(scene(), PATIENCE_S))


def test_it_packs_in_the_dtype_in_which_a_card_computes(
    forks: Forks, plan: Plan, request_of: Request
) -> None:
    def halved(function: str) -> ParseAdapter:
        asked = request_of(function)
        nbytes = len(packed_here(plan, function, "float16"))
        return msgspec.structs.replace(asked, dtype="float16", nbytes=nbytes)

    async def scene() -> None:
        tier = AdapterTier(halved, forks.of(), GIB)
        assert await use(tier, "f0") == packed_here(plan, "f0", "float16")
        tier.close()

    forks.play(scene())


def test_concurrent_and_later_uses_parse_once(forks: Forks, request_of: Request) -> None:
    asked: list[str] = []

    def request(function: str) -> ParseAdapter:
        asked.append(function)
        return request_of(function)

    async def scene() -> None:
        tier = AdapterTier(request, forks.of(), GIB)
        first, second = await uses(tier, "f0", "f0")
        assert first == second == await use(tier, "f0")
        assert asked == ["f0"]
        tier.close()

    forks.play(scene())


def _recorded(request_of: Request) -> tuple[list[str], Request]:
    asked: list[str] = []

    def request(function: str) -> ParseAdapter:
        asked.append(function)
        return request_of(f"f{int(function[1:]) % 4}")

    return asked, request


def test_an_adapter_that_was_prepared_is_not_parsed_at_its_use(
    forks: Forks, plan: Plan, request_of: Request
) -> None:
    asked, request = _recorded(request_of)

    async def scene() -> None:
        tier = AdapterTier(request, forks.of(), GIB)
        tier.prepare("f0")
        tier.prepare("f0")
        assert await use(tier, "f0") == packed_here(plan, "f0"), "it is being parsed"
        tier.prepare("f0")
        assert await use(tier, "f0") == packed_here(plan, "f0")
        assert asked == ["f0"]
        tier.close()

    forks.play(scene())


def test_what_is_used_or_prepared_again_is_parsed_first(forks: Forks, request_of: Request) -> None:
    asked, request = _recorded(request_of)
    ahead = [f"f{i}" for i in range(MOST_PARSERS + 4)]

    async def scene() -> None:
        tier = AdapterTier(request, forks.of(), GIB)
        for function in ahead:
            tier.prepare(function)
        tier.prepare(ahead[-1])
        found = await uses(tier, ahead[-2], "f99")
        assert all(isinstance(each, bytes) for each in found)
        assert asked[:MOST_PARSERS] == ahead[:MOST_PARSERS]
        assert asked[MOST_PARSERS : MOST_PARSERS + 3] == [ahead[-1], ahead[-2], "f99"]
        assert len(set(asked)) == len(asked)
        tier.close()

    forks.play(scene())


def test_the_first_use_tells_why_an_adapter_could_not_be_prepared(
    forks: Forks, folders: dict[str, Path], request_of: Request
) -> None:
    _of_no_numbers(folders["f1"])
    asked, request = _recorded(request_of)

    async def scene() -> None:
        tier = AdapterTier(request, forks.of(), GIB)
        tier.prepare("f1")
        while tier.children:
            await asyncio.sleep(0.005)
        line = await use(tier, "f1")
        assert isinstance(line, str)
        assert "values that are not finite numbers" in line
        tier.prepare("f1")
        assert asked == ["f1"], "it failed a short time ago"
        tier.close()

    forks.play(scene())


def test_only_so_many_parse_at_the_same_time(
    forks: Forks, request_of: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 0

    async def scene() -> None:
        tier = AdapterTier(lambda name: request_of(f"f{int(name) % 4}"), start, GIB)
        nonlocal tier_
        tier_ = tier
        found = await uses(tier, *map(str, range(MOST_PARSERS + 3)))
        assert all(isinstance(each, bytes) for each in found)
        assert most == MOST_PARSERS
        tier.close()

    tier_: AdapterTier | None = None
    begin = forks.of()

    def start(*callbacks: object) -> Child:
        nonlocal most
        assert tier_ is not None
        child = begin(*callbacks)  # type: ignore[arg-type]
        most = max(most, len(tier_.children) + 1)
        return child

    forks.play(scene())


# -- adapters and parsers that fail ---------------------------------------------------------------


def _of_no_numbers(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    next(iter(weights.values()))[0, 0] = float("nan")
    save_file(weights, folder / WEIGHTS)


def _far_too_large(folder: Path) -> None:
    os.truncate(folder / WEIGHTS, 1 << 43)


def _corrupt(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"\x10\0\0\0\0\0\0\0{" + b"[" * 4096)


def _gone(folder: Path) -> None:
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_of_no_numbers, "values that are not finite numbers"),
        (_far_too_large, "peft cannot load it"),
        (_corrupt, "corrupt safetensors header"),
        (_gone, f"no {CONFIG}"),
    ],
)
def test_an_adapter_that_cannot_be_parsed_fails_its_function_alone(
    damage: Callable[[Path], None],
    reason: str,
    forks: Forks,
    folders: dict[str, Path],
    request_of: Request,
) -> None:
    damage(folders["f1"])

    async def scene() -> None:
        tier = AdapterTier(request_of, forks.of(), GIB)
        good, bad = await uses(tier, "f0", "f1")
        assert isinstance(good, bytes)
        assert isinstance(bad, str)
        assert bad.startswith("f1: its adapter cannot be used: ")
        assert reason in bad
        assert "\n" not in bad
        assert tier.adapters == 1
        tier.close()

    forks.play(scene())


def test_an_adapter_that_always_fails_costs_a_tenth_of_a_parser_however_often_it_is_called(
    forks: Forks, folders: dict[str, Path], request_of: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a high rate its calls kept all parsers busy, and first uses of others waited."""
    _corrupt(folders["f1"])
    clock = SimpleNamespace(now_s=100.0, monotonic=lambda: clock.now_s)
    for module in (tier_module, parsing):
        monkeypatch.setattr(module, "time", clock)
    asked: list[str] = []

    def request(function: str) -> ParseAdapter:
        asked.append(function)
        return request_of(function)

    async def scene() -> None:
        tier = AdapterTier(request, forks.of(), GIB)
        failing = asyncio.ensure_future(use(tier, "f1"))
        await asyncio.sleep(0)
        clock.now_s += 2
        line = await failing
        for clock.now_s in (102.0, 110.0, 119.9):
            found = await uses(tier, "f1", "f1", "f0")
            assert found[:2] == [line, line]
            assert isinstance(found[2], bytes)
            assert tier.children == []
        assert asked == ["f1", "f0"]
        clock.now_s = 120.1
        assert await use(tier, "f1") == line
        assert asked == ["f1", "f0", "f1"]
        tier.close()

    forks.play(scene())


def test_an_exchanged_adapter_is_refused(
    forks: Forks, folders: dict[str, Path], request_of: Request
) -> None:
    deployed = request_of("f1")
    shutil.copy(folders["f2"] / WEIGHTS, folders["f1"] / WEIGHTS)

    async def scene() -> None:
        tier = AdapterTier(lambda function: deployed, forks.of(), GIB)
        line = await use(tier, "f1")
        assert isinstance(line, str)
        assert "changed since it was deployed" in line
        tier.close()

    forks.play(scene())


@pytest.mark.parametrize(
    ("role", "reason"),
    [
        (flawed.CRASHING, "killed by SIGSEGV"),
        (flawed.SAYING_NOTHING, "exit status 0"),
        (flawed.SAYING_SOMETHING_ELSE, "it sent an invalid message"),
        (flawed.REPEATING, "a second result"),
        (flawed.SEALING, "cannot be sealed"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_parser_that_ends_badly_fails_its_function_once(
    role: flawed.Role,
    reason: str,
    forks: Forks,
    plan: Plan,
    request_of: Request,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tier_module, "REST", 0.0)

    async def scene() -> None:
        tier = AdapterTier(request_of, forks.of(role), GIB)
        before = len(os.listdir("/proc/self/fd"))
        line = await use(tier, "f1")
        assert isinstance(line, str)
        assert line.startswith("f1: ")
        assert reason in line
        assert (tier.adapters, tier.nbytes) == (0, 0)
        assert len(os.listdir("/proc/self/fd")) == before, "a descriptor is left"
        assert await use(tier, "f1") == packed_here(plan, "f1"), "the next use tries again"
        tier.close()

    forks.play(scene())


def test_a_silent_parser_is_given_up(
    forks: Forks, request_of: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "EVERY_S", 0.05)

    def give_up(child: Monitored, reason: str) -> None:
        assert isinstance(child, Child)
        child.verdict = reason
        kill(child)

    async def scene() -> None:
        tier = AdapterTier(request_of, forks.of(flawed.SILENT), GIB)
        monitor = LivenessMonitor(lambda: tier.children, give_up)
        line = await use(tier, "f1")
        assert isinstance(line, str)
        assert "silent for" in line
        monitor.close()
        tier.close()

    forks.play(scene())


def test_a_parser_that_is_busy_without_end_is_ended(
    forks: Forks, request_of: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The liveness monitor takes it for alive; four of them would keep all others waiting."""
    monkeypatch.setattr(parsing, "MOST_S", 0.2)

    async def scene() -> None:
        tier = AdapterTier(request_of, forks.of(flawed.BUSY), GIB)
        line = await use(tier, "f1")
        assert line == "f1: its adapter cannot be used: its parser: it was not done after 0.2 s"
        tier.close()

    forks.play(scene())


def test_what_a_parser_gives_as_its_reason_is_one_printable_line_of_a_bounded_length(
    forks: Forks, folders: dict[str, Path], request_of: Request
) -> None:
    said = Failed("one\ntwo \x1b[2J" + "x" * 10_000)

    async def scene() -> None:
        tier = AdapterTier(request_of, forks.of(flawed.SILENT), GIB)
        line = asyncio.ensure_future(use(tier, "f1"))
        await asyncio.sleep(0)
        (child,) = tier.children
        child.on_message(said, [])
        kill(child)
        found = await line
        assert isinstance(found, str)
        assert found.startswith("f1: its adapter cannot be used: one two [2Jx")
        assert found.isprintable()
        assert len(found) < 1000
        tier.close()

    forks.play(scene())


# -- memory files ---------------------------------------------------------------------------------


def test_nobody_writes_what_is_sealed_not_even_the_platform(
    forks: Forks, request_of: Request
) -> None:
    async def scene() -> None:
        tier = AdapterTier(request_of, forks.of(), GIB)
        before = await use(tier, "f0")

        def attack(fd: int, nbytes: int) -> None:
            with pytest.raises(PermissionError):
                os.pwrite(fd, b"x", 0)
            with pytest.raises(PermissionError):
                os.ftruncate(fd, 0)
            with pytest.raises(PermissionError):
                mmap.mmap(fd, nbytes, flags=mmap.MAP_SHARED, prot=mmap.PROT_WRITE)
            again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
            with pytest.raises(PermissionError):
                os.pwrite(again, b"x", 0)
            os.close(again)

        tier.get("f0", attack, pytest.fail)
        assert await use(tier, "f0") == before
        tier.close()

    forks.play(scene())


def test_a_file_that_is_not_sealed_is_not_mapped() -> None:
    fd = memory_file.create(4096)
    with pytest.raises(PermissionError, match="not sealed"):
        memory_file.map_sealed(fd, 4096)
    os.close(fd)


def test_a_parser_that_leaves_a_writable_mapping_is_not_believed(
    forks: Forks, folders: dict[str, Path], request_of: Request
) -> None:
    """The process that it leaves behind would write into the adapter after it was checked."""
    leash = folders["f1"] / flawed.LEASH
    os.mkfifo(leash)

    async def scene() -> None:
        tier = AdapterTier(request_of, forks.of(flawed.LEAVING), GIB)
        line = await use(tier, "f1")
        assert isinstance(line, str)
        assert "cannot be sealed: Device or resource busy" in line
        assert tier.adapters == 0
        leash.write_bytes(b"")
        tier.close()

    forks.play(scene())


def test_a_parser_that_keeps_its_mapping_and_stays_is_ended_and_not_believed(
    forks: Forks, request_of: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsing, "GRACE_S", 0.1)

    async def scene() -> None:
        tier = AdapterTier(request_of, forks.of(flawed.LINGERING), GIB)
        line = await use(tier, "f1")
        assert isinstance(line, str)
        assert "it did not end after its result" in line
        tier.close()

    forks.play(scene())


def test_the_least_recently_used_goes_first(forks: Forks, request_of: Request) -> None:
    asked: list[str] = []

    def request(function: str) -> ParseAdapter:
        asked.append(function)
        return request_of(function)

    async def scene() -> None:
        nbytes = request_of("f0").nbytes
        tier = AdapterTier(request, forks.of(), 2 * nbytes)
        for function in ("f0", "f1", "f0", "f2"):
            await use(tier, function)
        assert (tier.adapters, tier.nbytes) == (2, 2 * nbytes)
        await use(tier, "f0")
        assert asked == ["f0", "f1", "f2"], "f1 was used before f0"
        await use(tier, "f1")
        assert asked == ["f0", "f1", "f2", "f1"]
        tier.close()

    forks.play(scene())


def test_what_is_being_sent_arrives_although_it_is_evicted(
    forks: Forks, plan: Plan, request_of: Request
) -> None:
    """The instance's channel is full, so the message and its descriptor wait in the gateway."""

    async def scene() -> None:
        tier = AdapterTier(request_of, forks.of(), 0)
        ours, theirs = wire.pair()
        hears = Incoming(Failed, descriptors=1, most_bytes=64 << 10)
        channel = AsyncChannel(ours, hears, print, print)
        filling = 0
        while not channel._outbox:
            channel.send(Failed("x" * 30_000))
            filling += 1
        sent = asyncio.Event()

        def send(fd: int, nbytes: int) -> None:
            channel.send(Failed("the adapter"), [fd])
            sent.set()

        tier.get("f0", send, pytest.fail)
        await sent.wait()
        await asyncio.sleep(0)
        assert tier.adapters == 0, "it does not fit"
        instance = Channel(theirs, hears)
        for _ in range(filling):
            assert instance.receive(0)
            await asyncio.sleep(0)
        received = instance.receive(1000)
        assert received is not None
        with memory_file.map_sealed(received[1][0], request_of("f0").nbytes) as mapping:
            assert bytes(mapping) == packed_here(plan, "f0")
        wire.close_all(received[1])
        channel.close()
        instance.close()
        tier.close()

    forks.play(scene())


def test_closing_ends_parsers_and_closes_every_descriptor(
    forks: Forks, request_of: Request
) -> None:
    async def scene() -> None:
        before = len(os.listdir("/proc/self/fd"))
        tier = AdapterTier(request_of, forks.of(PARSER, flawed.SILENT), GIB)
        await use(tier, "f0")
        tier.get("f1", pytest.fail, pytest.fail)
        (child,) = tier.children
        tier.close()
        assert tier.children == []
        while not child.ended:
            await asyncio.sleep(0.005)
        assert len(os.listdir("/proc/self/fd")) == before

    forks.play(scene())
