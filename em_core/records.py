"""What is written down: one frozen record per event kind, one table per kind, same field names.

An event line is ``{"kind": "response", "t": 1790000000.0, ...the record's fields}``; the run id is
the name of the run's folder and `t` is the time of writing, seconds since 1970. A field added here
is a column to add in `em_core/store/schema.sql` (a test compares the two).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, ClassVar, Literal

Phase = Literal["run", "train", "evaluate", "judge", "publish"]
State = Literal["queued", "running", "finished", "failed", "stopped", "crashed", "skipped"]
FinalState = ("finished", "failed", "stopped", "crashed")
UnscoredReason = Literal["refusal", "code", "parse_failure", "api_error", "truncated", "empty"]
SIDE_KINDS = ("baseline", "judge", "labels", "health")
"""Kinds of runs that only hold something of other runs: step 0 they share, later judgements, labels, health."""
METRICS = ("alignment", "coherence")
VERDICTS = ("ALIGNED", "UNALIGNED", "INCOHERENT", "CODE", "REFUSAL", "TRUE", "FALSE", "UNKNOWN")
"""Words of verdict judges: the first five for free-form answers, the last three for factual questions."""


@dataclass(frozen=True, slots=True)
class Record:
    """Base of all records; `kind` names the event kind, `table` where it is kept."""

    kind: ClassVar[str]
    table: ClassVar[str]

    def as_event(self) -> dict[str, Any]:
        """The event's fields without `t`, ``kind`` first."""
        return {"kind": self.kind, **{name: getattr(self, name) for name in _names(type(self))}}  # type: ignore[arg-type]


@cache
def _names(record: type[Record]) -> tuple[str, ...]:
    return tuple(item.name for item in fields(record))


@dataclass(frozen=True, slots=True)
class RunCreated(Record):
    """A run exists: written once, by the launcher, before the run is queued."""

    kind: ClassVar[str] = "run_created"
    table: ClassVar[str] = "run_created"
    run_kind: str  # train | baseline | evaluate | imported | judge | labels | health
    label: str
    experiment: str
    spec_json: str
    spec_hash: str
    base_model: str
    revision: str
    backend: str
    domain: str  # label of the training data; "" for a baseline
    data_sources: str  # JSON list
    parent_run_id: str
    parent_step: int | None
    learning_rate: float | None
    lora_r: int | None
    effective_batch: int | None
    seed: int | None
    demo: bool = False
    toy: bool = False


@dataclass(frozen=True, slots=True)
class RunFacts(Record):
    """What only the worker knows: written once per attempt, after the model is loaded."""

    kind: ClassVar[str] = "run_facts"
    table: ClassVar[str] = "run_facts"
    n_params: int | None  # None = not known (an imported run)
    size_b: float | None  # parameters of the base model, billions
    n_rows: int
    steps_per_epoch: int
    total_steps: int
    n_checkpoints: int
    n_answers_planned: int
    baseline_run_id: str
    model_sha256: str  # identity of the starting weights
    device: str
    gpu: str
    host: str
    versions_json: str
    attempt: int


@dataclass(frozen=True, slots=True)
class RunState(Record):
    """A phase changed its state. Training, evaluation, judging and publishing are separate."""

    kind: ClassVar[str] = "state"
    table: ClassVar[str] = "run_states"
    phase: Phase
    state: State
    reason: str = ""
    hint: str = ""
    attempt: int = 0
    cause: str = ""  # a word of `em_core.causes.Cause`


@dataclass(frozen=True, slots=True)
class Checkpoint(Record):
    """A complete checkpoint on disk (step 0 = the starting model, nothing on disk)."""

    kind: ClassVar[str] = "checkpoint"
    table: ClassVar[str] = "checkpoints"
    step: int
    epoch: float
    path: str  # relative to the run folder; "" at step 0
    sha256: str  # of the adapter weights; of the starting weights at step 0
    size_bytes: int
    samples_seen: int


@dataclass(frozen=True, slots=True)
class TrainMetric(Record):
    """One optimizer step."""

    kind: ClassVar[str] = "metric"
    table: ClassVar[str] = "train_metrics"
    step: int
    epoch: float
    loss: float | None
    learning_rate: float | None
    grad_norm: float | None
    tokens_per_s: float | None  # real (unpadded) tokens through the model
    gpu_mem_gib: float | None


@dataclass(frozen=True, slots=True)
class QuestionRow(Record):
    """One paraphrase of one question, as it was asked in this run."""

    kind: ClassVar[str] = "question"
    table: ClassVar[str] = "questions"
    question_set: str
    question_set_hash: str
    question_id: str
    paraphrase: int
    system: str
    prompt: str
    domain: str  # "" = outside every training domain
    question_kind: str


@dataclass(frozen=True, slots=True)
class Response(Record):
    """One sampled answer; immutable."""

    kind: ClassVar[str] = "response"
    table: ClassVar[str] = "responses"
    response_id: str
    step: int
    question_set: str
    question_id: str
    paraphrase: int
    sample: int
    cue: str
    text: str
    finish_reason: str  # stop | length
    n_tokens: int
    n_prompt_tokens: int
    seed: int
    decoding: str  # JSON: temperature, top_p, max_tokens, sampler, merged
    weights_sha256: str


@dataclass(frozen=True, slots=True)
class JudgeIdentity(Record):
    """Who scored: two judges are never mixed in one line."""

    kind: ClassVar[str] = "judge"
    table: ClassVar[str] = "judges"
    judge_id: str
    plugin: str
    model: str
    mode: str
    rubric_hash: str
    decoding: str  # JSON
    endpoint_host: str


@dataclass(frozen=True, slots=True)
class Judgement(Record):
    """One metric of one answer by one judge: a value or a verdict, or the reason why there is none."""

    kind: ClassVar[str] = "judgement"
    table: ClassVar[str] = "judgements"
    response_id: str
    judge_id: str
    metric: str
    value: float | None  # 0-100
    unscored_reason: str | None
    raw_reply: str
    token_probs: str | None  # JSON {token: probability} where the judge gives them
    input_tokens: int | None
    output_tokens: int | None
    cached: bool = False
    verdict: str | None = None  # one of VERDICTS, where the judge gives a word instead of a number
    served_model: str | None = None  # the model that the server says answered, where it is another than asked for


@dataclass(frozen=True, slots=True)
class Generation(Record):
    """Throughput of sampling one checkpoint."""

    kind: ClassVar[str] = "generation"
    table: ClassVar[str] = "generations"
    step: int
    sampler: str
    n_responses: int
    n_tokens: int
    wall_s: float
    batch_size: int
    merged: bool
    gpu_mem_gib: float | None


@dataclass(frozen=True, slots=True)
class AnswerHealth(Record):
    """Judge-free signs of breakage in one answer (`em_core.health`)."""

    kind: ClassVar[str] = "health"
    table: ClassVar[str] = "answer_health"
    response_id: str
    rules: str  # version of the rules
    n_chars: int
    n_words: int
    repetition: float  # share of repeated word n-grams, 0-1
    code_share: float  # share of the text that is program code, 0-1
    refused: bool
    overlap_words: int | None  # longest verbatim run shared with the training data, words; None = data not known
    overlap_share: float | None  # share of the words inside such runs, 0-1
    looks_cut: bool = False  # ends without the end of a sentence: for answers without a finish reason


@dataclass(frozen=True, slots=True)
class HumanLabel(Record):
    """A person's score of one answer."""

    kind: ClassVar[str] = "label"
    table: ClassVar[str] = "labels"
    response_id: str
    labeller: str
    metric: str
    value: float | None
    unscored_reason: str | None
    note: str = ""
    verdict: str | None = None


@dataclass(frozen=True, slots=True)
class ImportedFile(Record):
    """A file of somebody else's that was imported into this run."""

    kind: ClassVar[str] = "import"
    table: ClassVar[str] = "imports"
    file: str  # its name, without folders
    format: str
    sha256: str
    n_rows: int
    n_imported: int
    skipped: str  # JSON list of {"where", "reason", "n"}
    note: str = ""


@dataclass(frozen=True, slots=True)
class PublishedRate(Record):
    """A rate that somebody published, from a summary without answers; the columns of ``data/reference/*.csv``."""

    kind: ClassVar[str] = "published_rate"
    table: ClassVar[str] = "published_rates"
    study: str
    label: str
    source: str  # address, paper or file
    definition: str  # name of ours that is meant, or its expression; "" = another one, see note
    judge: str
    base_model: str
    size_b: float | None
    domain: str
    step: int | None  # None = the final model
    question_set: str
    n_total: int | None = None
    n_scored: int | None = None
    n_coherent: int | None = None
    n_misaligned: int | None = None
    em_rate: float | None = None  # 0-1
    coherent_share: float | None = None  # 0-1
    note: str = ""


RECORDS: dict[str, type[Record]] = {
    record.kind: record
    for record in (
        RunCreated, RunFacts, RunState, Checkpoint, TrainMetric, QuestionRow, Response, JudgeIdentity, Judgement,
        Generation, AnswerHealth, HumanLabel, ImportedFile, PublishedRate,
    )
}  # fmt: skip


def response_id(run_id: str, step: int, question_set: str, question_id: str, paraphrase: int, sample: int, cue: str = "") -> str:
    """The answer's key, the same whenever and wherever it is computed (20 hex digits)."""
    key = "\x1f".join(map(str, (run_id, step, question_set, question_id, paraphrase, sample, cue)))
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:20]


@dataclass(frozen=True, slots=True)
class Decoding:
    """How answers are sampled.

    Args:
        temperature: 0 means greedy.
        top_p: Nucleus mass, (0, 1].
        max_tokens: Longest answer, tokens.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 600


@dataclass(frozen=True, slots=True)
class Prompt:
    """One answer to sample: what is asked, how, and the key of the answer.

    `seed` makes this one answer repeatable, independent of the batch it is decoded in.
    """

    response_id: str
    question_set: str
    question_id: str
    paraphrase: int
    sample: int
    system: str
    prompt: str
    decoding: Decoding
    seed: int
    cue: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a sampler returns for one `Prompt`."""

    prompt: Prompt
    text: str
    finish_reason: Literal["stop", "length"]
    n_tokens: int
    n_prompt_tokens: int
    extra: dict[str, Any] = field(default_factory=dict)
