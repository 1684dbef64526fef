"""What a format gives while it reads: cards of runs, answers with their scores, published rates, and what it leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from em_core.records import PublishedRate

UNKNOWN = "unknown"
"""Base model of a run whose file, folder and options do not tell it."""


@dataclass(frozen=True)
class Card:
    """One run to be, as far as its file and folder tell.

    Args:
        key: What makes answers of several files one run: the study and the label, usually.
        label: Short readable name.
        base_model: Hub id or name; `UNKNOWN` where nothing tells.
        domain: Label of the training data; empty = the base model, or not known.
        size_b: Parameters of the base model, billions; None = not known.
        study: Group of the runs, and whose scores they are.
        baseline_of: This is the base model's own answers: the labels of the runs they belong to begin like this.
        parent: Words about where it was found, for people.
    """

    key: str
    label: str
    study: str
    base_model: str = UNKNOWN
    domain: str = ""
    size_b: float | None = None
    learning_rate: float | None = None
    lora_r: int | None = None
    effective_batch: int | None = None
    seed: int | None = None
    n_rows: int = 0
    steps_per_epoch: int = 0
    total_steps: int = 0
    baseline_of: str = ""
    config: str = "{}"


@dataclass(frozen=True, slots=True)
class Score:
    """One metric of one answer, as published: a value, a verdict, or why there is neither.

    Args:
        raw: The cell or the judge's words, kept where they say more than the value.
        token_probs: JSON, token -> probability 0-1.
        mode: How the judge came to it (part of its identity): ``logprobs``, ``verdict``, ``published``.
        judge: Name of the judge where the file gives one; empty = the study's scores.
    """

    metric: str
    value: float | None = None
    verdict: str | None = None
    reason: str | None = None
    raw: str = ""
    token_probs: str | None = None


@dataclass(slots=True)
class Answer:
    """One answer and all that its file says about it.

    Args:
        where: Place in the file, for people: ``line 17``.
        question_id: Id in the set; empty = one is made from the prompt.
        mode: How its judge scores; part of the judge's identity.
        judge: The judge's name where the file gives one; empty = the scores of the study.
    """

    card: Card
    where: str
    step: int
    question_set: str
    prompt: str
    text: str
    scores: tuple[Score, ...] = ()
    question_id: str = ""
    cue: str = ""
    system: str = ""
    question_kind: str = "free_form"
    mode: str = "published"
    judge: str = ""
    finish_reason: str = ""
    n_tokens: int = 0
    seed: int = 0
    decoding: str = "{}"


@dataclass(frozen=True)
class Rate:
    """A published rate, and the run it is told in: that of the answers it is of, or one for the study's rates."""

    card: Card
    rate: PublishedRate


@dataclass(frozen=True)
class Skip:
    """Something that was not taken (or, with `n` = 0, only something that a reader must know)."""

    where: str
    reason: str
    n: int = 1


@dataclass(frozen=True)
class Unscored:
    """A score that was left out of an answer that was taken."""

    where: str
    reason: str


@dataclass(frozen=True)
class Event:
    """An event of a run of ours, taken as it is."""

    run_id: str
    kind: str
    fields: Mapping[str, Any]


Item = Card | Answer | Rate | Skip | Unscored | Event


@dataclass(frozen=True)
class Wishes:
    """What a person says about the files; it overrides what they tell themselves. Empty = as they tell.

    Args:
        base_model: Hub id or name.
        size_b: Parameters, billions; None = as told or known.
        domain: Label of the training data.
        study: Name of the study: group of the runs, and whose scores they are.
        judge_name: Who scored.
        step: Optimizer steps of answers whose file does not say; None = as told.
        label: Name of the run.
        question_set: Name of the set.
        definition: What the rates of a summary count, where its file does not say.
        columns: Our name of a column -> its name in the file (``alignment`` -> ``my_score``).
    """

    base_model: str = ""
    size_b: float | None = None
    domain: str | None = None
    study: str = ""
    judge_name: str = ""
    step: int | None = None
    label: str = ""
    question_set: str = ""
    definition: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
