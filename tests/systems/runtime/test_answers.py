"""What answers a request arrives in order, and one reader takes all that has come."""

from __future__ import annotations

import asyncio

import pytest

from systems.runtime.answers import Answers


def test_all_that_has_come_is_taken_at_once_and_in_order() -> None:
    async def scene() -> None:
        answers = Answers[int]()
        answers.put(1)
        answers.put(2)
        assert await answers.take() == [1, 2]
        assert answers.drain() == []

    asyncio.run(scene())


def test_a_reader_waits_for_the_first_and_takes_what_came_before_it_ran() -> None:
    async def scene() -> None:
        answers = Answers[int]()
        reader = asyncio.create_task(answers.take())
        await asyncio.sleep(0)
        answers.put(1)
        answers.put(2)
        assert await reader == [1, 2]
        reader = asyncio.create_task(answers.take())
        await asyncio.sleep(0)
        answers.put(3)
        assert await reader == [3]

    asyncio.run(scene())


def test_what_comes_after_a_reader_has_left_is_kept() -> None:
    async def scene() -> None:
        answers = Answers[int]()
        reader = asyncio.create_task(answers.take())
        await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        answers.put(1)
        assert answers.drain() == [1]

    asyncio.run(scene())
