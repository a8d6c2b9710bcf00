"""The warm pool: the number of prewarmed processes, whatever their kind."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from systems.serverless.core.artifacts import CopyKey
from systems.serverless.core.warm_pool import WarmPool

KEY = CopyKey("b", "cuda:0")


@dataclass(eq=False)
class Step:
    """A prewarmed process whose progress the test sets."""

    copy: CopyKey
    done: int = 0

    @property
    def ready(self) -> bool:
        return self.done == 2


@dataclass
class Maker:
    made: list[Step] = field(default_factory=list)

    def __call__(self, key: CopyKey) -> Step:
        self.made.append(Step(key))
        return self.made[-1]


@pytest.mark.parametrize("how", ["taken", "dropped"])
def test_one_that_is_a_spare_no_longer_calls_for_no_other_when_it_is_ready(how: str) -> None:
    make = Maker()
    pool = WarmPool(2, make)
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
    WarmPool(0, make).refill(KEY)
    assert make.made == []
    pool: WarmPool[Step] = WarmPool(1, lambda _: None)
    pool.refill(KEY)
    assert pool.prewarmed == []
