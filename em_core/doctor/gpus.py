"""The GPUs: there, free, healthy; who else holds their memory (shown, never touched).

Sources: fields, ``nvidia-smi --help-query-gpu``; Xid codes, NVIDIA's "XID Errors" (docs.nvidia.com/deploy/xid-errors).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from em_core import machine, nvidia_smi
from em_core.doctor.findings import Finding, Visit, counted, some
from em_core.doctor.processes import ours
from em_core.machine import GpuUse
from em_core.supervisor import kernel

_FIELDS = (
    "index", "ecc.errors.uncorrected.volatile.total", "ecc.errors.uncorrected.aggregate.total", "retired_pages.pending",
    "remapped_rows.failure", "compute_mode", "temperature.gpu",
)  # fmt: skip
_ASK_S = 10.0
_HOT_C = 88
_MUCH_GIB, _UNSEEN_GIB = 0.06, 1.5
_XID = re.compile(r"NVRM: Xid \(([^)]*)\): (\d+)")
_OF_PROGRAMS = frozenset({13, 31, 43, 45, 94})
"""Xid codes that a program alone can cause, or that ended only the program."""


@dataclass(frozen=True)
class _Health:
    index: int
    uncorrected: int
    ever: int
    pending: bool
    remap_failed: bool
    mode: str
    celsius: int


def look(visit: Visit) -> Iterator[Finding]:
    """Each GPU, its health, other programs on it, and the kernel's reports of GPU errors."""
    found, problem = machine.ask_gpus()
    if problem:
        yield Finding("broken", "gpu", problem, "repair the NVIDIA driver")
    elif not found:
        yield Finding("note", "gpu", "no NVIDIA driver; runs use the CPU", "the organism needs no GPU; real models do")
    for gpu in found:
        text = f"{gpu.name}, {gpu.free_gib:.1f} of {gpu.total_gib:.1f} GiB free, driver {gpu.driver}"
        yield Finding("ok", f"gpu {gpu.index}", text)
    if found:
        for health in _health():
            yield from _signs(health)
        yield from _others(visit, machine.usage())
    yield from xids(kernel.messages_since(0.0))


def _health() -> list[_Health]:
    """What nvidia-smi says of each GPU; nothing where it does not know a field or does not answer in time."""
    output, _ = nvidia_smi.run(f"--query-gpu={','.join(_FIELDS)}", _ASK_S)
    return [
        _Health(
            int(c[0]), _number(c[1]), _number(c[2]), c[3].lower() == "yes", c[4].lower() == "yes", c[5], _number(c[6])
        )
        for c in ([cell.strip() for cell in line.split(",")] for line in output.splitlines())
        if len(c) == len(_FIELDS) and c[0].isdecimal()
    ]  # fmt: skip


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0  # else "[N/A]"


def _signs(gpu: _Health) -> Iterator[Finding]:
    name = f"health of GPU {gpu.index}"
    if gpu.remap_failed:
        yield Finding("broken", name, "memory rows could not be remapped", "have the card replaced; don't start runs on it")
    elif gpu.uncorrected:
        text = f"{counted(gpu.uncorrected, 'uncorrected memory error')} since the driver was loaded"
        yield Finding(
            "broken", name, text, "end what runs there and reset the GPU or restart; if it comes back, replace the card"
        )
    elif gpu.pending:
        yield Finding("note", name, "memory pages wait to be retired", "restart the machine when nothing runs")
    elif gpu.celsius >= _HOT_C:
        yield Finding("note", name, f"{gpu.celsius} °C", "it slows itself down when hot: look at fans and air")
    else:
        ever = f", {gpu.ever} in its life" if gpu.ever else ""
        yield Finding("ok", name, f"no uncorrected memory errors since the driver was loaded{ever}, {gpu.celsius} °C")
    if gpu.mode.lower() not in ("default", "[n/a]", "n/a"):
        text = f"compute mode {gpu.mode}: " + ("no program may use it" if gpu.mode == "Prohibited" else "one program at a time")
        fix = f"`nvidia-smi -i {gpu.index} -c DEFAULT` as root, or leave it, and runs share no GPU"
        yield Finding("broken" if gpu.mode == "Prohibited" else "note", f"mode of GPU {gpu.index}", text, fix)


def _others(visit: Visit, used: Sequence[GpuUse]) -> Iterator[Finding]:
    """GPUs that no program can use, and memory that programs hold which are not of this home."""
    own = {process.pid for process in ours(visit.home)}
    for gpu in used:
        if gpu.problem:
            yield Finding("broken", f"use of GPU {gpu.index}", gpu.problem, "see `nvidia-smi` and the driver's documentation")
        held = [p for p in gpu.processes if p.pid not in own and (p.used_gib is None or p.used_gib >= _MUCH_GIB)]
        if held:
            programs = some([f"{_gib(p.used_gib)} by {p.name or 'a program'} (pid {p.pid})" for p in held])
            fix = f"runs use what is left; see who it is with `ps -fp {held[0].pid}`"
            yield Finding("note", f"memory of GPU {gpu.index}", f"not of this home: {programs}", fix)
        elif not gpu.processes and gpu.used_gib > _UNSEEN_GIB:
            text = f"{gpu.used_gib:.1f} GiB are taken by programs that cannot be seen from here"
            yield Finding("note", f"memory of GPU {gpu.index}", text, "another container or user: runs use what is left")


def _gib(amount: float | None) -> str:
    return "memory" if amount is None else f"{amount:.1f} GiB"


def xids(lines: Sequence[str]) -> Iterator[Finding]:
    """What the kernel reported of GPU errors since the machine was started: one finding per device, its last code named."""
    by_device: dict[str, list[int]] = {}
    for line in lines:
        if found := _XID.search(line):
            by_device.setdefault(found[1], []).append(int(found[2]))
    for device, codes in by_device.items():
        grave = sorted({code for code in codes if code not in _OF_PROGRAMS})
        text = f"{counted(len(codes), 'GPU error')} in the kernel log, Xid {', '.join(map(str, sorted(set(codes))))}"
        fix = "look the codes up at docs.nvidia.com/deploy/xid-errors; " + (
            "restart the machine before the next run" if grave else "these can come from a program that crashed"
        )
        yield Finding("broken" if grave else "note", f"Xid of {device}", text, fix)
