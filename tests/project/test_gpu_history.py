"""The last minutes of the GPUs: nobody waits for the driver, and nobody asks it when nobody looks."""

from __future__ import annotations

import threading
import time

from em_core.gpu_history import KEPT, GpuHistory
from em_core.nvml import GpuUse


class Driver:
    """Answers as it is told, and counts."""

    def __init__(self) -> None:
        self.n = 0
        self.answer: tuple[tuple[GpuUse, ...], str] = ((), "")
        self.hangs = threading.Event()
        self.hangs.set()

    def __call__(self) -> tuple[tuple[GpuUse, ...], str]:
        self.n += 1
        self.hangs.wait(10)
        return self.answer


def gpu(util: int | None, uuid: str = "GPU-0") -> GpuUse:
    return GpuUse(0, "card", uuid, 80.0, 20.0, util, 50, 300.0, 700.0)


def until(condition, seconds: float = 5.0) -> None:  # type: ignore[no-untyped-def]
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_readings_gather_while_somebody_looks() -> None:
    driver = Driver()
    driver.answer = ((gpu(10),), "")
    history = GpuHistory(driver, every_s=0.01, unwatched_s=5.0)
    seen = history.look()
    assert seen.asked
    driver.answer = ((gpu(90),), "")
    until(lambda: history.look().gpus[0].now.util_percent == 90)
    trace = history.look().gpus[0]
    assert trace.util_percent[0] == 10
    assert trace.util_percent[-1] == 90
    assert set(trace.used_gib) == {60.0}
    until(lambda: driver.n > KEPT + 10)
    assert len(history.look().gpus[0].util_percent) == KEPT


def test_a_driver_that_hangs_holds_up_nobody_for_long() -> None:
    driver = Driver()
    driver.hangs.clear()
    history = GpuHistory(driver, every_s=0.01, unwatched_s=5.0)
    began = time.monotonic()
    for _ in range(20):
        assert not history.look().asked
    assert time.monotonic() - began < 1, "only the first look waits a moment"
    assert driver.n == 1
    driver.hangs.set()
    until(lambda: history.look().asked)


def test_no_gpu_and_a_broken_driver_are_told_apart_and_a_lost_gpu_is_gone() -> None:
    driver = Driver()
    history = GpuHistory(driver, every_s=0.01, unwatched_s=5.0)
    assert (history.look().gpus, history.look().problem) == ((), "")
    driver.answer = ((gpu(None), gpu(5, "GPU-1")), "")
    until(lambda: len(history.look().gpus) == 2)
    driver.answer = ((), "the driver does not answer")
    until(lambda: history.look().problem)
    assert history.look().gpus == ()


def test_nobody_asks_when_nobody_looks_and_the_next_look_begins_anew() -> None:
    driver = Driver()
    driver.answer = ((gpu(1),), "")
    history = GpuHistory(driver, every_s=0.01, unwatched_s=0.1)
    history.look()
    time.sleep(0.4)
    n = driver.n
    time.sleep(0.2)
    assert driver.n == n
    assert len(history.look().gpus[0].util_percent) == 1


def test_an_error_of_the_driver_is_said_not_raised() -> None:
    def broken() -> tuple[tuple[GpuUse, ...], str]:
        raise RuntimeError("no")

    assert "RuntimeError" in GpuHistory(broken, every_s=0.01, unwatched_s=0.0).look().problem


def test_gpus_without_an_id_are_told_apart_by_their_numbers() -> None:
    gpus = tuple(GpuUse(number, "Tesla T4", "", 15.0, 15.0 - number) for number in range(2))
    seen = GpuHistory(lambda: (gpus, ""), unwatched_s=0.0).look()
    assert [(trace.now.index, trace.used_gib) for trace in seen.gpus] == [(0, (0.0,)), (1, (1.0,))]
