"""One run on several GPUs: which of its processes this is. Needs no torch.

The supervisor starts such a run through ``accelerate launch``, which starts one worker a GPU (a
*rank*). Rank 0 does what a worker always does; the others only train with it. Each sees its own GPU
alone. What the launcher said in the environment is taken out of it, so that libraries in this process
do not begin to divide the work once more.

The launcher holds the run's lease. If it is killed, its ranks end within a second, and until then
rank 0's own lease (``lease-ranks``) keeps the run from being started again.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from em_core.errors import BadInput, Busy, EMError, WorkFailed
from em_core.events import EventWriter
from em_core.home import PROJECT
from em_core.lease import FD_VARIABLE, Lease, sign_for
from em_core.records import RunState

GPUS_VARIABLE = "EM_GPUS"
"""Set by the supervisor for the launcher: how many ranks there are. Without it a run has one process."""
CONFIG = PROJECT / "data" / "accelerate.yaml"
_LOOK_S = 0.5
_GRACE_S = 20.0
"""Less than the 30 s after which torch's launcher kills what it asked to end."""
_FROM_LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "ROLE_RANK", "ROLE_WORLD_SIZE")
_TO_MEET = ("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_USE_AGENT_STORE", "TORCHELASTIC_RESTART_COUNT")
_DEATHS = (r"failed \(exitcode: -(?P<number>\d+)\) local_rank: \d+ \(pid: (?P<pid>\d+)\)",
           r"SignalException: Process (?P<pid>\d+) got signal: (?P<number>\d+)")  # fmt: skip


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
    """Take this process's place; to be called before torch is imported. Without a launcher nothing happens.

    Raises:
        BadInput: There are fewer GPUs than processes.
    """
    global _here
    if not os.environ.pop(GPUS_VARIABLE, "") or "RANK" not in os.environ:
        return _here
    rank, local, world = (int(os.environ[name]) for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"))
    meeting = tuple((name, os.environ[name]) for name in (*_FROM_LAUNCHER, *_TO_MEET) if name in os.environ)
    for name, _ in meeting:
        del os.environ[name]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = [str(i) for i in range(world)] if visible is None else [name.strip() for name in visible.split(",") if name.strip()]
    if 0 < len(gpus) <= local:  # none at all: on the CPU
        raise BadInput(f"CUDA_VISIBLE_DEVICES={visible}: {len(gpus)} GPUs for {world} processes", "name a GPU for each of them")
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[local]
    launcher = os.getppid()
    threading.Thread(target=_end_with, args=(launcher,), name="watch launcher", daemon=True).start()
    _here = Place(rank, world, meeting)
    return _here


def lease(run_dir: Path) -> Lease:
    """What rank 0 holds instead of the run's own lease, which is its launcher's; that one is signed with the launcher's name.

    Raises:
        Busy: Another process works on this run.
        BadInput: The lease file cannot be opened.
    """
    if not os.environ.pop(FD_VARIABLE, ""):  # the descriptor stayed with the launcher
        return Lease.for_worker(run_dir)  # a launcher that was started by hand has none
    ours = Lease(run_dir / "lease-ranks")
    if not ours.acquire(blocking=True, timeout_s=10 * _LOOK_S):  # the ranks of a killed launcher end meanwhile
        raise Busy(f"{run_dir.name}: what is left of its last attempt has not ended", "end its processes, then `resume` it")
    sign_for(run_dir / "lease", os.getppid())
    return ours


def say_failure(run_dir: Path, place: Place, error: EMError) -> None:
    """Write down why a rank ends that is not rank 0: the others only notice that it is gone."""
    attempt = _attempt(run_dir)
    with EventWriter(run_dir, f"rank-{place.rank}-{attempt}") as events:
        events.write(RunState("run", "failed", error.message, error.hint, attempt, error.cause), sync=True)


def failure_of_another(run_dir: Path, patience_s: float = 3.0) -> PeerGone:
    """Why another rank of this attempt is gone, as it said itself; killed when it said nothing for `patience_s`."""
    pattern, give_up = f"rank-*-{_attempt(run_dir)}.jsonl", time.monotonic() + patience_s
    while True:
        for path in sorted((run_dir / "events").glob(pattern)):
            for line in path.read_bytes().splitlines(keepends=True):
                if line.endswith(b"\n"):
                    said = json.loads(line)
                    return PeerGone(f"GPU {path.name.split('-')[1]}: {said['reason']}", said["hint"], said["cause"])
        if time.monotonic() > give_up:
            return PeerGone(
                "the process of another GPU of this run was killed", "`resume` goes on from its last checkpoint", "killed"
            )
        time.sleep(0.1)


class PeerGone(WorkFailed):
    """Another rank of the run has ended, and so must this one."""


def death_in(log: str) -> tuple[int, int] | None:
    """Which signal ended a launcher or the first of its processes that died, by what torch's launcher wrote into the log.

    Returns:
        The exit code as `subprocess` says it (negative), and the pid; None when no signal is spoken of.
    """
    found = next((match for pattern in _DEATHS if (match := re.search(pattern, log))), None)
    return (-int(found["number"]), int(found["pid"])) if found else None


def _attempt(run_dir: Path) -> int:
    """From the mark that the supervisor left before it started the launcher."""
    try:
        return int(json.loads((run_dir / "spawned").read_bytes().splitlines()[-1])["attempt"])
    except (OSError, ValueError, KeyError, IndexError):
        return 1


def end_soon(*_: object) -> None:
    """A signal handler for the other ranks: rank 0 has this long to save, then they end."""
    timer = threading.Timer(_GRACE_S, os._exit, (1,))
    timer.daemon = True  # who has ended by then is not waited for
    timer.start()


def _end_with(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(_LOOK_S)
    print("the launcher is gone: this process ends too", file=sys.stderr, flush=True)
    os._exit(1)
