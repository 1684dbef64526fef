"""One run for people: its phases, plan against actual, checkpoints, throughput, judges. Pure: from frames to frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from em_core.records import FinalState
from em_core.spec import RunSpec
from em_core.view.inert import visible
from em_core.view.run_words import size

UNKNOWN = "not known"
PHASES = ("run", "train", "evaluate", "judge", "publish")
_PAUSE = 3.0
"""A gap between two steps this many times the median gap is a pause (a checkpoint, its answers), not training."""


@dataclass(frozen=True)
class Known:
    """All that is recorded of one run (`em_core.store.run_details.known`); empty frames where nothing is.

    Args:
        run: Its row of ``runs``, ``children`` added.
        fields: The spec's fields; with the present defaults where this version reads it.
        spec: The spec, where this version reads it.
        states, attempts, metrics, checkpoints, generations: Rows of these tables.
        answered, asked, scored, judging, others, lineage, sharers: As in `em_core.store.run_details`.
        judges: Identities of the judges in `judging`.
        imports, published, event_files, quarantined: As in `em_core.store.run_details`.
    """

    run: dict[str, Any]
    fields: dict[str, Any]
    spec: RunSpec | None
    states: pd.DataFrame
    attempts: pd.DataFrame
    metrics: pd.DataFrame
    checkpoints: pd.DataFrame
    generations: pd.DataFrame
    answered: pd.DataFrame
    asked: pd.DataFrame
    scored: pd.DataFrame
    judging: pd.DataFrame
    judges: pd.DataFrame
    others: pd.DataFrame
    lineage: pd.DataFrame
    sharers: list[str]
    imports: pd.DataFrame
    published: pd.DataFrame
    event_files: pd.DataFrame
    quarantined: pd.DataFrame

    @property
    def run_id(self) -> str:
        """The run."""
        return str(self.run["run_id"])

    @property
    def own(self) -> pd.DataFrame:
        """`answered` without the step 0 that another run holds."""
        return self.answered[self.answered["source_run_id"] == self.run_id]

    @property
    def last_step(self) -> int | None:
        """The last optimizer step that was trained; None where nothing was."""
        steps = [int(frame["step"].max()) for frame in (self.metrics, self.checkpoints) if len(frame)]
        return max(steps, default=None)


@dataclass(frozen=True)
class Phase:
    """One phase of one attempt.

    Args:
        attempt: From 1; 0 = before the first.
        phase: One of `PHASES`.
        state: The last that was said.
        start_t, end_t: Seconds since 1970; `end_t` None while it goes on, or where its end was never written.
        reason, hint: Why it ended so, and what to do.
    """

    attempt: int
    phase: str
    state: str
    start_t: float
    end_t: float | None
    reason: str = ""
    hint: str = ""

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        return None if self.end_t is None else self.end_t - self.start_t


@dataclass(frozen=True)
class Planned:
    """One line of plan against actual; None = not known."""

    what: str
    planned: str | None
    actual: str | None
    note: str = ""
    missing: bool = field(default=False)


def phases(states: pd.DataFrame) -> list[Phase]:
    """What each attempt went through, in order of time.

    Args:
        states: Rows of ``run_states``, oldest first.
    """
    found: dict[tuple[int, str], Phase] = {}
    for row in states.to_dict("records"):
        attempt, name, state, t = int(row["attempt"] or 0), str(row["phase"]), str(row["state"]), float(row["t"])
        before = found.get((attempt, name))
        final = state in FinalState or state == "skipped"
        start = before.start_t if before is not None else t
        found[attempt, name] = Phase(
            attempt, name, state, start, t if final else None, visible(str(row["reason"] or "")), visible(str(row["hint"] or ""))
        )
    order = {name: i for i, name in enumerate(PHASES)}
    return sorted(found.values(), key=lambda each: (each.attempt, order.get(each.phase, 9), each.start_t))


def wall_s(states: pd.DataFrame) -> float | None:
    """Seconds that workers worked on a run, all attempts together; None where no attempt has an end."""
    spans = [p.seconds for p in phases(states) if p.phase == "run" and p.attempt > 0 and p.seconds is not None]
    return sum(spans) if spans else None


def trained_tokens(metrics: pd.DataFrame) -> float | None:
    """About how many real tokens went through the model in training: pace x time between steps, pauses left out.

    Args:
        metrics: One row per step, by step, with t (seconds since 1970) and tokens_per_s.
    """
    rows = metrics[metrics["tokens_per_s"].notna()]
    if len(rows) < 2:
        return None
    gaps = rows["t"].diff()
    usual = float(gaps.median())
    if not usual > 0:
        return None
    gaps = gaps.where((gaps > 0) & (gaps <= _PAUSE * usual), usual)
    return float((gaps * rows["tokens_per_s"]).sum())


def plan_against_actual(known: Known, plan: Mapping[str, Any] | None = None) -> list[Planned]:
    """What was meant and what came of it, line by line; what is missing is named.

    Args:
        known: The run.
        plan: As it was at launch (`em_core.plan.past.planned`) or worked out again (`em_core.plan.Plan.as_dict`);
            None = only what the run itself recorded.
    """
    run, own = known.run, known.own
    trained = _number(run.get("total_steps"))
    steps = known.last_step
    n_checkpoints = len(known.checkpoints[known.checkpoints["step"] > 0])
    n_own = int(own.loc[own["step"] > 0, "n_first"].sum()) if len(own) else 0
    n_later = (int(own.loc[own["step"] > 0, "n_answers"].sum()) if len(own) else 0) - n_own
    rows = [
        _counted("Optimizer steps", trained, steps if trained or steps else None),
        _counted("Checkpoints", _number(run.get("n_checkpoints")), n_checkpoints),
        _counted("Answers at checkpoints", _number(run.get("n_answers_planned")), n_own),
        _baseline(known),
    ]
    if n_later:
        rows.append(Planned("Answers asked later", None, f"{n_later:,}", "by evaluations of its checkpoints"))
    n_answers = int(known.answered["n_answers"].sum())
    for judge in known.scored.to_dict("records"):
        n_scored = max(int(judge[f"n_{name}"] or 0) for name in ("alignment", "coherence", "verdict"))
        row = _counted(f"Answers asked of {judge['judge_id']}", n_answers, int(judge["n_asked"]), "not judged")
        rows.append(Planned(row.what, row.planned, row.actual, _join(row.note, f"{n_scored:,} scored"), row.missing))
    if known.scored.empty and n_answers:
        rows.append(Planned("Judged answers", f"{n_answers:,}", "0", "nobody has judged them", True))
    calls, cached = int(known.judging["n"].sum()), int(known.judging["n_cached"].sum())
    wanted = _said(plan, "judge_calls") if (plan or {}).get("judge_calls") else None  # rules of this machine are not called
    rows.append(Planned("Judge scores", wanted, f"{calls:,}", f"{cached:,} from the cache" if cached else ""))
    tokens = known.answered["n_tokens"].sum()
    rows.append(Planned("Tokens of answers", None, f"{int(tokens):,}" if n_answers else None))
    about = trained_tokens(known.metrics)
    rows.append(
        Planned("Tokens trained", _said(plan, "tokens_total"), None if about is None else f"about {about:,.0f}", "pace x time")
    )
    span, wall = (plan or {}).get("time_s"), None if known.run.get("run_kind") == "imported" else wall_s(known.states)
    wanted = f"{span[0]:,.0f} to {span[1]:,.0f} s" if span else None
    rows.append(Planned("Wall time", wanted, None if wall is None else f"{wall:,.1f} s", "all attempts, answers and judging too"))
    for what, key, frame in (
        ("training", "memory_train_gib", known.metrics),
        ("sampling", "memory_sample_gib", known.generations),
    ):
        peak, said = frame["gpu_mem_gib"].dropna(), (plan or {}).get(key)
        if len(peak):  # on a CPU none is measured
            rows.append(Planned(f"GPU memory in {what}", f"{said:,.1f} GiB" if said else None, f"{peak.max():,.1f} GiB"))
    disk = known.checkpoints.loc[known.checkpoints["step"] > 0, "size_bytes"].sum() if n_checkpoints else None
    wanted = size(float(plan["disk_gib"]) * 2**30) if plan and plan.get("disk_gib") else None
    rows.append(Planned("Disk for checkpoints", wanted, size(float(disk)) if disk else None))
    return rows


def _baseline(known: Known) -> Planned:
    zero = known.answered[known.answered["step"] == 0]
    own = int(zero.loc[zero["source_run_id"] == known.run_id, "n_first"].sum())
    shared = int(zero["n_first"].sum()) - own
    wanted = _number(known.run.get("n_answers_planned")), _number(known.run.get("n_checkpoints"))
    own_plan = known.run.get("run_kind") != "imported"  # nobody said that an imported run's starting model was asked
    each = wanted[0] // wanted[1] if own_plan and wanted[0] and wanted[1] else None
    row = _counted("Answers of the starting model", each, max(own, shared))
    return Planned(row.what, row.planned, row.actual, _join(row.note, "shared with other runs" if shared else ""), row.missing)


def _counted(what: str, planned: int | None, actual: int | None, lacking: str = "missing") -> Planned:
    planned = planned if planned or not actual else None  # a plan of nothing where there is something is no plan
    short = planned is not None and (actual or 0) < planned
    note = f"{planned - (actual or 0):,} {lacking}" if short and planned is not None else ""
    return Planned(what, None if planned is None else f"{planned:,}", None if actual is None else f"{actual:,}", note, short)


def checkpoint_rows(known: Known, disk: Mapping[int, str] | None = None, rates: Mapping[int, str] | None = None) -> pd.DataFrame:
    """The checkpoints as a table, step 0 first: one row per step that has a checkpoint or answers.

    Args:
        known: The run.
        disk: What was found on this machine, by step (`em_core.view.run_files.checkpoints`).
        rates: The headline rate in words, by step.

    Returns:
        Step, Epoch, Rows seen, Size, On disk, Answers, EM rate, sha256, Answers name it (whether the answers carry that digest).
    """
    saved = {int(row["step"]): row for row in known.checkpoints.to_dict("records")}
    given = {int(row["step"]): row for row in known.answered.to_dict("records")}
    rows = []
    for step in sorted({*saved, *given}):
        checkpoint, answers = saved.get(step, {}), given.get(step)
        sha256 = str(checkpoint.get("sha256") or (known.run.get("model_sha256") or "" if step == 0 else ""))
        rows.append(
            {
                "Step": step,
                "Epoch": checkpoint.get("epoch", 0.0 if step == 0 else None),
                "Rows seen": checkpoint.get("samples_seen", 0 if step == 0 else None),
                "Size": size(checkpoint.get("size_bytes")) if step and checkpoint else "",
                "On disk": (disk or {}).get(step, "starting model" if step == 0 else "not here"),
                "Answers": int(answers["n_answers"]) if answers else 0,
                "EM rate": (rates or {}).get(step, ""),
                "sha256": sha256,
                "Answers name it": proof(answers, sha256),
            }
        )
    columns = ["Step", "Epoch", "Rows seen", "Size", "On disk", "Answers", "EM rate", "sha256", "Answers name it"]
    return pd.DataFrame(rows, columns=columns)


def proof(answers: Mapping[str, Any] | None, sha256: str) -> str:
    """Whether the answers of a step carry the digest of the weights that are said to have given them."""
    weights = [str(each) for each in answers["weights"] if each] if answers and answers["weights"] is not None else []
    if not answers:
        return "no answers"
    if not weights or not sha256:
        return UNKNOWN
    return "yes" if weights == [sha256] else "no"


def throughput(generations: pd.DataFrame) -> pd.DataFrame:
    """Sampling, one row per checkpoint: Step, Answers, Tokens, Seconds, Answers/s, Tokens/s, Batch, Merged, GPU GiB, Sampler."""
    rows = generations.sort_values(["step", "t"])
    wall = rows["wall_s"].where(rows["wall_s"] > 0)
    return pd.DataFrame(
        {
            "Step": rows["step"], "Answers": rows["n_responses"], "Tokens": rows["n_tokens"], "Seconds": rows["wall_s"],
            "Answers/s": rows["n_responses"] / wall, "Tokens/s": rows["n_tokens"] / wall, "Batch": rows["batch_size"],
            "Merged": rows["merged"], "GPU GiB": rows["gpu_mem_gib"], "Sampler": rows["sampler"],
        }
    )  # fmt: skip


def training_pace(metrics: pd.DataFrame) -> dict[str, float | None]:
    """tokens_per_s (median, and of the slowest and fastest tenth) and gpu_mem_gib (peak); None where nothing was written."""
    pace = metrics["tokens_per_s"].dropna().astype(float)
    memory = metrics["gpu_mem_gib"].dropna().astype(float)
    q = pace.quantile([0.1, 0.5, 0.9]).tolist() if len(pace) else [None, None, None]
    return {"slow": q[0], "median": q[1], "fast": q[2], "gpu_mem_gib": float(memory.max()) if len(memory) else None}


def _number(value: Any) -> int | None:
    return None if value is None or value != value else int(value)


def _said(plan: Mapping[str, Any] | None, name: str) -> str | None:
    return None if not plan or plan.get(name) is None else f"{int(plan[name]):,}"


def _join(*notes: str) -> str:
    return ", ".join(filter(None, notes))
