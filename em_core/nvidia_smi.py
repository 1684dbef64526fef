"""The same answers from the command ``nvidia-smi``, for machines where the driver's library cannot be loaded."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from dataclasses import replace

from em_core.nvml import GpuProcess, GpuUse

_PLAIN = ("index", "driver_version", "memory.total", "memory.free", "name")  # the name last: it may hold a comma
_FULL = ("index", "driver_version", "memory.total", "memory.free", "uuid", "utilization.gpu", "temperature.gpu",
         "power.draw", "enforced.power.limit", "name")  # fmt: skip
_APPS = ("gpu_uuid", "pid", "used_gpu_memory", "process_name")


def ask(timeout_s: float) -> tuple[tuple[GpuUse, ...], str]:
    """The GPUs with name and memory alone, and what is wrong: empty when it answered or is not installed.

    Args:
        timeout_s: How long it may take; a broken driver can hang for ever.
    """
    output, problem = run(f"--query-gpu={','.join(_PLAIN)}", timeout_s)
    found = _gpus(output, _PLAIN)
    return (found, "") if found or problem is None else ((), problem or output or "nvidia-smi listed no GPU (exit 0)")


def ask_all(timeout_s: float) -> tuple[tuple[GpuUse, ...], str]:
    """The same with load, power and the programs that compute on them. MIG slices are not told apart."""
    give_up = time.monotonic() + timeout_s
    output, problem = run(f"--query-gpu={','.join(_FULL)}", timeout_s)
    found = _gpus(output, _FULL)
    if not found:  # an old one does not know every field
        return ((), "") if problem is None else ask(max(0.1, give_up - time.monotonic()))
    apps, _ = run(f"--query-compute-apps={','.join(_APPS)}", max(0.1, give_up - time.monotonic()))
    return tuple(_with_programs(gpu, apps) for gpu in found), ""


def run(query: str, timeout_s: float) -> tuple[str, str | None]:
    """Its output, and what is wrong: empty when it answered; None when it is not installed.

    Args:
        query: What is asked for, ``--query-gpu=…``; the answer is CSV without header and units.
        timeout_s: How long it may take.
    """
    if not shutil.which("nvidia-smi"):
        return "", None
    command = ["nvidia-smi", query, "--format=csv,noheader,nounits"]
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError as error:
        return "", f"nvidia-smi cannot be run ({error.strerror})"
    try:
        output = process.communicate(timeout=timeout_s)[0].decode(errors="replace").strip()
    except subprocess.TimeoutExpired:
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.5)  # no longer: one that hangs inside the driver cannot be killed
        return "", f"nvidia-smi did not answer within {timeout_s:g} s"
    finally:
        if process.stdout:
            process.stdout.close()
    if process.returncode:
        return "", output or f"nvidia-smi listed no GPU (exit {process.returncode})"
    return output, ""


def _gpus(output: str, fields: tuple[str, ...]) -> tuple[GpuUse, ...]:
    found = []
    for line in output.splitlines():
        values = [value.strip() for value in line.split(",", len(fields) - 1)]
        row = dict(zip(fields, values, strict=False))
        if len(values) < len(fields) or not row["index"].isdecimal():
            continue
        load, heat = _number(row.get("utilization.gpu", "")), _number(row.get("temperature.gpu", ""))
        found.append(
            GpuUse(
                int(row["index"]),
                row["name"],
                row.get("uuid", ""),
                (_number(row["memory.total"]) or 0.0) / 1024,  # else "[N/A]": memory shared with the CPU
                (_number(row["memory.free"]) or 0.0) / 1024,
                None if load is None else round(load),
                None if heat is None else round(heat),
                _number(row.get("power.draw", "")),
                _number(row.get("enforced.power.limit", "")),
                driver=row["driver_version"],
            )
        )
    return tuple(found)


def _with_programs(gpu: GpuUse, apps: str) -> GpuUse:
    held = []
    for line in apps.splitlines():
        values = [value.strip() for value in line.split(",", len(_APPS) - 1)]
        if len(values) == len(_APPS) and values[0] == gpu.uuid and values[1].isdecimal():
            used, words = _number(values[2]), values[3].split()
            name = words[0].rsplit("/", 1)[-1] if words else ""
            held.append(GpuProcess(int(values[1]), None if used is None else used / 1024, name))
    held.sort(key=lambda p: (-(p.used_gib or 0.0), p.pid))
    return replace(gpu, processes=tuple(held))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
