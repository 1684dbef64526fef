"""From question sets to the prompts of one checkpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from em_core.errors import BadInput
from em_core.records import Decoding, Prompt, QuestionRow, response_id
from em_core.spec import EvaluationSpec

if TYPE_CHECKING:
    from em_core.questions import QuestionSet
    from em_core.questions.entries import Entry

TEMPERATURE, TOP_P, MAX_TOKENS = 1.0, 1.0, 600
"""Decoding where neither the spec nor the file says (Betley et al., arXiv 2502.17424, section 3)."""


def decoding(question_set: QuestionSet, entry: Entry) -> Decoding:
    """How a question's answers are sampled: the spec's explicit value, else the file's own, else 1, 1, 600."""
    use = question_set.use
    values = [
        next(v for v in (asked, own, default) if v is not None)
        for asked, own, default in (
            (use.temperature, entry.temperature, TEMPERATURE),
            (use.top_p, entry.top_p, TOP_P),
            (use.max_tokens, entry.max_tokens, MAX_TOKENS),
        )
    ]
    return Decoding(float(values[0]), float(values[1]), int(values[2]))


def samples(question_set: QuestionSet, evaluation: EvaluationSpec) -> int:
    """Answers per wording: the use's own number, else ``evaluation.samples``. What the file asks for
    (``samples_per_paraphrase``, often 100) is not used by itself: it costs hours where 5 tell enough."""
    return question_set.use.samples or evaluation.samples


def sample_seed(seed: int, question_set: str, question_id: str, paraphrase: int, sample: int) -> int:
    """Seed of one answer, 0 to 2**31 - 1: the same at every step and in every run, so that they are paired."""
    key = "\x1f".join(map(str, (seed, question_set, question_id, paraphrase, sample)))
    return int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:4], "big") >> 1


def prompts(
    run_id: str, step: int, sets: Sequence[QuestionSet], evaluation: EvaluationSpec, seed: int | None = None
) -> list[Prompt]:
    """Every answer to sample at one checkpoint.

    Args:
        run_id: Of the run that owns the answers (the baseline's at step 0).
        step: The checkpoint's step.
        sets: The question sets, names all different.
        evaluation: Samples and seed.
        seed: Instead of ``evaluation.seed``.

    Returns:
        One prompt per set, question, wording and sample, in that order.

    Raises:
        BadInput: Two sets have one name, so that their answers would share keys.
    """
    names = [s.name for s in sets]
    if len(set(names)) != len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise BadInput(
            f"evaluation.question_sets: {twice!r} is there twice", "name each set once; rename the file if two share a name"
        )
    base = evaluation.seed if seed is None else seed
    return [
        Prompt(
            response_id=response_id(run_id, step, each.name, entry.id, paraphrase, sample),
            question_set=each.name,
            question_id=entry.id,
            paraphrase=paraphrase,
            sample=sample,
            system=entry.system,
            prompt=wording,
            decoding=decoding(each, entry),
            seed=sample_seed(base, each.name, entry.id, paraphrase, sample),
        )
        for each in sets
        for entry in each.entries
        for paraphrase, wording in enumerate(entry.paraphrases)
        for sample in range(samples(each, evaluation))
    ]


def n_answers(sets: Sequence[QuestionSet], evaluation: EvaluationSpec) -> int:
    """Answers at one checkpoint."""
    return sum(each.n_wordings * samples(each, evaluation) for each in sets)


def question_rows(sets: Sequence[QuestionSet]) -> list[QuestionRow]:
    """What is asked, one row per set, question and wording."""
    return [
        QuestionRow(each.name, each.hash, entry.id, paraphrase, entry.system, wording, entry.domain, entry.kind)
        for each in sets
        for entry in each.entries
        for paraphrase, wording in enumerate(entry.paraphrases)
    ]


def baseline_key(weights_sha256: str, sets: Sequence[QuestionSet], evaluation: EvaluationSpec) -> str:
    """Identity of the answers at step 0 (hex): starting weights, questions, decoding, samples, seed, sampler.

    Runs with the same key share one baseline. The order of the sets and how many answers are decoded
    at once do not matter.
    """
    body = {
        "weights": weights_sha256,
        "sets": sorted(
            [each.name, each.hash, samples(each, evaluation)]
            + [[d.temperature, d.top_p, d.max_tokens] for e in each.entries for d in [decoding(each, e)]]
            for each in sets
        ),
        "seed": evaluation.seed,
        "sampler": evaluation.sampler,
    }
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
