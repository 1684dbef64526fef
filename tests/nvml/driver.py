"""A driver for the tests: a small real library in the place of ``libnvidia-ml.so.1``, its GPUs written in a file."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pynvml
import pytest

from em_core import machine, nvidia_smi, nvml

_READ = nvml.read
SOURCE = Path(__file__).with_name("fake_nvml.c")


def build(folder: Path) -> Path:
    """Compile it; skips the test where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("no C compiler for the stand-in of NVIDIA's library")
    library = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-w", "-o", str(library), str(SOURCE)], check=True)
    return library


class Driver:
    """The library in this process, and the file that says what it finds.

    Args:
        library: The compiled one.
        folder: Where the file goes.
        monkeypatch: Puts everything back.
    """

    def __init__(self, library: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.library, self.file = library, folder / "gpus.txt"
        self.says("")
        monkeypatch.setenv("FAKE_NVML", str(self.file))
        monkeypatch.setattr(pynvml, "nvmlLib", ctypes.CDLL(str(library)))
        monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
        monkeypatch.setattr(nvml, "read", _READ)
        fresh(monkeypatch)

    def says(self, text: str) -> None:
        """What the driver finds from now on (see ``fake_nvml.c``)."""
        new = self.file.with_suffix(".new")
        new.write_text(text)
        new.replace(self.file)


def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is remembered, and each question is asked anew."""
    monkeypatch.setattr(nvml, "_open", False)
    monkeypatch.setattr(machine, "_library", machine._Reader(machine._from_library))
    monkeypatch.setattr(machine, "_tool", machine._Reader(lambda: nvidia_smi.ask_all(15.0)))
    monkeypatch.setattr(machine, "_FRESH_S", 0.0)


def without_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose only way to ask is ``nvidia-smi``, also where these tests run beside a real driver."""

    def read() -> tuple[nvml.GpuUse, ...]:
        raise nvml.Unavailable("")

    fresh(monkeypatch)
    monkeypatch.setattr(nvml, "read", read)
