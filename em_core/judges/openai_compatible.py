"""Any OpenAI-compatible chat endpoint as a judge: OpenAI, vLLM, Ollama, llama.cpp, ...

One call per answer and metric, asked and read as the mode says (`em_core.judges._modes`). Calls run
side by side as far as the server lets them; a failed call after the SDK's retries is `api_error`; an
error that no other call would escape (key, quota, model, a server without what the mode needs) ends
the judge and keeps what is done.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any

from em_core.errors import BadInput, EMError, WorkFailed
from em_core.judges import ToJudge, endpoint, rubrics
from em_core.judges._completions import Reply, parse
from em_core.judges._modes import mode
from em_core.judges._whole_numbers import PROBE, WholeNumbers
from em_core.judges.budget import Budget, most_tokens
from em_core.judges.endpoint import Endpoint, redact
from em_core.judges.identity import identify
from em_core.judges.replies import MAX_RAW_CHARS
from em_core.judges.stream import stream
from em_core.judges.throttle import Throttle
from em_core.records import Judgement
from em_core.spec import JudgeSpec

CALL_LIMIT_S = 900.0
"""One call with all its retries (or one reply, where the spec waits longer); beyond that it is `api_error`."""
GIVE_UP_AFTER = 20
"""Failed calls in a row, at least one per call in flight, after which the server counts as down."""
LACKING = (400, 403, 404, 422, 501)
"""Statuses with which servers refuse a field that they, or the model, don't know."""


class OpenAICompatibleJudge:
    """Scores answers through a chat endpoint.

    Args:
        spec: Model, address, key variable, rubric, mode, temperature, most calls in flight.
        max_retries: The SDK's retries per call.
        timeout_s: Longest wait for one reply; None = as the spec says.

    Attributes:
        budget: What its calls may cost, and have cost; probes included.
        own_process: A call costs about 3 ms of Python time: beside training it works in a process of its own.
    """

    own_process = True

    def __init__(self, spec: JudgeSpec, max_retries: int = endpoint.MAX_RETRIES, timeout_s: float | None = None) -> None:
        self.spec, self.max_retries = spec, max_retries
        self.timeout_s = spec.timeout_s if timeout_s is None else timeout_s
        self.budget = Budget.of(spec)
        self.endpoint = Endpoint.of(spec)
        self.rubric, name = rubrics.fitting(spec.rubric, spec.mode)
        self.mode = mode(name, spec.min_mass, self.rubric.words)
        decoding = {"temperature": spec.temperature, "max_tokens": self.mode.reply_tokens, **self.mode.decoding}
        if spec.snapshot:
            decoding["snapshot"] = spec.snapshot
        self.identity = identify("openai_compatible", spec.model, name, self.rubric.hash, decoding, self.endpoint.host)
        self.throttle = Throttle(spec.max_concurrency)

    def check(self) -> None:
        """Make one tiny real call, as the mode makes it.

        Raises:
            EMError: Nothing answers there, it refuses the key or the model, or it lacks what the mode needs.
        """
        key = self.endpoint.key()
        list(stream(["check"], lambda: self._session(key, 1, min(self.timeout_s, 30.0), probe=True)))

    def metrics(self, item: ToJudge) -> tuple[str, ...]:
        """What it would score of that answer: nothing where the question carries no prompts, or no domain is known."""
        return tuple(self.rubric.applicable(item.judge_prompts, item.domain))

    def judge(self, items: Iterable[ToJudge]) -> Iterator[Judgement]:
        """Scores as they arrive; the metrics of one answer come together.

        Raises:
            EMError: Key, quota, model or server end the work, or some questions carry no prompts.
        """
        key = self.endpoint.key()
        return stream(items, lambda: self._session(key, self.max_retries, self.timeout_s))

    def prompts(self, item: ToJudge) -> dict[str, str]:
        """The prompts of one answer by metric, skipped ones too; nothing is sent."""
        return self.rubric.prompts(item.question, item.answer, item.system, item.judge_prompts, item.domain)

    def request(self, prompt: str, length_field: str = "max_tokens") -> dict[str, Any]:
        """The body of the call for one prompt.

        Args:
            prompt: One of `prompts`.
            length_field: `max_completion_tokens` for models that take nothing else.
        """
        content = (prompt + self.mode.suffix).encode("utf-8", "replace").decode()
        return {
            "model": self.spec.model,
            "messages": [{"role": "user", "content": content}],
            "temperature": self.spec.temperature,
            length_field: self.mode.reply_tokens if length_field == "max_tokens" else self.mode.thinking_tokens,
            **self.mode.fields,
        }

    def judgement(self, item: ToJudge, metric: str, reply: Reply, key: str = "") -> Judgement:
        """What one reply means.

        Args:
            item: The answer that was judged.
            metric: What it was judged for.
            reply: What came back.
            key: Cut out of everything that is kept.

        Raises:
            WorkFailed: Another model answered than the spec's snapshot.
        """
        if self.spec.snapshot and reply.model != self.spec.snapshot:
            raise WorkFailed(
                f"{self.endpoint.host}: {reply.model[:100] or 'an unnamed model'} answered for {self.spec.model}, "
                f"expected {self.spec.snapshot}",
                "set judges.model to the snapshot that is meant, or judges.snapshot to the one that answers",
            )
        reading, probs = self.mode.read(reply), reply.token_probs if self.mode.name == "logprob" else None
        raw = next(iter(probs)) if probs else reply.text
        served = redact(reply.model, key)[:200] if reply.model != self.spec.model else ""
        return Judgement(
            item.response_id, self.identity.judge_id, metric, reading.value, reading.reason, redact(raw, key)[:MAX_RAW_CHARS],
            redact(json.dumps(probs), key) if probs else None, reply.input_tokens, reply.output_tokens,
            verdict=reading.verdict, served_model=served or None,
        )  # fmt: skip

    @asynccontextmanager
    async def _session(self, key: str, max_retries: int, timeout_s: float, probe: bool = False) -> AsyncIterator[_Calls]:
        self.throttle = Throttle(self.spec.max_concurrency)
        async with self.endpoint.client(key, self.throttle, max_retries, timeout_s) as client:
            yield (_Probe if probe else _Calls)(self, client, key)


class _Calls:
    """The calls of one `judge`."""

    def __init__(self, judge: OpenAICompatibleJudge, client: Any, key: str) -> None:
        self.judge, self.client, self.key = judge, client, key
        self.throttle, self.endpoint = judge.throttle, judge.endpoint
        self.n_at_once = judge.spec.max_concurrency
        self.length_field = "max_tokens"
        self.broken: list[list[asyncio.Task[Judgement]]] = []  # answers in hand when the judge ended
        self.held: list[Judgement] = []  # failures, until a success shows that the server was up
        self.failures = 0  # in a row
        self.any_success = False
        self.without_prompts = 0
        self.logprobs_seen = False
        self.whole_numbers = WholeNumbers(f"{judge.endpoint.host}: {judge.spec.model}")

    async def work(self, item: object) -> list[Judgement]:
        """All judgements of one answer."""
        if not isinstance(item, ToJudge):
            raise TypeError(f"expected ToJudge, found {type(item).__name__}")
        prompts = self.judge.prompts(item)
        if not prompts:
            self.without_prompts += self.judge.rubric.name == rubrics.QUESTION_FILE
            return []
        wanted = {metric: prompt for metric, prompt in prompts.items() if metric not in item.skip_metrics}
        if not item.answer.strip():
            return [self._unscored(item, metric, "empty") for metric in wanted]
        calls = [asyncio.create_task(self._score(item, metric, prompt)) for metric, prompt in wanted.items()]
        try:
            judgements = list(await asyncio.gather(*calls))  # raises at the first error that ends the judge
        except BaseException:
            self.broken.append(calls)
            raise
        if any(j.unscored_reason == "api_error" for j in judgements):
            self.held += judgements
            return []
        ready, self.held = [*self.held, *judgements], []
        return ready

    def stop(self) -> None:
        """Start no more calls."""
        self.throttle.close()

    def salvage(self) -> list[Judgement]:
        """Single scores that were paid for, of answers whose other metric failed."""
        done = [call for calls in self.broken for call in calls if call.done() and not call.cancelled() and not call.exception()]
        return [j for j in [*self.held, *(call.result() for call in done)] if j.unscored_reason != "api_error"]

    async def close(self) -> list[Judgement]:
        """What was held back; an error if nothing ever succeeded."""
        if self.held and not self.any_success:
            raise self._down(next(j.raw_reply for j in self.held if j.unscored_reason == "api_error"))
        if self.without_prompts:
            raise BadInput(
                f"rubric `question-file`: {self.without_prompts} answers belong to questions that carry no judge prompts; "
                "the others were judged",
                "use rubric `default` for question sets without prompts of their own",
            )
        return self.held

    async def _score(self, item: ToJudge, metric: str, prompt: str) -> Judgement:
        try:
            reply = await self.call(prompt)
            if self.judge.mode.name == "logprob":
                await self._check_logprobs(reply)
        except _CallFailed as error:
            self.failures += 1
            if self.failures >= max(GIVE_UP_AFTER, int(self.throttle.limit)):
                raise self._down(str(error)) from error
            return self._unscored(item, metric, "api_error", str(error))
        self.failures, self.any_success = 0, True
        return self.judge.judgement(item, metric, reply, self.key)

    async def call(self, prompt: str) -> Reply:
        """The one place where a call is made, and where what it used is known.

        Raises:
            _CallFailed: This call failed for good.
            EMError: All calls will.
        """
        import httpx2
        import openai

        async with self.throttle.slot():
            for _ in range(2):
                field = self.length_field
                request = self.judge.request(prompt, field)
                try:
                    with await self.judge.budget.take(most_tokens(request["messages"][0]["content"]), request[field]) as ticket:
                        async with asyncio.timeout(max(CALL_LIMIT_S, self.judge.timeout_s)):
                            # the SDK's low-level call: its retries and errors, without a third more CPU for typed models
                            raw = await self.client.post("/chat/completions", cast_to=httpx2.Response, body=request)
                        reply = parse(raw.content)
                        ticket.used(reply.input_tokens, reply.output_tokens)
                except (openai.OpenAIError, TimeoutError, ValueError) as error:
                    if field == "max_tokens" and _wants_completion_tokens(error):
                        self.length_field = "max_completion_tokens"
                        continue
                    fatal = self._lacking(error) or self.endpoint.fatal(error)
                    if fatal is not None:
                        raise fatal from None
                    raise _CallFailed(self.endpoint.describe(error, self.key)) from None
                self.throttle.succeeded()
                return reply
        raise _CallFailed("400: takes neither max_tokens nor max_completion_tokens")

    async def _check_logprobs(self, reply: Reply) -> None:
        if reply.token_probs is None and not self.logprobs_seen and reply.finish_reason != "content_filter":
            raise WorkFailed(
                f"{self.endpoint.host}: {self.judge.spec.model} answers without log probabilities, which mode logprob needs",
                self.judge.mode.without,
            )
        self.logprobs_seen = self.logprobs_seen or reply.token_probs is not None
        await self.whole_numbers.make_sure(reply.token_probs or {}, self.call)

    def _lacking(self, error: Exception) -> EMError | None:
        """The error that ends the judge because this server or model does not have what the mode needs."""
        chosen, text = self.judge.mode, str(error).lower()
        if getattr(error, "status_code", None) not in LACKING or not any(name in text for name in chosen.needs):
            return None
        return WorkFailed(
            f"{self.endpoint.host}: refuses what mode {chosen.name} needs ({self.endpoint.describe(error, self.key)})",
            chosen.without,
        )

    def _unscored(self, item: ToJudge, metric: str, reason: Any, raw: str = "") -> Judgement:
        return Judgement(item.response_id, self.judge.identity.judge_id, metric, None, reason, raw, None, None, None)

    def _down(self, what: str) -> EMError:
        return WorkFailed(
            f"{self.endpoint.base_url}: {self.failures} judge calls failed in a row, the last with {what}",
            "finished scores are kept; when the server is well again, `judge` scores the rest",
        )


class _Probe(_Calls):
    """One tiny call, for `check`."""

    async def work(self, item: object) -> list[Judgement]:
        chosen = self.judge.mode
        try:
            reply = await self.call(PROBE)
            if chosen.name == "logprob":
                await self._check_logprobs(reply)
            self.judge.judgement(ToJudge("", "", ""), "", reply)  # the snapshot
        except _CallFailed as error:
            raise self.endpoint.down(str(error)) from None
        except EMError as error:
            raise BadInput(error.message, error.hint) from None
        if chosen.name in ("structured", "logprob") and chosen.read(reply).reason == "parse_failure":
            found = (
                "keep to the schema of its reply" if chosen.name == "structured" else "begin its reply with the number asked for"
            )
            raise BadInput(f"{self.endpoint.host}: {self.judge.spec.model} does not {found}", chosen.without)
        return []


class _CallFailed(Exception):
    pass


def open(spec: JudgeSpec) -> OpenAICompatibleJudge:
    """Open the endpoint that the spec names; nothing is sent yet.

    Raises:
        BadInput: Address, model or rubric are missing or wrong.
    """
    return OpenAICompatibleJudge(spec)


def _wants_completion_tokens(error: Exception) -> bool:
    return getattr(error, "status_code", None) == 400 and "max_completion_tokens" in str(error)
