"""How many calls may be in flight: grows, is cut once per burst, stops when told."""

from __future__ import annotations

import asyncio
import time

import pytest

from em_core.judges.throttle import Closed, Throttle


def full_round(throttle: Throttle) -> None:
    """One round trip with the limit in use: every call in flight succeeds."""
    for _ in range(int(throttle.limit)):
        throttle.in_use = int(throttle.limit)  # waiting calls take what is free
        throttle.succeeded()
    throttle.in_use = 0


def test_it_starts_at_twenty_or_the_maximum() -> None:
    assert Throttle(64).limit == 20
    assert Throttle(3).limit == 3


def test_it_grows_a_quarter_per_round_trip_up_to_the_maximum() -> None:
    throttle = Throttle(64)
    full_round(throttle)
    assert throttle.limit == pytest.approx(25, abs=0.5)
    for _ in range(20):
        full_round(throttle)
    assert throttle.limit == 64


def test_an_unused_limit_does_not_grow() -> None:
    throttle = Throttle(64)
    throttle.in_use = 2
    for _ in range(100):
        throttle.succeeded()
    assert throttle.limit == 20


def test_a_burst_of_429s_cuts_once_and_a_later_one_again() -> None:
    throttle = Throttle(64)
    sent = time.monotonic()
    for _ in range(10):
        throttle.rate_limited(sent, None)
    assert throttle.limit == pytest.approx(16)
    assert (throttle.episodes, throttle.n_rate_limited) == (1, 10)
    throttle.rate_limited(time.monotonic() + 1, None)
    assert throttle.limit == pytest.approx(12.8)


def test_after_a_429_it_returns_close_to_the_mark_and_then_probes_slowly() -> None:
    throttle = Throttle(64)
    throttle.limit = 40
    throttle.rate_limited(time.monotonic(), None)
    for _ in range(2):
        full_round(throttle)
    assert throttle.limit == pytest.approx(0.97 * 40, abs=0.2)
    for _ in range(8):
        full_round(throttle)
    assert throttle.limit < 0.97 * 40 + 1.5
    for _ in range(60):  # no 429 any more: the server can do more now
        full_round(throttle)
    assert throttle.limit == 64


def test_it_never_goes_below_one() -> None:
    throttle = Throttle(64)
    for i in range(50):
        throttle.rate_limited(time.monotonic() + i, None)
    assert throttle.limit == 1


def test_calls_take_turns_in_order_and_never_exceed_the_limit() -> None:
    async def run() -> tuple[list[int], int]:
        throttle, order, most = Throttle(2), [], 0

        async def call(i: int) -> None:
            nonlocal most
            async with throttle.slot():
                order.append(i)
                most = max(most, throttle.in_use)
                await asyncio.sleep(0.001)

        await asyncio.gather(*(call(i) for i in range(9)))
        return order, most

    order, most = asyncio.run(run())
    assert order == list(range(9))
    assert most == 2


def test_a_cancelled_call_gives_its_turn_back() -> None:
    async def run() -> int:
        throttle = Throttle(1)

        async def call(wait_s: float) -> None:
            async with throttle.slot():
                await asyncio.sleep(wait_s)

        first, second, third = (asyncio.create_task(call(s)) for s in (0.01, 10, 0))
        await asyncio.sleep(0.02)
        second.cancel()
        await asyncio.wait_for(third, 1)
        await first
        return throttle.in_use

    assert asyncio.run(run()) == 0


def test_in_a_storm_new_calls_wait_for_retry_after() -> None:
    async def run() -> float:
        throttle = Throttle(2)
        for _ in range(3):
            throttle.rate_limited(time.monotonic(), 0.2)
        began = time.monotonic()
        async with throttle.slot():
            return time.monotonic() - began

    assert asyncio.run(run()) >= 0.19


def test_closing_turns_waiting_and_new_calls_away() -> None:
    async def run() -> list[object]:
        throttle = Throttle(1)

        async def call() -> str:
            async with throttle.slot():
                await asyncio.sleep(0.02)
                return "done"

        running = [asyncio.create_task(call()) for _ in range(3)]
        await asyncio.sleep(0.005)
        throttle.close()
        late = asyncio.create_task(call())
        return await asyncio.gather(*running, late, return_exceptions=True)

    first, *others = asyncio.run(run())
    assert first == "done"
    assert all(isinstance(other, Closed) for other in others)
