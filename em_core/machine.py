"""What machine this is: its GPUs, who uses them now, and which versions a result came from."""

from __future__ import annotations

import importlib.metadata
import platform
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from em_core import nvidia_smi, nvml
from em_core.nvml import GpuProcess, GpuUse

__all__ = ["Gpu", "GpuProcess", "GpuUse", "ask_gpus", "ask_usage", "gpus", "host_facts", "usage"]

USAGE_WAIT_S = 2.0
_FRESH_S = 0.5
_STALE_S = 30.0
_PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate", "datasets", "duckdb", "openai")

Answer = tuple[tuple[GpuUse, ...], str | None]
"""The GPUs, and what is wrong: empty = nothing; None = there is no such way to ask here."""


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU.

    Args:
        index: Its number in PCI order, as ``CUDA_DEVICE_ORDER=PCI_BUS_ID`` counts.
        name: As its driver calls it.
        total_gib: Its memory, GiB; 0 when the driver does not say (memory shared with the CPU).
        free_gib: How much of that is free now, GiB.
        driver: Version of the driver.
    """

    index: int
    name: str
    total_gib: float
    free_gib: float
    driver: str


def gpus(timeout_s: float = 15.0) -> tuple[Gpu, ...]:
    """The GPUs (or MIG slices) of this machine, none when its driver is missing or broken; asks the driver, never torch."""
    return ask_gpus(timeout_s)[0]


def ask_gpus(timeout_s: float = 15.0) -> tuple[tuple[Gpu, ...], str]:
    """The GPUs, and why none can be used: empty when one can, or when there is no driver.

    Args:
        timeout_s: How long it may take; a broken driver can hang for ever.
    """
    found, problem = _library.ask(min(timeout_s, USAGE_WAIT_S))
    if not found:
        found, otherwise = nvidia_smi.ask(timeout_s)
        problem = otherwise or problem
    usable = tuple(Gpu(g.index, g.name, g.total_gib, g.free_gib, g.driver) for g in found if not g.problem)
    lost = "; ".join(f"GPU {g.index}: {g.problem}" for g in found)
    return usable, "" if usable else lost or problem or ""


def usage() -> tuple[GpuUse, ...]:
    """Memory, load, heat, power and programs of every GPU now; none without a GPU or when its driver does not answer."""
    return ask_usage()[0]


def ask_usage(timeout_s: float = USAGE_WAIT_S) -> tuple[tuple[GpuUse, ...], str]:
    """The same, and what is wrong. Never takes longer than `timeout_s`, whatever the driver does.

    While the driver is slow the last answer stands for half a minute.
    """
    started = time.monotonic()
    found, problem = _library.ask(timeout_s)
    if found or problem == HANGS:
        return found, problem or ""
    found, otherwise = _tool.ask(max(0.0, started + timeout_s - time.monotonic()))
    return found, "" if found else otherwise or problem or ""


HANGS = "the NVIDIA driver does not answer"


class _Reader:
    """Asks in a thread, one question at a time, so that nobody waits for a driver that hangs."""

    def __init__(self, question: Callable[[], Answer]) -> None:
        self._question = question
        self._lock = threading.Lock()
        self._asked: tuple[float, threading.Thread] | None = None
        self._answered: tuple[float, Answer] = (float("-inf"), ((), ""))

    def ask(self, timeout_s: float) -> Answer:
        """The answer: a new one, else the last one if it is young, else `HANGS`."""
        with self._lock:
            if time.monotonic() - self._answered[0] < _FRESH_S:
                return self._answered[1]
            if self._asked is None or not self._asked[1].is_alive():
                thread = threading.Thread(target=self._read, name="ask the NVIDIA driver", daemon=True)
                self._asked = (time.monotonic(), thread)
                thread.start()
            since, thread = self._asked
        thread.join(max(0.0, since + timeout_s - time.monotonic()))  # of one that hangs already, not again
        when, answer = self._answered
        if not thread.is_alive() or time.monotonic() - when < _STALE_S:
            return answer
        return (), HANGS

    def _read(self) -> None:
        try:
            answer = self._question()
        except Exception as error:  # another package that calls itself pynvml, say: the tool is asked instead
            answer = (), f"asking it failed ({type(error).__name__}: {error})"
        self._answered = (time.monotonic(), answer)


def _from_library() -> Answer:
    try:
        return nvml.read(), ""
    except nvml.Unavailable as why:
        return (), str(why) or None


_library = _Reader(_from_library)
_tool = _Reader(lambda: nvidia_smi.ask_all(15.0))


def host_facts() -> tuple[str, dict[str, str]]:
    """Host name, and versions of Python, the workbench and the packages that decide a result."""
    from em_core import __version__

    versions = {"em_workbench": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return socket.gethostname(), versions
