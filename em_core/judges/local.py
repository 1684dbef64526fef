"""A language model on this machine as a judge: exact probabilities, no server, no key, no cost.

    logprob   the expected value over 0..100, every spelling of every number summed (`_trie`); default
    verdict   the most likely of the rubric's words, likewise
    integer   a short greedy reply, read as text

A score is ``sum(i * p_i) / sum(p_i)`` where the numbers together have at least `min_mass`, else the answer is
unscored with the reason that the reply's leading words give. What all prompts share goes through the
model once, and a number's branches reuse their prompt's keys and values (`_passes`).

A prompt longer than the model's context is unscored (`truncated`: the reply would have no room).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from em_core.errors import BadInput, WorkFailed
from em_core.judges import ToJudge, _weights, rubrics
from em_core.judges._ahead import Ahead
from em_core.judges._readings import REASONS, Reading, read_score, read_verdict
from em_core.judges._trie import NUMBERS, Target
from em_core.judges.identity import identify
from em_core.judges.replies import MAX_RAW_CHARS, read_integer
from em_core.records import Judgement, UnscoredReason
from em_core.spec import JudgeSpec

BELOW = 1e-6
"""Branches less likely than this are not walked (a number's stop condition then counts as met). With 111
branches of at most that, a score of enough mass moves by less than 0.05 in the worst case, by 0.001 as a rule."""
REPLY_TOKENS = 16
_HANDFUL = 4  # batches looked at together, to put prompts of like length beside each other
_FIRST_GUESS = 64  # answers, until the model is loaded and says how many fit


@dataclass(frozen=True)
class _Row:
    item: ToJudge
    metric: str
    ids: list[int]


class LocalJudge:
    """Scores answers with a local Hugging Face model.

    Args:
        spec: Model, mode, rubric, min_mass, device, batch_size; `snapshot` is the model's revision on the Hub.
        below: See `BELOW`; 0 = exact.

    Raises:
        EMError: Model, mode or rubric are missing or wrong.
    """

    def __init__(self, spec: JudgeSpec, below: float = BELOW) -> None:
        self.spec, self.below = spec, below
        self.rubric, self.mode = rubrics.fitting(spec.rubric, _asked_for(spec), automatic="logprob")
        self.weights = _weights.find(spec.model, spec.snapshot)
        self.targets = _targets(self.mode, self.rubric.words)
        on_gpu = spec.device.startswith("cuda") if spec.device else _gpu_is_there()
        decoding: dict[str, Any] = {
            "weights": self.weights.identity,
            "template": _weights.template_hash(None if self.weights.revision else self.weights.folder),
            "dtype": "bf16" if on_gpu else "fp32",
        }
        decoding |= {"max_tokens": REPLY_TOKENS} if self.mode == "integer" else {"min_mass": spec.min_mass, "below": below}
        self.identity = identify("local", self.weights.name, self.mode, self.rubric.hash, decoding)
        self._model: Any = None
        self._size = spec.batch_size

    def check(self) -> None:
        """Load configuration and tokenizer, and see whether the weights fit.

        Raises:
            EMError: They cannot be had, cannot judge, or do not fit.
        """
        from em_core.judges import _local_model

        reader = _local_model.read(self.weights, self.targets)
        _local_model.check_memory(self.weights, reader.config, _local_model.device_of(self.spec.device))

    def prepare(self) -> None:
        """Load the model now, in the caller's thread; otherwise the first answer does it, in the judging thread.

        While transformers builds a bf16 model, the process's default dtype is bf16: call this before training
        starts in the same process on a GPU. It also lets training see how much memory is left.

        Raises:
            EMError: The model cannot be loaded, or does not fit.
        """
        _ = self.model

    def metrics(self, item: ToJudge) -> tuple[str, ...]:
        """What it would score of that answer: nothing where the question carries no prompts, or no domain is known."""
        return tuple(self.rubric.applicable(item.judge_prompts, item.domain))

    def judge(self, items: Iterable[ToJudge]) -> Iterator[Judgement]:
        """Scores batch by batch; a batch is what is there, up to the batch size. Loads the model when the first answer comes.

        Raises:
            EMError: The model cannot be loaded or is damaged, or some questions carry no prompts.
        """
        feed = Ahead(items, _HANDFUL * (self.spec.batch_size or _FIRST_GUESS))
        without_prompts = 0
        try:
            while taken := feed.take(_HANDFUL * (self._size or _FIRST_GUESS)):
                asked: list[tuple[ToJudge, str, str]] = []
                for item in taken:
                    prompts = self._prompts(item)
                    without_prompts += not prompts and self.rubric.name == rubrics.QUESTION_FILE
                    wanted = {metric: prompt for metric, prompt in prompts.items() if metric not in item.skip_metrics}
                    if item.answer.strip():
                        asked += [(item, metric, prompt) for metric, prompt in wanted.items()]
                    else:
                        yield from (self._unscored(item, metric, "empty", "") for metric in wanted)
                for judgement in self._score(asked) if asked else ():
                    yield judgement
                    feed.check()
        finally:
            feed.close()
        if without_prompts:
            raise BadInput(
                f"rubric `question-file`: {without_prompts} answers belong to questions that carry no judge prompts; "
                "the others were judged",
                "use rubric `default` for question sets without prompts of their own",
            )

    @property
    def model(self) -> Any:
        """The loaded model (`_local_model.LocalModel`)."""
        if self._model is None:
            from em_core.judges import _local_model

            self._model = _local_model.load(self.weights, self.targets, _local_model.device_of(self.spec.device))
        return self._model

    def use(self, model: Any) -> None:
        """Judge with a `_local_model.LocalModel` that is in memory already (tests, benchmarks)."""
        self._model = model

    def _prompts(self, item: ToJudge) -> dict[str, str]:
        return self.rubric.prompts(item.question, item.answer, item.system, item.judge_prompts, item.domain)

    def _score(self, asked: list[tuple[ToJudge, str, str]]) -> Iterator[Judgement]:
        model = self.model
        context, room = model.reader.context, model.reader.trie.longest if model.reader.trie else REPLY_TOKENS
        rows: list[_Row] = []
        for (item, metric, _), ids in zip(asked, model.reader.encode([prompt for _, _, prompt in asked]), strict=True):
            if context is not None and len(ids) + room > context:
                why = f"(the judge prompt has {len(ids)} tokens, the judge model's context is {context})"
                yield self._unscored(item, metric, "truncated", why)
            else:
                rows.append(_Row(item, metric, ids))
        rows.sort(key=lambda row: (row.metric, -len(row.ids)))  # the longest first: what does not fit shows at once
        while rows:
            first = rows[0]
            size = self._size = self._size or model.rows_that_fit(len(first.ids))
            batch = [row for row in rows[:size] if row.metric == first.metric]
            judgements = self._batch(batch)
            if judgements is None:
                self._halve(len(batch))
                continue
            del rows[: len(batch)]
            yield from judgements

    def _batch(self, batch: list[_Row]) -> list[Judgement] | None:
        """The judgements of one batch; None = the memory did not suffice."""
        from em_core.judges import _local_model

        try:
            readings = self._readings(batch)
        except Exception as error:
            if not _local_model.is_out_of_memory(error):
                raise
            return None
        judge_id = self.identity.judge_id
        return [
            Judgement(
                row.item.response_id, judge_id, row.metric, r.value, r.reason, r.raw[:MAX_RAW_CHARS], r.token_probs or None,
                len(row.ids), n_new, verdict=r.verdict,
            )
            for row, (r, n_new) in zip(batch, readings, strict=True)
        ]  # fmt: skip

    def _readings(self, batch: list[_Row]) -> list[tuple[Reading, int]]:
        model = self.model
        prompts = model.passes.read([row.ids for row in batch], batch[0].metric)
        if self.mode == "integer":
            readings = []
            for tokens, ended in model.passes.greedy(prompts, model.stops, REPLY_TOKENS):
                text = model.reader.tokenizer.decode(tokens, skip_special_tokens=True)
                found = read_integer(text, "stop" if ended else "length")
                readings.append((Reading(found.value, None, found.reason, text, ""), len(tokens)))
            return readings
        first = model.first_tokens(prompts.logits)
        trie = model.reader.trie
        walked = model.passes.walk(prompts, trie, self.below)
        read = read_verdict if self.mode == "verdict" else read_score
        return [(read(trie.names, p, tokens, self.spec.min_mass), 0) for p, tokens in zip(walked, first, strict=True)]

    def _halve(self, size: int) -> None:
        from em_core.judges import _local_model

        _local_model.empty_cache()
        if size == 1:
            raise WorkFailed(
                f"judge model {self.weights.name!r}: one prompt alone does not fit the memory",
                "use a smaller judge model, or free the GPU; finished scores are kept",
            )
        self._size = max(1, size // 2)

    def _unscored(self, item: ToJudge, metric: str, reason: UnscoredReason, why: str) -> Judgement:
        return Judgement(item.response_id, self.identity.judge_id, metric, None, reason, why, None, None, None)


def open(spec: JudgeSpec) -> LocalJudge:
    """Find the model that the spec names; it is loaded when the first answer comes.

    Raises:
        EMError: Model, mode or rubric are missing or wrong.
    """
    return LocalJudge(spec)


def _asked_for(spec: JudgeSpec) -> str:
    if spec.temperature:
        raise BadInput(
            f"judge `local`: temperature is {spec.temperature:g}, but it draws nothing", "set the judge's temperature to 0"
        )
    if spec.mode == "structured":
        raise BadInput("judge `local` has no mode `structured`", "use logprob (exact), integer or verdict")
    return spec.mode


def _targets(mode: str, words: tuple[str, ...]) -> tuple[Target, ...]:
    if mode == "integer":
        return ()
    if mode == "logprob":
        return (*NUMBERS, *REASONS)
    return tuple(
        Target(word, text, "letter") for word in words for text in dict.fromkeys((word, word.capitalize(), word.lower()))
    )


def _gpu_is_there() -> bool:
    """Whether torch would use a GPU; asks torch only where there could be one."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "" or not (shutil.which("nvidia-smi") or Path("/dev/nvidiactl").exists()):
        return False
    import torch

    return torch.cuda.is_available()
