"""One run on several GPUs: which of its processes this is. Needs no torch.

The supervisor starts such a run through ``accelerate launch``, which starts one worker a GPU (a
*rank*). Rank 0 does what a worker always does; the others only train with it. Each sees its own GPU
alone. What the launcher said in the environment is taken out of it, so that libraries in this process
do not begin to divide the work once more.

The launcher holds the run's lease. If it is killed, its ranks end within a second, and until then
rank 0's own lease (``lease-ranks``) keeps the run from being started again.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from em_core.home import PROJECT
from em_core.lease import FD_VARIABLE, Lease, sign_for

GPUS_VARIABLE = "EM_GPUS"
"""Set by the supervisor for the launcher: how many ranks there are. Without it a run has one process."""
CONFIG = PROJECT / "data" / "accelerate.yaml"
_LOOK_S = 0.5
_FROM_LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "ROLE_RANK", "ROLE_WORLD_SIZE")
_TO_MEET = ("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_USE_AGENT_STORE", "TORCHELASTIC_RESTART_COUNT")


@dataclass(frozen=True)
class Place:
    """This process among those of its run.

    Args:
        rank: Its number; 0 writes, samples and judges.
        world: How many there are.
        meeting: The environment in which they find each other.
    """

    rank: int = 0
    world: int = 1
    meeting: tuple[tuple[str, str], ...] = ()


ALONE = Place()
_here = ALONE


def here() -> Place:
    """The place that `enter` found; `ALONE` in any other process."""
    return _here


def command(worker: Sequence[str], n_gpus: int) -> list[str]:
    """How to start a worker on several GPUs.

    Args:
        worker: The worker's command, ``python -m module ...``.
        n_gpus: How many; 1 = the command as it is.
    """
    if n_gpus == 1:
        return list(worker)
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(CONFIG)]
    return [*launcher, "--multi_gpu", "--num_processes", str(n_gpus), "--main_process_port", "0", "--no_python", *worker]


def enter() -> Place:
    """Take this process's place; to be called before torch is imported. Without a launcher nothing happens."""
    global _here
    if not os.environ.pop(GPUS_VARIABLE, "") or "RANK" not in os.environ:
        return _here
    rank, local, world = (int(os.environ[name]) for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"))
    meeting = tuple((name, os.environ[name]) for name in (*_FROM_LAUNCHER, *_TO_MEET) if name in os.environ)
    for name, _ in meeting:
        del os.environ[name]
    if devices := [device for device in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if device]:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[local]
    launcher = os.getppid()
    threading.Thread(target=_end_with, args=(launcher,), name="watch launcher", daemon=True).start()
    _here = Place(rank, world, meeting)
    return _here


def lease(run_dir: Path) -> Lease:
    """What rank 0 holds instead of the run's own lease, which is its launcher's; that one is signed with the launcher's name."""
    os.environ.pop(FD_VARIABLE, None)  # the descriptor stayed with the launcher
    ours = Lease(run_dir / "lease-ranks")
    ours.acquire(blocking=True, timeout_s=10 * _LOOK_S)  # the ranks of a killed launcher end meanwhile
    sign_for(run_dir / "lease", os.getppid())
    return ours


def _end_with(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(_LOOK_S)
    print("the launcher is gone: this process ends too", file=sys.stderr, flush=True)
    os._exit(1)
