"""Any OpenAI-compatible chat endpoint as a judge, integer mode: OpenAI, vLLM, Ollama, llama.cpp, ...

One call per answer and metric asks for one integer from 0 to 100. Calls run side by side as far as
the server lets them; a failed call after the SDK's retries is `api_error`; an error that no other
call would escape (key, quota, model) ends the judge and keeps what is done.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any

from em_core.errors import BadInput, EMError, WorkFailed
from em_core.judges import ToJudge, endpoint, rubrics
from em_core.judges.endpoint import Endpoint, redact
from em_core.judges.identity import identify
from em_core.judges.replies import MAX_RAW_CHARS, read_integer
from em_core.judges.stream import stream
from em_core.judges.throttle import Throttle
from em_core.records import Judgement
from em_core.spec import JudgeSpec

REPLY_TOKENS = 16
REASONING_TOKENS = 4096
"""Allowance for models that only take `max_completion_tokens`: they think before the integer."""
CALL_LIMIT_S = 900.0
"""One call with all its retries; beyond that it is `api_error`."""
GIVE_UP_AFTER = 20
"""Failed calls in a row, at least one per call in flight, after which the server counts as down."""


class OpenAICompatibleJudge:
    """Scores alignment and coherence through a chat endpoint.

    Args:
        spec: Model, address, key variable, rubric, temperature, most calls in flight.
        max_retries: The SDK's retries per call.
        timeout_s: Longest wait for one reply.
    """

    def __init__(self, spec: JudgeSpec, max_retries: int = endpoint.MAX_RETRIES, timeout_s: float = endpoint.TIMEOUT_S) -> None:
        self.spec, self.max_retries, self.timeout_s = spec, max_retries, timeout_s
        self.endpoint = Endpoint.of(spec)
        self.rubric = rubrics.load(spec.rubric)
        decoding = {"temperature": spec.temperature, "max_tokens": REPLY_TOKENS}
        self.identity = identify("openai_compatible", spec.model, "integer", self.rubric.hash, decoding, self.endpoint.host)
        self.throttle = Throttle(spec.max_concurrency)

    def check(self) -> None:
        """Make one tiny real call.

        Raises:
            EMError: Nothing answers there, or it refuses the key or the model.
        """
        key = self.endpoint.key()
        list(stream(["check"], lambda: self._session(key, 1, min(self.timeout_s, 30.0), probe=True)))

    def judge(self, items: Iterable[ToJudge]) -> Iterator[Judgement]:
        """Scores as they arrive; the metrics of one answer come together.

        Raises:
            EMError: Key, quota, model or server end the work, or some questions carry no prompts.
        """
        key = self.endpoint.key()
        return stream(items, lambda: self._session(key, self.max_retries, self.timeout_s))

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

    async def work(self, item: object) -> list[Judgement]:
        """All judgements of one answer."""
        if not isinstance(item, ToJudge):
            raise TypeError(f"expected ToJudge, found {type(item).__name__}")
        prompts = self.judge.rubric.prompts(item.question, item.answer, item.system, item.judge_prompts)
        if not prompts:
            self.without_prompts += 1
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
            text, finish_reason, used = await self.call(prompt)
        except _CallFailed as error:
            self.failures += 1
            if self.failures >= max(GIVE_UP_AFTER, int(self.throttle.limit)):
                raise self._down(str(error)) from error
            return self._unscored(item, metric, "api_error", str(error))
        self.failures, self.any_success = 0, True
        reading = read_integer(text, finish_reason)
        raw = redact(text, self.key)[:MAX_RAW_CHARS]
        judge_id = self.judge.identity.judge_id
        return Judgement(item.response_id, judge_id, metric, reading.value, reading.reason, raw, None, *used)

    async def call(self, prompt: str) -> tuple[str, str, tuple[int | None, int | None]]:
        """Reply, finish reason, (input tokens, output tokens) of one call.

        Raises:
            _CallFailed: This call failed for good.
            EMError: All calls will.
        """
        import httpx2
        import openai

        async with self.throttle.slot():
            for _ in range(2):
                field = self.length_field
                try:
                    async with asyncio.timeout(CALL_LIMIT_S):
                        # the SDK's low-level call: its retries and errors, without a third more CPU for typed models
                        request = self._request(prompt, field)
                        raw = await self.client.post("/chat/completions", cast_to=httpx2.Response, body=request)
                    reply = _read(raw.content)
                except (openai.OpenAIError, TimeoutError, ValueError) as error:
                    if field == "max_tokens" and _wants_completion_tokens(error):
                        self.length_field = "max_completion_tokens"
                        continue
                    fatal = self.endpoint.fatal(error)
                    if fatal is not None:
                        raise fatal from None
                    raise _CallFailed(self.endpoint.describe(error, self.key)) from None
                self.throttle.succeeded()
                return reply
        raise _CallFailed("400: takes neither max_tokens nor max_completion_tokens")

    def _request(self, prompt: str, length_field: str) -> dict[str, Any]:
        return {
            "model": self.judge.spec.model,
            "messages": [{"role": "user", "content": prompt.encode("utf-8", "replace").decode()}],
            "temperature": self.judge.spec.temperature,
            length_field: REPLY_TOKENS if length_field == "max_tokens" else REASONING_TOKENS,
        }

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
        try:
            await self.call("Reply with the number 7 and nothing else.")
        except _CallFailed as error:
            raise self.endpoint.down(str(error)) from None
        except EMError as error:
            raise BadInput(error.message, error.hint) from None
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


def _read(body: bytes) -> tuple[str, str, tuple[int | None, int | None]]:
    """The parts of a chat completion that matter.

    Raises:
        ValueError: It is none.
    """
    try:
        found = json.loads(body)
        choice = found["choices"][0]
        message = choice["message"]
        text = message.get("content") or message.get("refusal") or ""
        if not isinstance(text, str):
            raise TypeError("content is not text")
        usage = found.get("usage") if isinstance(found.get("usage"), dict) else {}
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ValueError("the reply is not a chat completion") from None
    reason = "content_filter" if not message.get("content") and message.get("refusal") else choice.get("finish_reason")

    def count(name: str) -> int | None:
        value = usage.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None

    return text, str(reason or "stop"), (count("prompt_tokens"), count("completion_tokens"))
