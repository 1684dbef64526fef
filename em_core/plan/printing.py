"""A plan as text."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from em_core.view.run_words import time_range

if TYPE_CHECKING:
    from em_core.plan import Plan

FIT_WORDS = {"fits": "fits", "tight": "tight", "too_big": "too big", "unknown": "not known whether it fits"}


def printed(plan: Plan) -> str:
    """About 20 lines: what would be done, what it takes, warnings."""
    about = "about " if plan.tokens_estimated else ""
    size = (
        f", {plan.n_params / 1e6:,.1f} M parameters"
        if plan.n_params and plan.n_params < 1e8
        else f", {plan.n_params / 1e9:.2f} B parameters"
        if plan.n_params
        else ""
    )
    lines = [plan.label]
    lines += _row("model", f"{plan.base_model}{size}" + (f", {plan.adapter_params:,} trained" if plan.adapter_params else ""))
    for part in plan.data:
        of = "" if part["rows"] == part["n_rows_file"] else f" of {part['n_rows_file']:,}"
        lines += _row("data", f"{part['name']}: {part['rows']:,}{of} rows, {part['domain']}")
    lines += _row(
        "tokens",
        f"{about}{plan.tokens_per_epoch:,} an epoch, {plan.tokens_total:,} in all, longest row {plan.longest_row_tokens:,}",
    )
    lines += _row("steps", f"{plan.total_steps:,} of {plan.effective_batch} rows ({plan.steps_per_epoch:,} an epoch)")
    lines += _row("checkpoints", f"{len(plan.checkpoint_steps)}: {_steps(plan.checkpoint_steps)}")
    for each in plan.question_sets:
        lines += _row(
            "questions",
            f"{each['name']}: {each['questions']} questions, {each['wordings']} wordings "
            f"x {each['samples']} = {each['answers']:,} answers",
        )
    lines += _row(
        "answers",
        f"{plan.answers_per_checkpoint:,} a checkpoint, {plan.n_answers:,} in all (step 0, shared between runs, included)",
    )
    for judge in plan.judges:
        lines += _row("judge", _judge(judge))
    lines += _memory(plan)
    lines += _row("disk", _disk(plan))
    if plan.time_s:
        lines += _row("time", f"{time_range(*plan.time_s)}, {plan.time_source}, on {plan.device}")
        lines += _row("", "; ".join(map(phase_words, plan.phases)))
    for kind, sentences in (("note", plan.notes), ("warning", plan.warnings)):
        for sentence in sentences:
            lines += _row(kind, sentence)
    return "\n".join(lines)


def _memory(plan: Plan) -> list[str]:
    if not plan.layout:
        return []
    checkpointing = "with" if plan.layout["gradient_checkpointing"] else "without"
    at_once = plan.layout["micro_batch"]
    how = f"{at_once} row{'s' if at_once > 1 else ''} at once, {checkpointing} gradient checkpointing"
    each = f" on each of {plan.gpus} GPUs" if plan.gpus > 1 else ""
    words = FIT_WORDS[plan.fit]
    lines = _row("memory", f"about {plan.memory_gib:.1f} of {plan.memory_free_gib:.1f} GiB{each} ({plan.device}): {words}; {how}")
    for phase in ("training", "sampling"):
        parts = [
            f"{part['part']} {part['gib']:.1f}" for part in plan.memory_split if part["phase"] == phase and part["gib"] >= 0.05
        ]
        if parts:
            lines += _row("", f"{phase}: {', '.join(parts)} GiB")
    return lines


def _disk(plan: Plan) -> str:
    parts = ", ".join(f"{name} {gib:.2f}" for name, gib in plan.disk_split.items() if gib >= 0.005)
    return f"about {plan.disk_gib:.2f} GiB{f' ({parts})' if parts else ''}, {plan.disk_free_gib:.0f} GiB free"


def phase_words(phase: dict[str, Any]) -> str:
    """One phase and its time: ``load 20 s to 40 s``."""
    beside = " beside the others" if phase["beside"] else ""
    return f"{phase['name']} {time_range(phase['low_s'], phase['high_s'])}{beside}"


def _row(name: str, text: str) -> list[str]:
    return textwrap.wrap(text, 118, initial_indent=f"  {name:<12}", subsequent_indent=" " * 14, break_long_words=False) or [
        f"  {name}"
    ]


def _steps(steps: list[int]) -> str:
    shown = [str(s) for s in steps]
    return ", ".join(shown) if len(shown) <= 12 else ", ".join(shown[:6]) + ", ... " + ", ".join(shown[-3:])


def _judge(judge: dict[str, Any]) -> str:
    name = f"{judge['name']} {judge['model']}".strip()
    if not judge["calls"]:
        return f"{name}: exact rules, no calls, no cost"
    cost = judge["cost_usd"]
    money = "price unknown" if cost is None else "no cost" if cost == (0.0, 0.0) else f"about ${cost[0]:.2f} to ${cost[1]:.2f}"
    return f"{name}: {judge['calls']:,} calls, {money}"
