"""Do torch's and bitsandbytes' CUDA builds fit the driver? Read from their files; torch is loaded only with `deep`.

Sources: minimum drivers, "CUDA Toolkit Release Notes", table "CUDA Toolkit and Corresponding Driver Versions" (minor
version compatibility); bitsandbytes' library names, its ``cuda_specs.py`` and ``cextension.py``.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from em_core import machine
from em_core.doctor.findings import Finding, Visit

_MIN_DRIVER = {11: (450, 80, 2), 12: (525, 60, 13), 13: (580, 65, 6)}
"""By major version of CUDA: the oldest Linux driver that runs programs built with it."""
_MISSING = "missing"
_PROBE_S = 120.0
_PROBE = """
import json, torch
found = []
for i in range(torch.cuda.device_count()):
    p = torch.cuda.get_device_properties(i)
    a = torch.ones(64, 64, device=f"cuda:{i}", dtype=torch.bfloat16)
    found.append([i, p.name, f"sm_{p.major}{p.minor}", float((a @ a).sum())])
print(json.dumps([torch.cuda.is_available(), torch.cuda.get_arch_list(), found]))
"""


def look(visit: Visit) -> Iterator[Finding]:
    """Torch's build against the driver, bitsandbytes' library; with `deep` a small product on each GPU."""
    found, problem = machine.ask_gpus()
    build = torch_cuda()
    torch = _version("torch")
    if torch == _MISSING:
        yield Finding("broken", "torch", "missing: no run can be trained", "`pip install -r requirements.txt`")
        return
    if not found:
        with_cuda = f"built with CUDA {build}" if build else "built for the CPU"
        yield Finding("ok", "torch", f"{torch}, {with_cuda}; " + ("the driver is broken" if problem else "no GPU here"))
        return
    driver = found[0].driver
    if not build:
        yield Finding(
            "broken", "torch", f"{torch} is built for the CPU, and there is a GPU (driver {driver})",
            "`pip install --force-reinstall torch` (its build for Linux has CUDA), or choose one: https://pytorch.org/get-started",
        )  # fmt: skip
        return
    least = _MIN_DRIVER.get(int(build.split(".")[0]))
    if least and _numbers(driver) < least:
        wanted = ".".join(str(n) for n in least)
        yield Finding(
            "broken", "driver and torch", f"torch is built with CUDA {build}, which needs driver {wanted}; this is {driver}",
            "update the NVIDIA driver, or install a torch built with an older CUDA (https://pytorch.org/get-started)",
        )  # fmt: skip
    else:
        yield Finding("ok", "driver and torch", f"torch {torch}, CUDA {build}, driver {driver}")
    yield _bitsandbytes(build)
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        yield Finding(
            "note", "CUDA_VISIBLE_DEVICES", "hides every GPU", "`unset CUDA_VISIBLE_DEVICES`, and restart the supervisor"
        )
    if visit.deep:
        yield from _product()


def torch_cuda() -> str:
    """CUDA version that the installed torch is built with; empty for a CPU build, or without torch."""
    return torch_build(_package("torch"))


def torch_build(folder: Path | None) -> str:
    """As `torch_cuda`, of the torch in this folder."""
    try:
        text = (folder / "version.py").read_text(encoding="utf-8") if folder else ""
    except OSError:
        return ""
    found = re.search(r"^cuda(?:: [^=]+)? = '([\d.]+)'", text, re.M)
    return found[1] if found else ""


def bitsandbytes_library(folder: Path | None, cuda: str) -> tuple[str, bool, list[str]]:
    """Name of the library that bitsandbytes loads with this CUDA, whether it is there, and the CUDA versions that are."""
    digits = (os.environ.get("BNB_CUDA_VERSION") or "".join(cuda.split(".")[:2])).replace(".", "")
    name = f"libbitsandbytes_cuda{digits}.so"
    names = sorted(path.name for path in folder.glob("libbitsandbytes_cuda*.so")) if folder else []
    there = [f"{d[:-1]}.{d[-1]}" for d in (n.removeprefix("libbitsandbytes_cuda").removesuffix(".so") for n in names) if d]
    return name, name in names, there


def _bitsandbytes(cuda: str) -> Finding:
    folder = _package("bitsandbytes")
    if folder is None:
        return Finding("note", "bitsandbytes", "missing: no quantised (NF4) runs", "`pip install bitsandbytes`")
    name, there, versions = bitsandbytes_library(folder, cuda)
    if there:
        return Finding("ok", "bitsandbytes", f"{_version('bitsandbytes')}, {name}")
    fix = f"`pip install -U bitsandbytes`, or a torch built with one of these: {', '.join(versions) or 'none is there'}"
    return Finding("broken", "bitsandbytes", f"has no {name} for torch's CUDA {cuda}: quantised (NF4) runs would fail", fix)


def _product() -> Iterator[Finding]:
    """A matrix product on each GPU, in a process of its own: a sick driver must not take this one along."""
    fix = "restart the machine or reload the driver; `nvidia-smi` and the kernel log say more"
    process = subprocess.Popen(
        [sys.executable, "-c", _PROBE], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stderr
    try:
        output, errors = process.communicate(timeout=_PROBE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.5)  # no longer: one that hangs inside the driver cannot be killed
        yield Finding("broken", "torch on the GPU", f"no answer within {_PROBE_S:.0f} s", fix)
        return
    finally:
        process.stdout.close()
        process.stderr.close()
    if process.returncode:
        words = errors.strip().splitlines() or [f"exit code {process.returncode}"]
        yield Finding("broken", "torch on the GPU", words[-1][:300], fix)
        return
    available, built_for, products = json.loads(output.strip().splitlines()[-1])
    if not available:
        yield Finding("broken", "torch on the GPU", "torch sees no GPU, nvidia-smi does", fix)
    for index, name, arch, total in products:
        right = total == 64.0**3
        found = (
            f"{name} ({arch}): a product is {'right' if right else f'wrong ({total:g})'}; torch built for {', '.join(built_for)}"
        )
        yield Finding("ok" if right else "broken", f"torch on GPU {index}", found, "" if right else fix)


def _package(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return _MISSING


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version)[:3])
