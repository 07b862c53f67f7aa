from __future__ import annotations

import asyncio
import threading

from meshcourse.widgets.latest_only import Latest


async def test_only_the_newest_value_is_worked_on_and_never_two_at_once() -> None:
    done, running, most = [], 0, 0
    gate, started, last = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work(value: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        started.set()
        await gate.wait()
        running -= 1
        done.append(value)
        if value == 50:
            last.set()

    async with Latest(work) as latest:
        latest.offer(0)
        await started.wait()
        # Fifty more from another thread, as a drag does, while the first is still being worked on.
        thread = threading.Thread(target=lambda: [latest.offer(value) for value in range(1, 51)])
        thread.start()
        await asyncio.to_thread(thread.join)
        assert latest.waiting
        gate.set()
        async with asyncio.timeout(5):
            await last.wait()
    assert done == [0, 50]
    assert most == 1


async def test_value_offered_before_it_runs_is_worked_on_once_it_does() -> None:
    done = asyncio.Event()

    async def work(value: int) -> None:
        assert value == 1
        done.set()

    latest = Latest(work)
    latest.offer(1)
    async with latest, asyncio.timeout(5):
        await done.wait()


async def test_leaving_ends_the_work_in_hand() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def work(value: int) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with Latest(work) as latest:
        latest.offer(1)
        await started.wait()
    assert ended.is_set()
