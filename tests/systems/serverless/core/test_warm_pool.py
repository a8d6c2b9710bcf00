"""The warm pool: the number of prewarmed processes, whatever their kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from systems.serverless.core.artifacts import CopyKey
from systems.serverless.core.events import PrewarmedReady
from systems.serverless.core.warm_pool import PATIENCE_S, WarmPool

KEY = CopyKey("b", "cuda:0")


@dataclass(eq=False)
class Step:
    """A prewarmed process whose progress the test sets."""

    copy: CopyKey
    done: int = 0
    took_ns: int = 700

    @property
    def ready(self) -> bool:
        return self.done == 2


@dataclass
class Maker:
    made: list[Step] = field(default_factory=list)

    def __call__(self, key: CopyKey) -> Step:
        self.made.append(Step(key))
        return self.made[-1]


def unheard(event: PrewarmedReady) -> None:
    """Ignore how many are ready."""


def never(seconds: float, then: Callable[[], None]) -> None:
    raise AssertionError(f"nothing is busy, yet {then} waits for {seconds} s")


@pytest.mark.parametrize("how", ["taken", "dropped"])
def test_one_that_is_a_spare_no_longer_calls_for_no_other_when_it_is_ready(how: str) -> None:
    make = Maker()
    pool = WarmPool(2, make, never, unheard)
    pool.refill(KEY)
    (prewarmed_process,) = make.made
    if how == "taken":
        assert pool.take("b", "cuda:0") is prewarmed_process
    else:
        assert pool.drop(KEY) == [prewarmed_process]
    prewarmed_process.done = 2
    pool.became_ready(prewarmed_process)
    assert make.made == [prewarmed_process]


def test_none_is_kept_where_none_is_asked_for_and_none_where_none_can_be_made() -> None:
    make = Maker()
    WarmPool(0, make, never, unheard).refill(KEY)
    assert make.made == []
    pool: WarmPool[Step] = WarmPool(1, lambda _: None, never, unheard)
    pool.refill(KEY)
    assert pool.prewarmed == []


def test_a_replaced_process_that_lives_takes_a_place() -> None:
    make = Maker()
    pool = WarmPool(1, make, never, unheard)
    assert pool.replace(KEY) is None
    pool.refill(KEY)
    (first,) = make.made
    assert pool.replace(KEY) is None, "it is not ready"
    first.done = 2
    assert pool.replace(KEY) is first
    pool.refill(KEY)
    assert make.made == [first], "the replaced process still holds its memory"
    pool.replaced_ended(KEY)
    pool.refill(KEY)
    assert len(make.made) == 2


def test_the_most_complete_process_is_taken() -> None:
    make = Maker()
    pool = WarmPool(3, make, never, unheard)
    for done in (0, 2, 1):
        make(KEY).done = done
    pool.prewarmed = list(make.made)
    assert [taken.done for _ in range(3) if (taken := pool.take("b", "cuda:0"))] == [2, 1, 0]
    assert pool.take("b", "cuda:0") is None


def test_a_process_that_ended_is_in_the_pool_no_more() -> None:
    make = Maker()
    pool = WarmPool(1, make, never, unheard)
    pool.refill(KEY)
    for _ in range(2):
        pool.lose(make.made[0])
        assert pool.prewarmed == []
    pool.refill(KEY)
    assert pool.prewarmed == make.made[1:]


def test_the_number_that_are_ready_is_told_when_it_changes() -> None:
    make, told = Maker(), list[PrewarmedReady]()
    pool = WarmPool(3, make, never, told.append)
    pool.refill(KEY)
    assert told == [], "it is being made"
    for _ in range(3):
        make.made[-1].done = 2
        pool.became_ready(make.made[-1])
    assert told == [PrewarmedReady(KEY, ready, 700) for ready in (1, 2, 3)]
    pool.take("b", "cuda:0")
    assert pool.replace(KEY) is not None
    pool.lose(pool.prewarmed[0])
    assert told[3:] == [PrewarmedReady(KEY, ready) for ready in (2, 1, 0)]
    pool.fill(KEY, [Step(KEY, done=2), Step(KEY, done=2)])
    pool.drop(KEY)
    pool.drop(KEY)
    assert told[6:] == [PrewarmedReady(KEY, 2, 700), PrewarmedReady(KEY, 0)]


def test_of_one_that_was_never_ready_nothing_is_told() -> None:
    make, told = Maker(), list[PrewarmedReady]()
    pool = WarmPool(1, make, never, told.append)
    pool.refill(KEY)
    assert pool.take("b", "cuda:0") is make.made[0]
    make.made[0].done = 2
    pool.became_ready(make.made[0])
    pool.refill(KEY)
    pool.lose(make.made[1])
    assert told == []


@dataclass
class Busy:
    """A pool of three on a busy device, and its timers."""

    make: Maker = field(default_factory=Maker)
    timers: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pool = WarmPool(3, self.make, lambda s, then: self.timers.append((s, then)), unheard)
        self.pool.device_work(KEY.device, busy=True)
        self.pool.refill(KEY)

    def ready(self) -> None:
        self.make.made[-1].done = 2
        self.pool.became_ready(self.make.made[-1])


def test_beside_work_the_fuller_pool_waits_longer_and_the_empty_one_not() -> None:
    busy = Busy()
    assert len(busy.make.made) == 1, "an empty pool does not wait"
    busy.ready()
    busy.pool.refill(KEY)
    assert len(busy.make.made) == 1
    assert [seconds for seconds, _ in busy.timers] == [PATIENCE_S], "it waits once"
    busy.timers[-1][1]()
    assert len(busy.make.made) == 2, "its patience is bounded"
    busy.ready()
    assert busy.timers[-1][0] == 2 * PATIENCE_S


def test_an_idle_device_ends_the_wait_and_its_timer_makes_no_more() -> None:
    busy = Busy()
    busy.ready()
    busy.pool.device_work("cuda:1", busy=False)
    assert len(busy.make.made) == 1
    busy.pool.device_work(KEY.device, busy=False)
    assert len(busy.make.made) == 2
    busy.pool.device_work(KEY.device, busy=True)
    busy.ready()
    busy.timers[0][1]()  # belongs to the wait that the idle device ended
    busy.timers[0][1]()
    assert len(busy.make.made) <= 3


@pytest.mark.parametrize("end", ["drop", "close"])
def test_what_waits_is_not_made_after_the_end(end: str) -> None:
    busy = Busy()
    busy.ready()
    if end == "drop":
        busy.pool.drop(KEY)
    else:
        busy.pool.close()
    busy.timers[0][1]()
    busy.pool.device_work(KEY.device, busy=False)
    assert len(busy.make.made) == 1
