"""The last minutes of every GPU, for pages: a thread asks the driver now and then, so that nobody waits for it.

The thread begins at the first look and ends when nobody has looked for a while.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from em_core import machine
from em_core.nvml import GpuUse

EVERY_S = 2.0
KEPT = 150
"""Readings: five minutes."""
_UNWATCHED_S = 600.0
_FIRST_S = 0.3


@dataclass(frozen=True, slots=True)
class GpuTrace:
    """One GPU now and before.

    Args:
        now: The newest reading.
        util_percent: Share of the moment in which it computed, 0-100, oldest first; None where the driver does not say.
        used_gib: Memory that is taken, by whomever, GiB.
        temperature_c: Degrees Celsius.
        power_w: Watts drawn.
    """

    now: GpuUse
    util_percent: tuple[int | None, ...] = ()
    used_gib: tuple[float, ...] = ()
    temperature_c: tuple[int | None, ...] = ()
    power_w: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look shows.

    Args:
        gpus: The GPUs of this machine; none without one.
        problem: What is wrong with the driver; empty when nothing is.
        asked: Whether there was an answer yet.
    """

    gpus: tuple[GpuTrace, ...] = ()
    problem: str = ""
    asked: bool = False


@dataclass(slots=True)
class _Kept:
    now: GpuUse
    readings: deque[tuple[int | None, float, int | None, float | None]] = field(default_factory=lambda: deque(maxlen=KEPT))


class GpuHistory:
    """Asks the driver every few seconds while somebody looks.

    Args:
        ask: The GPUs now, and what is wrong.
        every_s: Between two questions.
        unwatched_s: The asking ends when nobody has looked for so long; what was seen is forgotten then.
    """

    def __init__(
        self,
        ask: Callable[[], tuple[tuple[GpuUse, ...], str]] = machine.ask_usage,
        every_s: float = EVERY_S,
        unwatched_s: float = _UNWATCHED_S,
    ) -> None:
        self._ask, self._every_s, self._unwatched_s = ask, every_s, unwatched_s
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._answered = threading.Event()
        self._looked = time.monotonic()
        self._gpus: dict[tuple[int, str], _Kept] = {}
        self._problem = ""

    def look(self) -> Seen:
        """What is known; the first look waits a moment for the first answer, a later one never."""
        with self._lock:
            self._looked = time.monotonic()
            first = self._thread is None or not self._thread.is_alive()
            if first:
                self._gpus, self._problem = {}, ""
                self._answered.clear()
                self._thread = threading.Thread(target=self._work, name="GPU history", daemon=True)
                self._thread.start()
        self._answered.wait(_FIRST_S if first else 0)
        with self._lock:
            gpus = tuple(_trace(kept) for kept in self._gpus.values())
            return Seen(gpus, self._problem, self._answered.is_set())

    def _work(self) -> None:
        while True:
            try:
                found, problem = self._ask()
            except Exception as error:  # a driver can fail in any way; the page says so and goes on
                found, problem = (), f"the GPUs could not be asked ({type(error).__name__})"
            with self._lock:
                self._note(found, problem)
                self._answered.set()
                if time.monotonic() - self._looked > self._unwatched_s:
                    self._thread = None  # before the lock is free, so that the next look begins anew
                    return
            time.sleep(self._every_s)

    def _note(self, found: tuple[GpuUse, ...], problem: str) -> None:
        before, self._problem = self._gpus, problem
        self._gpus = {}
        for gpu in found:
            key = (gpu.index, gpu.uuid)  # an old tool tells no uuid, and slices share their GPU's number
            kept = before.get(key) or _Kept(gpu)
            kept.now = gpu
            kept.readings.append((gpu.util_percent, gpu.used_gib, gpu.temperature_c, gpu.power_w))
            self._gpus[key] = kept


def _trace(kept: _Kept) -> GpuTrace:
    util, used, temperature, power = zip(*kept.readings, strict=True)
    return GpuTrace(kept.now, util, used, temperature, power)


_history = GpuHistory()


def look() -> Seen:
    """The GPUs of this machine, now and in the last minutes in which somebody looked."""
    return _history.look()
