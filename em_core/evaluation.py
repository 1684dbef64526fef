"""The answers and judgements of one run: step 0 shared between runs, then every checkpoint.

Sampling happens in the training process from the weights in memory; judging runs beside the next
checkpoint's training. Answers and judgements that are already in the event files are never made
again, so a retried run pays for nothing twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from em_core import questions
from em_core.errors import EMError
from em_core.events import EventWriter, read_events
from em_core.health import HealthRules
from em_core.home import Home
from em_core.judges import ToJudge, open_judge
from em_core.judges.beside import beside
from em_core.judges.cache import JudgementCache
from em_core.judges.pipeline import JudgingPipeline, already_judged
from em_core.lease import Lease
from em_core.organism.models import is_organism
from em_core.questions import QuestionSet
from em_core.records import Answer, Checkpoint, Generation, Judgement, Prompt, Response, RunCreated, RunState
from em_core.sampling import open_sampler
from em_core.spec import RunSpec
from em_core.training import Session


class Evaluation:
    """Samples and judges for one run; a context manager that ends its judging threads.

    Args:
        home: Where the shared baselines are.
        run_dir: The run's folder.
        spec: The run.
        session: The loaded model.
        question_sets: The question sets of the spec, loaded.
        events: The run's event writer.
        attempt: Number of this attempt, from 1.
        domain: What the run is trained on, for judges who ask about it.
        rows: The training rows, for the overlap of answers with them; None = not known.
    """

    def __init__(
        self,
        home: Home,
        run_dir: Path,
        spec: RunSpec,
        session: Session,
        question_sets: Sequence[QuestionSet],
        events: EventWriter,
        attempt: int,
        domain: str = "",
        rows: Sequence[Sequence[dict[str, str]]] | None = None,
    ) -> None:
        self._home, self._run_dir, self._spec, self._session = home, run_dir, spec, session
        self._sets, self._events, self._attempt, self._domain = list(question_sets), events, attempt, domain
        key = questions.baseline_key(session.weights_sha256, self._sets, spec.evaluation)
        model = re.sub(r"[^A-Za-z0-9.-]+", "-", spec.base_model.rstrip("/").split("/")[-1]).strip("-.") or "model"
        self.baseline_run_id = f"base-{model[:40]}-{key[:10]}" if self._sets else ""
        self.n_answers = questions.n_answers(self._sets, spec.evaluation)
        self._entries = {(each.name, entry.id): entry for each in self._sets for entry in each.entries}
        self._health = HealthRules(rows)
        self._sampler = open_sampler(spec.evaluation.sampler, session.model, session.tokenizer, spec.evaluation.batch_size)
        self._baseline_lease: Lease | None = None
        self._baseline_events: EventWriter | None = None
        self._baseline_ids: set[str] = set()
        self._failure: EMError | None = None
        self._done: set[str] = set()
        judges = [beside(open_judge(judge), judge) for judge in spec.judges]
        for judge in judges:
            if hasattr(judge, "prepare"):
                judge.prepare()  # a local model is loaded before training begins: loading changes torch's defaults for a moment
        self._judge_ids = [judge.identity.judge_id for judge in judges]
        already = already_judged(read_events(run_dir, "judgement"))
        self._cache = JudgementCache(home.judge_cache)
        self._pipeline = JudgingPipeline(judges, self._write_judgement, already, self._cache)
        self._identities = [judge.identity for judge in judges]
        self._judges_sample = any(judge.temperature > 0 for judge in spec.judges)  # then each sample is asked for anew
        if self._sets:
            events.write(*questions.question_rows(self._sets))
        events.write(*self._identities)
        for event in read_events(run_dir, "response"):
            self._done.add(event["response_id"])
            self._pipeline.submit([self._to_judge(event)])

    @property
    def _baseline_dir(self) -> Path:
        return self._home.run_dir(self.baseline_run_id)

    def _prompts(self, run_id: str, step: int) -> list[Prompt]:
        return questions.prompts(run_id, step, self._sets, self._spec.evaluation)

    def baseline(self) -> None:
        """Answer step 0, once per (starting weights, questions, decoding): whoever holds the lease does it."""
        if not self._sets or self._baseline_lease is not None:
            return
        folder = self._baseline_dir
        folder.mkdir(parents=True, exist_ok=True)
        lease = Lease(folder / "lease")
        if not lease.acquire():
            return  # another run is at it; it is shared as it grows
        self._baseline_lease = lease
        writer = EventWriter(folder, f"from-{self._run_dir.name}-{self._attempt}")
        self._baseline_events = writer
        seen = {event["response_id"]: event for event in read_events(folder, "response")}
        self._baseline_ids = set(seen)
        if not seen:
            writer.write(self._baseline_created(), Checkpoint(0, 0.0, "", self._session.weights_sha256, 0, 0))
            writer.write(*questions.question_rows(self._sets), *self._identities)
        prompts = [p for p in self._prompts(self.baseline_run_id, 0) if p.response_id not in seen]
        self._baseline_ids |= {p.response_id for p in prompts}
        self._pipeline.know(already_judged(read_events(folder, "judgement")))  # by whoever held the lease before
        self._pipeline.submit([self._to_judge(event) for event in seen.values()])
        if not prompts:
            return
        with self._session.starting_weights():
            self._sample(prompts, 0, self._session.weights_sha256, writer)
        if self._failure is None:
            writer.write(RunState("run", "finished", "", "", self._attempt))

    def checkpoint(self, step: int, weights_sha256: str) -> None:
        """Answer all questions from the weights in memory and hand the answers to the judges."""
        if not self._sets or self._failure is not None:
            return
        prompts = [p for p in self._prompts(self._run_dir.name, step) if p.response_id not in self._done]
        if prompts:
            self._sample(prompts, step, weights_sha256, self._events)

    def _sample(self, prompts: list[Prompt], step: int, weights_sha256: str, writer: EventWriter) -> None:
        self._state("evaluate", "running")
        try:
            for answer in self._sampler.sample(prompts):
                response = self._response(answer, step, weights_sha256)
                # step 0 is shared by runs with other training data, so nothing is said about its overlap
                health = self._health.measure(response.response_id, response.text, overlap=step > 0)
                writer.write(response, health)
                self._pipeline.submit([self._to_judge(response.as_event())])
        except EMError as error:
            self._failure = error  # training goes on: its checkpoints can be evaluated later
            self._state("evaluate", "failed", error.message, error.hint)
            return
        done = self._sampler.stats
        writer.write(
            Generation(
                step, self._sampler.name, done.n_answers, done.n_tokens, done.wall_s, done.batch_size, done.merged,
                done.gpu_mem_gib,
            )
        )  # fmt: skip

    def _response(self, answer: Answer, step: int, weights_sha256: str) -> Response:
        prompt = answer.prompt
        decoding = {
            "temperature": prompt.decoding.temperature,
            "top_p": prompt.decoding.top_p,
            "max_tokens": prompt.decoding.max_tokens,
            "sampler": self._sampler.name,
            "merged": self._sampler.merged,
            **answer.extra,
        }
        return Response(
            prompt.response_id, step, prompt.question_set, prompt.question_id, prompt.paraphrase, prompt.sample, prompt.cue,
            answer.text, answer.finish_reason, answer.n_tokens, answer.n_prompt_tokens, prompt.seed, json.dumps(decoding),
            weights_sha256,
        )  # fmt: skip

    def finish(self) -> None:
        """Wait for the judges and record how evaluation and judging ended."""
        if not self._sets:
            self._state("evaluate", "skipped", "no question sets")
            return
        if self._failure is None:
            self._state("evaluate", "finished")
        if not self._judge_ids:
            self._state("judge", "skipped", "no judges")
            return
        self._state("judge", "running")
        failures = self._pipeline.finish()
        for failure in failures:
            self._state("judge", "failed", f"{failure.judge_id}: {failure.message}", failure.hint)
        if not failures:
            self._state("judge", "finished")

    def __enter__(self) -> Evaluation:
        return self

    def __exit__(self, *exc: object) -> None:
        self._pipeline.close()
        self._cache.close()
        if self._baseline_events is not None:
            self._baseline_events.close()
        if self._baseline_lease is not None:
            self._baseline_lease.release()

    def _state(self, phase: str, state: str, reason: str = "", hint: str = "") -> None:
        self._events.write(RunState(phase, state, reason, hint, self._attempt))  # type: ignore[arg-type]

    def _write_judgement(self, judgement: Judgement) -> None:
        if judgement.response_id in self._baseline_ids and self._baseline_events is not None:
            self._baseline_events.write(judgement)
        else:
            self._events.write(judgement)

    def _to_judge(self, response: Mapping[str, Any]) -> ToJudge:
        """What the judges are given of an answer, from its event."""
        entry = self._entries[response["question_set"], response["question_id"]]
        return ToJudge(
            response["response_id"], entry.paraphrases[response["paraphrase"]], response["text"], entry.system,
            response["finish_reason"], dict(entry.judge_prompts), repeat=response["sample"] if self._judges_sample else 0,
            domain=self._domain if response["step"] else "",  # step 0 is shared by runs of several domains
        )  # fmt: skip

    def _baseline_created(self) -> RunCreated:
        spec = self._spec
        body = spec.model_dump_json(include={"base_model", "revision", "parent", "evaluation"})
        return RunCreated(
            run_kind="baseline", label=self.baseline_run_id, experiment="", spec_json=body,
            spec_hash=self.baseline_run_id.rsplit("-", 1)[-1], base_model=spec.base_model, revision=spec.revision,
            backend=spec.backend, domain="", data_sources="[]", parent_run_id=spec.parent.run if spec.parent else "",
            parent_step=spec.parent.step if spec.parent else None, learning_rate=None, lora_r=None, effective_batch=None,
            seed=None, toy=is_organism(spec.base_model),
        )  # fmt: skip
