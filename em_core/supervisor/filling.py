"""Start queued runs where there is room, in the order of the queue.

Who gets what is decided by `em_core.supervisor.placing.place`; this acts on it. The supervisor leaves its slots
and what it could not start in ``runs/.supervisor/slots.json``: its environment (``EM_SLOTS``,
``CUDA_VISIBLE_DEVICES``) may differ from that of a page, which says why runs wait (`em_core.supervisor.waiting`).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from em_core import machine
from em_core.errors import EMError
from em_core.home import Home
from em_core.organism.models import is_organism
from em_core.supervisor import queue_order
from em_core.supervisor.evidence import RunStatus
from em_core.supervisor.holding import look
from em_core.supervisor.placing import Held, Machine, Wanted, place
from em_core.supervisor.slots import Seat, Slot, find_slots, hidden_gpus, runs_per_gpu
from em_core.supervisor.spawning import spawn

log = logging.getLogger("em_core.supervisor")

ASK_AGAIN_S = 2.0
LOOK_FOR_SLOTS_S = 30.0


@dataclass(frozen=True)
class Started:
    """A run whose worker was started.

    Args:
        run_id: The run.
        process: Its worker.
        seat: What it works on.
    """

    run_id: str
    process: subprocess.Popen[bytes]
    seat: Seat


@dataclass(frozen=True)
class Told:
    """What a supervisor says of its slots.

    Args:
        slots: All of them.
        runs_per_gpu: How many small runs may share a GPU.
        refused: Runs that could not be started though there was room, with the reason.
        hidden: Why there may be GPUs besides (`em_core.supervisor.slots.hidden_gpus`).
    """

    slots: tuple[Slot, ...]
    runs_per_gpu: int
    refused: dict[str, str] = field(default_factory=dict)
    hidden: str = ""


class Filling:
    """The supervisor's hand that starts workers.

    Args:
        home: Its home.
        worker_command: How to start a worker; the run's folder is appended.
        complain: Says once what went wrong: about which run, and what.
        slots: Where runs are worked on; None = what the machine has, looked for now and then.
    """

    def __init__(
        self,
        home: Home,
        worker_command: Sequence[str],
        complain: Callable[[str, str], None],
        slots: Sequence[Slot] | None = None,
    ) -> None:
        self._home, self._worker_command, self._complain = home, list(worker_command), complain
        self._fixed = slots is not None
        self.slots = list(slots) if slots is not None else find_slots()
        self._runs_per_gpu = runs_per_gpu()
        self._looked_t = self._asked_t = time.monotonic()
        self._uses, self._problem = machine.ask_usage()
        if self._problem:
            log.warning("the GPUs cannot be asked: %s", self._problem)
        self._refused: dict[str, str] = {}
        self._told: Told | None = None
        self._tell()

    def fill(self, active: Sequence[RunStatus], queued: Sequence[RunStatus], seats: Mapping[str, Seat]) -> list[Started]:
        """Start what can start now.

        Args:
            active: Runs at work.
            queued: Queued runs, in any order.
            seats: Of the runs whose workers this supervisor started and has not reaped.

        Returns:
            What was started.
        """
        order = queue_order.read(self._home)
        queue = in_turn([status for status in order.queued(queued) if status.run_id not in seats], self._refused)
        if not queue or order.paused:
            return []
        self._look()
        held, memory = look(self._home, active, self.slots, self._uses, self._problem, seats)
        known = {run.run_id for run in held}  # a worker that has only just died keeps its seat until it is reaped
        held += [Held(run, tuple(s.name for s in seat.slots), seat.gpu_gib) for run, seat in seats.items() if run not in known]
        decisions = place(
            Machine(tuple(self.slots), memory, self._runs_per_gpu, self._hidden()), held, [wanted(s) for s in queue]
        )
        started = [s for d in decisions if d.seat is not None and (s := self._start(d.run_id, d.seat)) is not None]
        self._refused = {run: why for run, why in self._refused.items() if run in {status.run_id for status in queue}}
        self._tell()
        return started

    def _start(self, run_id: str, seat: Seat) -> Started | None:
        try:
            process = spawn(self._home.runs / run_id, seat, self._worker_command)
        except (EMError, OSError) as error:
            self._refused[run_id] = f"could not be started: {error}"
            self._complain(run_id, self._refused[run_id])
            return None
        self._refused.pop(run_id, None)
        if process is None:
            return None
        budget = f" with {seat.gpu_gib:.1f} GiB" if seat.gpu_gib is not None else ""
        log.info("%s: started on %s%s, pid %d", run_id, seat.name, budget, process.pid)
        return Started(run_id, process, seat)

    def _look(self) -> None:
        """Ask the driver, and now and then look for slots: a driver may come up after the supervisor."""
        now, hidden = time.monotonic(), self._hidden()
        if now - self._asked_t >= (ASK_AGAIN_S if hidden or self._has_gpus() else LOOK_FOR_SLOTS_S):
            self._asked_t = now
            self._uses, self._problem = machine.ask_usage()
            if hidden and not self._problem:
                self._looked_t = float("-inf")  # it answers at last: look at once
        if not self._fixed and now - self._looked_t >= LOOK_FOR_SLOTS_S and not self._problem:
            self._looked_t = now
            with contextlib.suppress(EMError):
                found = find_slots()
                if any(slot.is_gpu for slot in found) or not self._has_gpus():  # else real models would crawl on the CPU
                    self.slots = found

    def _hidden(self) -> str:
        return "" if self._fixed else hidden_gpus(self.slots, self._problem)

    def _has_gpus(self) -> bool:
        return any(slot.is_gpu for slot in self.slots)

    def _tell(self) -> None:
        """Leave word for the pages, when something is new."""
        told = Told(tuple(self.slots), self._runs_per_gpu, dict(self._refused), self._hidden())
        if told == self._told:
            return
        path = self._home.supervisor / "slots.json"
        temporary = path.with_name(f".slots.{os.getpid()}.json")
        with contextlib.suppress(OSError):  # a full disk: pages find the slots themselves
            temporary.write_text(json.dumps(asdict(told)))
            temporary.replace(path)
            self._told = told


def told(home: Home, attended: bool) -> Told:
    """What the supervisor says of its slots; where none is at work, what this process finds itself.

    Raises:
        BadInput: ``EM_SLOTS`` or ``EM_RUNS_PER_GPU`` is not understood.
    """
    if attended:
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            content: dict[str, Any] = json.loads((home.supervisor / "slots.json").read_bytes())
            slots = tuple(Slot(str(slot["name"]), str(slot["device"])) for slot in content["slots"])
            refused = {str(run): str(why) for run, why in content["refused"].items()}
            return Told(slots, int(content["runs_per_gpu"]), refused, str(content.get("hidden", "")))
    found = tuple(find_slots())
    return Told(found, runs_per_gpu(), hidden=hidden_gpus(found, machine.ask_usage()[1]))


def in_turn(queue: Sequence[RunStatus], refused: Mapping[str, str]) -> list[RunStatus]:
    """The queue as it is gone through: what could not be started lets the others go first."""
    return sorted(queue, key=lambda status: status.run_id in refused)


def wanted(status: RunStatus) -> Wanted:
    """What a queued run asks for."""
    return Wanted(status.run_id, is_organism(status.base_model), status.gpus, status.gpu_gib)
