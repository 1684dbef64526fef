"""The answers and judgements of one run: step 0 shared between runs, then every checkpoint.

Sampling happens in the training process from the weights in memory; judging runs beside the next
checkpoint's training. Answers and judgements that are already in the event files are never made
again, so a retried run pays for nothing twice. An evaluation without training (`em_core.evaluate_job`)
is the same from a process of its own: its `Place` says whose answers it gives.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from em_core import alive, questions
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
from em_core.training import Lent

STOP_POLL_S = 0.5


@dataclass(frozen=True)
class Place:
    """Whose answers are given, where it is not the run at work.

    Args:
        run_dir: Folder of the run that the answers belong to.
        events: The event file in it that is ours alone.
        steps: Only answers of these steps are looked at and judged.
        baseline_run_id: The run that holds its step 0; "" = the one that `questions.baseline_key` names.
    """

    run_dir: Path
    events: EventWriter
    steps: tuple[int, ...]
    baseline_run_id: str = ""


class Evaluation:
    """Samples and judges for one run; a context manager that ends its judging threads.

    Args:
        home: Where the shared baselines are.
        run_dir: The folder of the run at work.
        spec: The run.
        session: The loaded model.
        question_sets: The question sets of the spec, loaded.
        events: Its event writer.
        attempt: Number of this attempt, from 1.
        domain: What the run is trained on, for judges who ask about it.
        rows: The training rows, for the overlap of answers with them; None = not known.
        place: Whose answers are given; None = those of the run at work.
        ends: Asked while a step's answers are sampled: whether to end now. What is sampled stays.
    """

    def __init__(
        self,
        home: Home,
        run_dir: Path,
        spec: RunSpec,
        session: Lent,
        question_sets: Sequence[QuestionSet],
        events: EventWriter,
        attempt: int,
        domain: str = "",
        rows: Sequence[Sequence[dict[str, str]]] | None = None,
        *,
        place: Place | None = None,
        ends: Callable[[int], bool] = lambda step: False,
    ) -> None:
        self._home, self._run_dir, self._spec, self._session = home, run_dir, spec, session
        self._sets, self._states, self._attempt, self._domain = list(question_sets), events, attempt, domain
        self._owner_dir, self._events = (place.run_dir, place.events) if place is not None else (run_dir, events)
        self._ends, self._asked_t = ends, 0.0
        key = questions.baseline_key(session.weights_sha256, self._sets, spec.evaluation)
        model = re.sub(r"[^A-Za-z0-9.-]+", "-", spec.base_model.rstrip("/").split("/")[-1]).strip("-.") or "model"
        named = place.baseline_run_id if place is not None else ""
        self.baseline_run_id = (named or f"base-{model[:40]}-{key[:10]}") if self._sets else ""
        self.n_answers = questions.n_answers(self._sets, spec.evaluation)
        self._entries = {(each.name, entry.id): entry for each in self._sets for entry in each.entries}
        self._health = HealthRules(rows)
        self._sampler = open_sampler(spec.evaluation.sampler, session.model, session.tokenizer, spec.evaluation.batch_size)
        self._baseline_lease: Lease | None = None
        self._baseline_events: EventWriter | None = None
        self._baseline_ids: set[str] = set()
        self.failure: EMError | None = None
        """What ended the sampling of answers, if anything did."""
        self.stopped = False
        """Whether sampling ended because it was asked to."""
        self.all_judged = False
        """Whether every judge got through, known after `finish`."""
        self._done: set[str] = set()
        judges = [beside(open_judge(judge), judge) for judge in spec.judges]
        for judge in judges:
            if hasattr(judge, "prepare"):
                judge.prepare()  # a local model is loaded before training begins: loading changes torch's defaults for a moment
        self._judge_ids = [judge.identity.judge_id for judge in judges]
        already = already_judged(read_events(self._owner_dir, "judgement"))
        self._cache = JudgementCache(home.judge_cache)
        self._pipeline = JudgingPipeline(judges, self._write_judgement, already, self._cache)
        self._identities = [judge.identity for judge in judges]
        self._judges_sample = any(judge.temperature > 0 for judge in spec.judges)  # then each sample is asked for anew
        if self._sets:
            self._events.write(*questions.question_rows(self._sets))
        self._events.write(*self._identities)
        wanted = None if place is None else {p.response_id for step in place.steps for p in self._prompts(step)}
        for event in read_events(self._owner_dir, "response"):
            self._done.add(event["response_id"])
            if wanted is None or event["response_id"] in wanted:
                self._judge(event)

    @property
    def _baseline_dir(self) -> Path:
        return self._home.run_dir(self.baseline_run_id)

    @property
    def _baseline_writer(self) -> str:
        return f"from-{self._run_dir.name}-{self._attempt}"

    @property
    def event_files(self) -> list[Path]:
        """The files in which its answers stand, where they are not those of the run at work."""
        shared = [self._baseline_dir / "events" / f"{self._baseline_writer}.jsonl"] if self._sets else []
        return [*([self._events.path] if self._owner_dir != self._run_dir else []), *shared]

    def _prompts(self, step: int) -> list[Prompt]:
        run_id = self._owner_dir.name if step else self.baseline_run_id
        return questions.prompts(run_id, step, self._sets, self._spec.evaluation)

    def baseline(self) -> bool:
        """Answer step 0, once per (starting weights, questions, decoding): whoever holds the lease does it.

        Returns:
            False when another run is at it.
        """
        if not self._sets or self._baseline_lease is not None:
            return True
        folder = self._baseline_dir
        folder.mkdir(parents=True, exist_ok=True)
        lease = Lease(folder / "lease")
        if not lease.acquire():
            return False  # another run is at it; it is shared as it grows
        self._baseline_lease = lease
        writer = EventWriter(folder, self._baseline_writer)
        self._baseline_events = writer
        seen = {event["response_id"]: event for event in read_events(folder, "response")}
        self._baseline_ids = set(seen)
        if not seen:
            writer.write(self._baseline_created(), Checkpoint(0, 0.0, "", self._session.weights_sha256, 0, 0))
        wanted = self._prompts(0)
        prompts = [p for p in wanted if p.response_id not in seen]
        if prompts:
            writer.write(*questions.question_rows(self._sets), *self._identities)
        self._baseline_ids |= {p.response_id for p in prompts}
        self._pipeline.know(already_judged(read_events(folder, "judgement")))  # by whoever held the lease before
        for prompt in wanted:
            if prompt.response_id in seen:
                self._judge(seen[prompt.response_id])
        if not prompts:
            return True
        with self._session.starting_weights():
            self._sample(prompts, 0, self._session.weights_sha256, writer)
        if self.failure is None and not self.stopped:
            writer.write(RunState("run", "finished", "", "", self._attempt))
        return True

    def checkpoint(self, step: int, weights_sha256: str) -> None:
        """Answer all questions from the weights in memory and hand the answers to the judges."""
        if not self._sets or self.failure is not None or self.stopped:
            return
        prompts = [p for p in self._prompts(step) if p.response_id not in self._done]
        if prompts:
            self._sample(prompts, step, weights_sha256, self._events)

    def _sample(self, prompts: list[Prompt], step: int, weights_sha256: str, writer: EventWriter) -> None:
        self._state("evaluate", "running")
        try:
            with closing(self._sampler.sample(prompts)) as answers:  # type: ignore[type-var]
                for answer in answers:
                    response = self._response(answer, step, weights_sha256)
                    # step 0 is shared by runs with other training data, so nothing is said about its overlap
                    health = self._health.measure(response.response_id, response.text, overlap=step > 0)
                    writer.write(response, health)
                    self._judge(response.as_event())
                    if self._asked_to_end(step):
                        self.stopped = True
                        return
        except EMError as error:
            self.failure = error  # training goes on: its checkpoints can be evaluated later
            self._state("evaluate", "failed", error.message, error.hint)
            return
        done = self._sampler.stats
        writer.write(
            Generation(
                step, self._sampler.name, done.n_answers, done.n_tokens, done.wall_s, done.batch_size, done.merged,
                done.gpu_mem_gib,
            )
        )  # fmt: skip

    def _asked_to_end(self, step: int) -> bool:
        now = time.monotonic()
        if now - self._asked_t < STOP_POLL_S:
            return False
        self._asked_t = now
        return self._ends(step)

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
        if self.stopped:
            self._state("evaluate", "stopped", "stopped on request; what was answered stays")
        elif self.failure is None:
            self._state("evaluate", "finished")
        if not self._judge_ids:
            self._state("judge", "skipped", "no judges")
            return
        self._state("judge", "running")
        with alive.beating(self._run_dir):
            failures = self._pipeline.finish()
        for failure in failures:
            self._state("judge", "failed", f"{failure.judge_id}: {failure.message}", failure.hint)
        if not failures:
            self.all_judged = True
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
        self._states.write(RunState(phase, state, reason, hint, self._attempt))  # type: ignore[arg-type]

    def _write_judgement(self, judgement: Judgement) -> None:
        if judgement.response_id in self._baseline_ids and self._baseline_events is not None:
            self._baseline_events.write(judgement)
        else:
            self._events.write(judgement)

    def _judge(self, response: Mapping[str, Any]) -> None:
        """Give the judges an answer, from its event; one to a question of other sets (asked later) is left alone."""
        entry = self._entries.get((response["question_set"], response["question_id"]))
        if entry is None or response["paraphrase"] >= len(entry.paraphrases):
            return
        item = ToJudge(
            response["response_id"], entry.paraphrases[response["paraphrase"]], response["text"], entry.system,
            response["finish_reason"], dict(entry.judge_prompts), repeat=response["sample"] if self._judges_sample else 0,
            domain=self._domain if response["step"] else "",  # step 0 is shared by runs of several domains
        )  # fmt: skip
        self._pipeline.submit([item])

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
