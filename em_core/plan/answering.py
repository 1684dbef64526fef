"""What answers without training take: memory and time of an evaluation, from the parts that a run's plan has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from em_core.home import Home
from em_core.plan import base_model, costs, hardware, memory, phases, timing, tokens
from em_core.plan.memory import Needs
from em_core.plan.phases import Phase
from em_core.plan.printing import FIT_WORDS, phase_words
from em_core.questions import QuestionSet
from em_core.spec import JudgeSpec, RunSpec
from em_core.view.run_words import time_range


@dataclass(frozen=True)
class Answering:
    """What an evaluation would take.

    Args:
        device: ``cpu``, or the GPU's name.
        memory_gib: Peak memory of the process on it, libraries included; None = the model's shape is not known.
        memory_free_gib: Memory there is: the whole of the largest GPU, or what is available to a job on the CPU.
        fit: Whether it fits that memory.
        rows_at_once: Answers decoded at once; None = not known.
        needs: What is asked of the queue.
        phases: Time of loading, sampling and judging; empty = not known.
        time_s: (low, high) of the whole job; None = not known.
    """

    device: str
    memory_gib: float | None
    memory_free_gib: float
    fit: memory.Fit
    rows_at_once: int | None
    needs: Needs
    phases: tuple[Phase, ...]
    time_s: tuple[float, float] | None

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, with the names that a run's plan has."""
        return {
            "device": self.device,
            "memory_gib": self.memory_gib,
            "gpu_gib": self.needs.gpu_gib,
            "memory_free_gib": self.memory_free_gib,
            "fit": self.fit,
            "rows_at_once": self.rows_at_once,
            "phases": [phase.as_dict() for phase in self.phases],
            "time_s": self.time_s,
        }

    def lines(self) -> list[tuple[str, str]]:
        """For a person: what about, and a sentence."""
        found = [("memory", f"{FIT_WORDS['unknown']}: the model's shape is not known before it is downloaded")]
        if self.memory_gib is not None:
            of = f"about {self.memory_gib:.1f} of {self.memory_free_gib:.1f} GiB ({self.device}): {FIT_WORDS[self.fit]}"
            found = [("memory", f"{of}; {self.rows_at_once:,} answers at once")]
        if self.time_s is not None:
            each = "; ".join(phase_words(phase.as_dict()) for phase in self.phases)
            source = next(phase.source for phase in self.phases if phase.name == "sample")
            found.append(("time", f"{time_range(*self.time_s)}, {source}, on {self.device}: {each}"))
        return found


def answering(
    home: Home, spec: RunSpec, sets: list[QuestionSet], answers: Mapping[int, int], judging: list[tuple[JudgeSpec, int]]
) -> Answering:
    """Work out what an evaluation would take.

    Args:
        home: Whose past runs are looked at.
        spec: Base model, precision, adapter, and how answers are sampled.
        sets: Its question sets.
        answers: Answers to sample, by step; step 0 is the base model without the adapter.
        judging: Each judge and the judgements that it has to make.

    Raises:
        BadInput: There is no such base model.
    """
    model = base_model.describe(spec)
    gpu, room = hardware.largest_gpu(), hardware.memory_gib()
    each = [n for n in answers.values() if n]
    peak: float | None = None
    rows: int | None = None
    if model.shape is not None:
        columns, prompt_tokens = tokens.prompts(sets, model.folder)
        trained = any(n for step, n in answers.items() if step)
        peak, sampling = memory.without_training(
            spec, model.shape, trained, max(each, default=0), columns, prompt_tokens, room, gpu is None
        )
        peak, rows = round(peak, 2), sampling.rows
    times: list[Phase] = []
    if model.shape is not None and rows is not None:
        work = timing.Work(model.shape.n_params, model.shape.layers, spec.train.precision, gpu.name if gpu else "")
        times = phases.without_training(home, work, each, rows, costs.longest_answer(sets), judging)
    return Answering(
        device=gpu.name if gpu else "cpu",
        memory_gib=peak,
        memory_free_gib=round(room, 2),
        fit=memory.fit(peak, room),
        rows_at_once=rows,
        needs=memory.needs(spec, peak, gpu is None),
        phases=tuple(times),
        time_s=phases.total_s(times, len(each)) if times else None,
    )
