"""What one run's event files say as they grow: read on from where we were, never again from the start.

A run that was resumed repeats steps: what an earlier attempt said of steps after the one it goes on from is dropped
as soon as the new attempt trains.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

N_LOSSES = 4_000
"""Steps kept of the loss; a longer run keeps every second one, every fourth, and so on, and always the newest."""
_BLOCK = 1 << 22
_RECENT = 64
_RECENT_JUDGED = 256


@dataclass(frozen=True, slots=True)
class Attempt:
    """One worker's turn at a run.

    Args:
        number: From 1.
        started_t: When it began, seconds since 1970.
        from_step: Optimizer steps that were done already; None while it loads.
    """

    number: int
    started_t: float | None
    from_step: int | None = None


@dataclass(slots=True)
class Reading:
    """What was read of some event files so far.

    Args:
        attempts: Every worker's turn, oldest first; the rest is of the newest one, where steps repeat.
        losses: ``(step, loss)``, ascending steps.
        last_metric: Newest step and its time, seconds since 1970.
        step_gaps: Seconds per step, newest last.
        tokens_per_s: Throughput of the newest steps.
        gpu_mem_gib: Most memory that a step allocated, GiB.
        n_answers: Answers by step; None where an event does not say its step.
        n_judged: Answers that a judge has said something of, by judge.
        judged_t: Times of the newest of these.
        judge_ids: Who judges.
        sampled: ``(answers, seconds)`` of each sampling that has ended.
        sampling_t: Since when answers are sampled; None when nothing is.
        sampling_n: Answers since then.
        newest_answer_t: Time of the newest answer of all.
        facts: The attempt's ``run_facts``.
        facts_t: When they were written, which is when the model was loaded.
    """

    attempts: list[Attempt] = field(default_factory=list)
    losses: list[tuple[int, float]] = field(default_factory=list)
    last_metric: tuple[int, float] | None = None
    step_gaps: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))
    tokens_per_s: deque[float] = field(default_factory=lambda: deque(maxlen=16))
    gpu_mem_gib: float | None = None
    n_answers: dict[int | None, int] = field(default_factory=dict)
    n_judged: dict[str, int] = field(default_factory=dict)
    judged_t: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT_JUDGED))
    judge_ids: set[str] = field(default_factory=set)
    sampled: list[tuple[int, float]] = field(default_factory=list)
    sampling_t: float | None = None
    sampling_n: int = 0
    newest_answer_t: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    facts_t: float | None = None
    _offsets: dict[str, int] = field(default_factory=dict)
    _counted: dict[bytes, bytes] = field(default_factory=dict)  # by judge, the metric whose judgements are counted: its first

    @property
    def from_step(self) -> int:
        """Steps that were done when the newest attempt began to train; 0 before it does."""
        return (self.attempts[-1].from_step or 0) if self.attempts else 0

    def read(self, folder: Path, pattern: str) -> Reading:
        """Read on in the event files of a folder whose name matches; a file that cannot be read is left for later."""
        for path in sorted(folder.glob(pattern), key=_in_order):
            with contextlib.suppress(OSError):
                self._read_on(path)
        return self

    def _read_on(self, path: Path) -> None:
        offset = self._offsets.get(str(path), 0)
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size <= offset:
                return
            file.seek(offset)
            rest = b""
            while block := file.read(_BLOCK):
                data = rest + block
                end = data.rfind(b"\n") + 1
                for line in data[:end].split(b"\n"):
                    self._note(line)
                rest, offset = data[end:], offset + end
        self._offsets[str(path)] = offset

    def _note(self, line: bytes) -> None:
        kind = line[10:22]  # lines open with {"kind": "…
        if kind.startswith(b'response"'):
            self._note_response(line)
        elif kind.startswith(b'judgement"'):
            self._note_judgement(line)
        elif kind.startswith((b'metric"', b'generation"', b'run_facts"', b'state"', b'judge"', b'checkpoint"')):
            try:
                event = json.loads(line)
            except ValueError:
                return
            if isinstance(event, dict):
                self._note_event(event)

    def _note_response(self, line: bytes) -> None:
        """Count an answer, without JSON, for there are many; its step stands before every text that others wrote."""
        self.newest_answer_t = _number(line, b'"t": ', 0)
        place = line.find(b'"step": ', 0, 200) + 8
        step = None
        if place > 7:
            with contextlib.suppress(ValueError):
                step = int(line[place : line.find(b",", place)])
        self.n_answers[step] = self.n_answers.get(step, 0) + 1
        if self.sampling_t is not None:
            self.sampling_n += 1

    def _note_judgement(self, line: bytes) -> None:
        """Count one metric of each judge, so that an answer counts once."""
        start = line.find(b'"judge_id": "') + 13
        middle = line.find(b'", "metric": "', start)
        end = line.find(b'"', middle + 14)
        if min(start - 13, middle, end) < 0:
            return
        judge, metric = line[start:middle], line[middle + 14 : end]
        if self._counted.setdefault(judge, metric) != metric:
            return
        name = judge.decode("utf-8", "replace")
        self.n_judged[name] = self.n_judged.get(name, 0) + 1
        if (t := _number(line, b'"t": ', 0)) is not None:
            self.judged_t.append(t)

    def _note_event(self, event: dict[str, Any]) -> None:
        kind, t = event.get("kind"), event.get("t")
        t = float(t) if isinstance(t, (int, float)) else None
        if kind == "metric":
            self._note_metric(event, t)
        elif kind == "checkpoint":
            if self.attempts and self.attempts[-1].from_step is None and isinstance(event.get("step"), int):
                self._goes_on_from(event["step"])  # announced again before training: this is where it goes on
        elif kind == "generation":
            self.sampled.append((int(event.get("n_responses") or 0), float(event.get("wall_s") or 0.0)))
            self.sampling_t = None
        elif kind == "run_facts":
            self.facts, self.facts_t = event, t
        elif kind == "judge":
            self.judge_ids.add(str(event.get("judge_id")))
        elif kind == "state":
            self._note_state(event, t)

    def _note_metric(self, event: dict[str, Any], t: float | None) -> None:
        step, loss = event.get("step"), event.get("loss")
        if not isinstance(step, int) or t is None:
            return
        self._drop_losses_after(step - 1)
        if isinstance(loss, (int, float)):
            self.losses.append((step, float(loss)))
            if len(self.losses) > N_LOSSES:
                self.losses[:] = self.losses[-1::-2][::-1]
        if self.last_metric and step > self.last_metric[0] and t >= self.last_metric[1]:  # else the clock was set back
            self.step_gaps.append((t - self.last_metric[1]) / (step - self.last_metric[0]))
        self.last_metric, self.sampling_t = (step, t), None
        if isinstance(event.get("tokens_per_s"), (int, float)):
            self.tokens_per_s.append(float(event["tokens_per_s"]))
        if isinstance(event.get("gpu_mem_gib"), (int, float)):
            self.gpu_mem_gib = max(self.gpu_mem_gib or 0.0, float(event["gpu_mem_gib"]))

    def _note_state(self, event: dict[str, Any], t: float | None) -> None:
        phase, state = event.get("phase"), event.get("state")
        if phase == "run" and state == "running":
            number = event.get("attempt")
            self.attempts.append(Attempt(number if isinstance(number, int) else len(self.attempts) + 1, t))
            self.last_metric = self.facts_t = self.sampling_t = None
            self.step_gaps.clear()
            self.tokens_per_s.clear()
            self.sampled.clear()  # an earlier attempt may have worked on another machine
            self.judged_t.clear()
        elif phase == "train" and state == "running":
            self.sampling_t = None
            if self.attempts and self.attempts[-1].from_step is None:
                self._goes_on_from(0)
        elif phase == "evaluate":
            self.sampling_t, self.sampling_n = t if state == "running" else None, 0

    def _goes_on_from(self, step: int) -> None:
        before = self.attempts[-1]
        self.attempts[-1] = Attempt(before.number, before.started_t, step)
        self._drop_losses_after(step)

    def _drop_losses_after(self, step: int) -> None:
        while self.losses and self.losses[-1][0] > step:
            self.losses.pop()


def _in_order(path: Path) -> tuple[str, int]:
    """``worker-2`` before ``worker-10``."""
    match = re.fullmatch(r"(.*?)(\d*)", path.stem)
    return (match[1], int(match[2] or 0)) if match else (path.stem, 0)


def _number(line: bytes, name: bytes, start: int) -> float | None:
    place = line.find(name, start)
    if place < 0:
        return None
    place += len(name)
    end = line.find(b",", place)
    try:
        return float(line[place : end if end > 0 else len(line)].rstrip(b"} "))
    except ValueError:
        return None
