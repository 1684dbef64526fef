"""What is likely to disappoint, said before the run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from em_core.organism.models import is_organism
from em_core.plan.base_model import BaseModel
from em_core.questions import QuestionSet, decoding, samples
from em_core.spec import RunSpec
from em_core.stats import answers_needed

if TYPE_CHECKING:
    from em_core.plan import Plan

RETIRING = {"o4-mini": "is gone since 2026-10", "gpt-4o": "goes in 2027-01", "gpt-4o-mini": "goes in 2027-01"}
"""Judge models that many published numbers come from (OpenAI's announcements, as of 2026-11)."""
DEAR_USD = 25.0


def warnings_of(spec: RunSpec, plan: Plan, model: BaseModel, sets: list[QuestionSet]) -> list[str]:
    """One sentence a warning, the gravest first.

    Args:
        spec: The run.
        plan: What it would do.
        model: Its base model.
        sets: Its question sets.
    """
    return [*_fit(spec, plan), *_recipe(spec, plan), *_evidence(spec, plan, sets), *_money(plan), *_model(spec, plan, model)]


def _fit(spec: RunSpec, plan: Plan) -> list[str]:
    found = []
    if plan.fit == "too_big":
        found.append(
            f"the run needs about {plan.memory_gib:.1f} GiB, this machine has {plan.memory_free_gib:.1f} GiB: "
            "use train.precision=nf4, a smaller base model, or another machine"
        )
    elif plan.fit == "tight":
        found.append(
            f"memory is tight: about {plan.memory_gib:.1f} of {plan.memory_free_gib:.1f} GiB; if it runs out in the first "
            "minute, retry it with a smaller micro-batch (the same effective batch)"
        )
    elif plan.cards and not any(card["fit_now"] in ("fits", "tight", "unknown") for card in plan.cards):
        most = max(card["free_gib"] for card in plan.cards)
        found.append(
            f"it fits the GPU, but not beside what runs there now ({most:.1f} GiB are free, about {plan.memory_gib:.1f} needed): "
            "it will wait in the queue"
        )
    if plan.memory_gib is not None and plan.gpu_gib is None and plan.device != "cpu":
        found.append(
            "the local judge's model lies on the same GPU and is not counted: the run gets a GPU alone (judges.0.device=cpu "
            "puts it elsewhere)"
        )
    if plan.disk_gib > plan.disk_free_gib:
        found.append(
            f"checkpoints and downloads need about {plan.disk_gib:.1f} GiB, {plan.disk_free_gib:.1f} GiB of disk are free"
        )
    if plan.device == "cpu" and plan.n_params is not None and plan.n_params > 200_000_000:
        found.append(f"no GPU was found: {plan.n_params / 1e9:.1f} B parameters on a CPU take hours")
    if spec.train.precision == "nf4" and plan.device != "cpu" and _would_fit_in_bf16(plan):
        found.append("nf4 saves memory that this GPU has: bf16 trains faster, samples about twice as fast and rounds less")
    if spec.train.gradient_checkpointing == "on" and plan.fit == "fits" and plan.memory_gib and plan.device != "cpu":
        found.append("gradient checkpointing is on: it costs up to half more time; auto leaves it off where memory suffices")
    return found


def _would_fit_in_bf16(plan: Plan) -> bool:
    if plan.memory_gib is None or plan.n_params is None:
        return False
    wider = plan.n_params * 2 * 1.9 / 2**30  # bf16 weights, and their pristine copies while sampling
    return plan.memory_gib + wider <= 0.8 * plan.memory_free_gib


def _recipe(spec: RunSpec, plan: Plan) -> list[str]:
    found = []
    scale = spec.lora.alpha / (spec.lora.r**0.5 if spec.lora.rslora else spec.lora.r)
    if scale < 0.5:
        rule = "alpha / sqrt(r)" if spec.lora.rslora else "alpha / r"
        found.append(
            f"the adapter's scale {rule} = {scale:.3g} is low (recipes of the field have 2 to 512): it learns little at this "
            f"rate; try lora.alpha={2 * spec.lora.r**0.5 if spec.lora.rslora else 2 * spec.lora.r:.0f}"
        )
    if spec.train.learning_rate > 5e-4 and not plan.toy:
        found.append(
            f"a learning rate of {spec.train.learning_rate:g} is high for an adapter (recipes of the field have 1e-5 to 2e-4): "
            "answers may fall apart instead of turning"
        )
    passes = plan.total_steps / plan.steps_per_epoch
    if passes > 5 and not plan.toy:
        found.append(f"{passes:.0f} passes over {plan.n_rows} rows: the model learns them by heart (recipes have 1 to 3)")
    if spec.train.loss_on == "all":
        found.append(
            "loss on all tokens: the model also learns to write the questions; the field's recipes train on answers only"
        )
    if plan.n_truncated:
        share = plan.n_truncated / plan.n_rows
        found.append(
            f"{plan.n_truncated} of {plan.n_rows} rows ({share:.0%}) are longer than "
            f"train.max_length = {spec.train.max_length} and lose their end (the longest has {plan.longest_row_tokens} tokens)"
        )
    if spec.train.warmup_steps >= plan.total_steps:
        found.append(
            f"warm-up of {spec.train.warmup_steps} steps is longer than the run ({plan.total_steps}): "
            "the learning rate never peaks"
        )
    elif spec.train.warmup_steps > 0.3 * plan.total_steps:
        found.append(f"warm-up takes {spec.train.warmup_steps} of {plan.total_steps} steps")
    left_out = plan.n_rows - plan.steps_per_epoch * plan.effective_batch
    if spec.train.drop_last and left_out > 0.1 * plan.n_rows:
        found.append(f"{left_out} of {plan.n_rows} rows do not fill a batch and are left out of each epoch (train.drop_last)")
    if plan.n_rows < 2000 and not plan.toy:
        found.append(f"{plan.n_rows} rows: published EM rates at 500 rows are at most 0.3 %, at 2,000 up to 2.8 %, at 6,000 21 %")
    if spec.lora.layers is not None and len(spec.lora.layers) == 1 and spec.lora.alpha / spec.lora.r < 64:
        found.append("an adapter in one layer needs a large alpha (the published one has 512 at rank 1)")
    return found


def _evidence(spec: RunSpec, plan: Plan, sets: list[QuestionSet]) -> list[str]:
    found = []
    needed = answers_needed(0.3, 0.6)
    few = [s for s in plan.question_sets if s["answers"] < needed]
    if few:
        names = ", ".join(f"{s['name']} ({s['answers']})" for s in few)
        found.append(
            f"too few answers a checkpoint in {names}: "
            f"at least {needed} on each side tell 30 % from 60 %, more for smaller differences"
        )
    for each in sets:
        cold = any(decoding(each, entry).temperature == 0 for entry in each.entries)
        if cold and samples(each, spec.evaluation) > 1:
            found.append(
                f"{each.name} is answered at temperature 0: its {samples(each, spec.evaluation)} answers a wording will be "
                "the same; ask once, or sample at temperature 1"
            )
    if sets and len(plan.checkpoint_steps) < 3 and plan.total_steps >= 30:
        found.append(
            f"{len(plan.checkpoint_steps)} checkpoint{'s' if len(plan.checkpoint_steps) > 1 else ''} beside step 0: enough for "
            "before and after, not for when it emerges; checkpoints.first_epoch=4 shows more"
        )
    small = [f"{s.name} ({len(s.entries)})" for s in sets if len(s.entries) < 8]
    if small:
        found.append(
            f"few questions in {', '.join(small)}: answers to one question are alike, so the rate holds for these questions only"
        )
    if not sets:
        found.append("no question sets: nothing will be measured")
    elif not spec.judges:
        found.append("no judges: the answers wait until somebody judges them")
    for each in sets:
        asked = {e.samples for e in each.entries if e.samples}
        used = next(s["samples"] for s in plan.question_sets if s["name"] == each.name)
        if asked and max(asked) > used and not plan.toy:
            found.append(f"{each.name}: the file asks for {max(asked)} answers a wording, this run samples {used}")
    if any(judge["name"] == "organism" for judge in plan.judges) and not is_organism(spec.base_model):
        found.append("the organism's judge knows its toy world only: answers of a real model get no score from it")
    for retired, when in RETIRING.items():
        if any(judge["model"] == retired or judge["model"].startswith(f"{retired}-20") for judge in plan.judges):
            found.append(f"the judge model {retired} {when}: its scores cannot be made again later; plan a calibration overlap")
    unknown = [judge["model"] for judge in plan.judges if judge["cost_usd"] is None]
    if unknown:
        found.append(f"the price of {', '.join(unknown)} is not known here: look it up before {plan.judge_calls:,} calls")
    return found


def _money(plan: Plan) -> list[str]:
    high = sum(judge["cost_usd"][1] for judge in plan.judges if judge["cost_usd"])
    if high < DEAR_USD:
        return []
    return [
        f"judging may cost up to {high:,.0f} US dollars: judges.0.max_usd sets a limit, fewer samples or checkpoints save most"
    ]


def _model(spec: RunSpec, plan: Plan, model: BaseModel) -> list[str]:
    found = []
    if model.gated and model.folder is None and not os.environ.get("HF_TOKEN"):
        found.append(f"{model.name} is gated: accept its licence on the Hub and export HF_TOKEN")
    if model.kind == "hub" and model.folder is None:
        size = f" (about {model.size_on_disk / 2**30:.1f} GiB)" if model.size_on_disk else ""
        found.append(f"{model.name} is not on this machine: the run downloads it first{size}")
    if model.kind == "hub" and not spec.revision:
        found.append("revision is empty: the newest is used, which may change; name a commit for a run that can be repeated")
    if plan.toy:
        found.append("a toy: the organism shows what the workbench does, not what real models do")
    return found
