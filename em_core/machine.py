"""What machine this is: its GPUs, and which versions a result came from."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import shutil
import socket
import subprocess
from dataclasses import dataclass

_PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate", "datasets", "duckdb", "openai")
_QUERY = ("index", "driver_version", "memory.total", "memory.free", "name")  # the name last: it may hold a comma


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
    """The GPUs that ``nvidia-smi`` lists, none when it is missing or broken; asks anew at each call, never torch."""
    return ask_gpus(timeout_s)[0]


def ask_gpus(timeout_s: float = 15.0) -> tuple[tuple[Gpu, ...], str]:
    """The GPUs, and what is wrong with ``nvidia-smi``: empty when it answered or is not installed.

    Args:
        timeout_s: How long it may take; a broken driver can hang for ever.
    """
    if not shutil.which("nvidia-smi"):
        return (), ""
    command = ["nvidia-smi", f"--query-gpu={','.join(_QUERY)}", "--format=csv,noheader,nounits"]
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError as error:
        return (), f"nvidia-smi cannot be run ({error.strerror})"
    try:
        output = process.communicate(timeout=timeout_s)[0].decode(errors="replace").strip()
    except subprocess.TimeoutExpired:
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1)  # no longer: one that hangs inside the driver cannot be killed
        return (), f"nvidia-smi did not answer within {timeout_s:g} s"
    finally:
        if process.stdout:
            process.stdout.close()
    found = tuple(gpu for gpu in map(_gpu, output.splitlines()) if gpu)
    if process.returncode or not found:
        return (), output or f"nvidia-smi listed no GPU (exit {process.returncode})"
    return found, ""


def _gpu(line: str) -> Gpu | None:
    fields = [field.strip() for field in line.split(",", len(_QUERY) - 1)]
    if len(fields) < len(_QUERY) or not fields[0].isdecimal():
        return None
    index, driver, total, free, name = fields
    return Gpu(int(index), name, _gib(total), _gib(free), driver)


def _gib(mib: str) -> float:
    return float(mib) / 1024 if mib.isdecimal() else 0.0  # else "[N/A]"


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
