"""Which scores the next batches ask for: what is missing, within the limits of a file and of the budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from em_core.errors import WorkFailed
from em_core.judges import ToJudge
from em_core.judges._batch_lines import MAX_BYTES, MAX_REQUESTS, request_id, request_line
from em_core.judges.batch_api import DISCOUNT
from em_core.judges.budget import Budget, BudgetReached, most_tokens
from em_core.judges.cache import JudgementCache, key, shared
from em_core.judges.openai_compatible import OpenAICompatibleJudge
from em_core.records import Judgement
from em_core.rejudge.batch_state import BatchState, Pair

Settled = set[tuple[str, str]]
"""``(response_id, metric)`` of scores, or reasons for none, that this job has written."""
ROUNDS = 3
"""Most batches in which one request is sent."""


@dataclass
class Room:
    """What is left of the budget, ordinary calls at full price and batches at half.

    Args:
        budget: The limits, and what ordinary calls of this process took.
        calls, input_tokens, output_tokens: Of earlier processes' ordinary calls.
        batch_calls, batch_input, batch_output: Of batches: spent, or at worst to be spent.
    """

    budget: Budget
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    batch_calls: int = 0
    batch_input: int = 0
    batch_output: int = 0

    @classmethod
    def of(cls, budget: Budget, state: BatchState, resumed: bool) -> Room:
        """What a job has taken so far; batches that are out count at their worst.

        Args:
            budget: The judge's.
            state: The job's batches.
            resumed: An earlier process made the job's ordinary calls.
        """
        room = cls(budget, *(state.begun.get("one_by_one", ()) if resumed else ()))
        for batch in state.batches.values():
            if batch.step == "written":
                room.add(batch.said["calls"], batch.said["input_tokens"], batch.said["output_tokens"])
            elif batch.open:
                room.add(batch.n, batch.said["most_input"], batch.said["most_output"])
        return room

    def add(self, calls: int, most_input: int, most_output: int) -> None:
        """More requests in batches."""
        self.batch_calls += calls
        self.batch_input += most_input
        self.batch_output += most_output

    @property
    def n_calls(self) -> int:
        """Calls in all."""
        return self.budget.n_calls + self.calls + self.batch_calls

    @property
    def n_tokens(self) -> int:
        """Tokens in all, in and out."""
        return self.budget.n_tokens + self.input_tokens + self.output_tokens + self.batch_input + self.batch_output

    @property
    def usd(self) -> float | None:
        """US dollars in all; None = price not known."""
        price = self.budget.usd_per_m
        if price is None:
            return None
        one_by_one = self.budget.input_tokens + self.input_tokens, self.budget.output_tokens + self.output_tokens
        full, half = one_by_one, (self.batch_input, self.batch_output)
        return sum(p * (a + DISCOUNT * b) for p, a, b in zip(price, full, half, strict=True)) / 1e6

    def fits(self, most_input: int, most_output: int) -> bool:
        """Whether one more request does, at its worst."""
        limits = self.budget
        if limits.max_calls is not None and self.n_calls + 1 > limits.max_calls:
            return False
        if limits.max_tokens is not None and self.n_tokens + most_input + most_output > limits.max_tokens:
            return False
        usd, price = self.usd, limits.usd_per_m
        if limits.max_usd is None or usd is None or price is None:
            return True
        return usd + DISCOUNT * (most_input * price[0] + most_output * price[1]) / 1e6 <= limits.max_usd

    def reached(self, n_left: int) -> BudgetReached:
        """What to tell when it is used up."""
        limits = {"max_calls": self.budget.max_calls, "max_tokens": self.budget.max_tokens, "max_usd": self.budget.max_usd}
        named = ", ".join(f"{name} {limit:,}" for name, limit in limits.items() if limit is not None)
        usd = self.usd
        spent = f"{self.n_calls:,} calls, {self.n_tokens:,} tokens, {'price unknown' if usd is None else f'${usd:,.4f}'}"
        return BudgetReached(
            f"budget reached ({named}): {spent} spent; {n_left:,} requests were not sent, which at worst would exceed it",
            "raise the budget; `judge` scores the rest",
        )


@dataclass
class Planned:
    """What came of planning.

    Args:
        n_requests: Put into batches.
        over_budget: Requests that did not fit.
        left: Answers that miss something which no batch will be asked for again.
        waiting: Requests whose content another batch is being asked for.
    """

    n_requests: int = 0
    over_budget: int = 0
    waiting: int = 0
    left: set[str] = field(default_factory=set)
    known: set[str] = field(default_factory=set)


class Planner:
    """Fills input files.

    Args:
        judge: Who scores.
        state: Where they go.
        job: Name under which the server knows the job.
        cache: Scores by content.
        write: Keeps what needs no call.
        max_requests, max_bytes: Most in one file.
    """

    def __init__(
        self, judge: OpenAICompatibleJudge, state: BatchState, job: str, cache: JudgementCache,
        write: Callable[[Judgement], None], max_requests: int = MAX_REQUESTS, max_bytes: int = MAX_BYTES,
    ) -> None:  # fmt: skip
        self.judge, self.state, self.job, self.cache, self.write = judge, state, job, cache, write
        self.max_requests, self.max_bytes = max_requests, max_bytes

    def plan(
        self, items: Iterable[ToJudge], settled: Settled, room: Room, length_field: str, limit: int | None = None
    ) -> Planned:
        """Write the next input files; nothing is sent.

        Args:
            items: Answers that miss a score, as the database knows.
            settled: What this job has written since; added to.
            room: What the budget leaves; reduced.
            length_field: See `probe`.
            limit: Most answers of the whole job.
        """
        sent, underway, contents = self._sent()
        found, answers = Planned(), {response_id for response_id, _ in [*sent, *settled]}
        file = _File(self, max(self.state.batches, default=0) + 1)
        try:
            for item in items:
                if limit is not None and item.response_id not in answers and len(answers) >= limit:
                    continue
                answers.add(item.response_id)
                for metric, prompt in self.judge.prompts(item).items():
                    at = (item.response_id, metric)
                    if metric in item.skip_metrics or at in settled or at in underway or self._known(item, metric, settled):
                        continue
                    content = key(self.judge.identity.judge_id, metric, item).hex()
                    if file.joined(content, item.response_id):
                        continue
                    if content in contents:
                        found.waiting += 1
                        continue
                    if sent[at] >= ROUNDS:
                        found.left.add(item.response_id)
                        continue
                    body = self.judge.request(prompt, length_field)
                    most = most_tokens(body["messages"][0]["content"]), int(body[length_field])
                    if not room.fits(*most):
                        found.over_budget += 1
                        found.left.add(item.response_id)
                        continue
                    if file.full(body):
                        contents |= file.close()
                        file = _File(self, file.number + 1)
                    file.add(item.response_id, metric, content, body, most)
                    room.add(1, *most)
                    found.n_requests += 1
            file.close()
        finally:
            file.drop()
        found.known = answers
        return found

    def _sent(self) -> tuple[Counter[tuple[str, str]], Settled, set[str]]:
        """How often each score was asked for in a batch that ran, which are asked for now, and for what content."""
        sent, underway, contents = Counter[tuple[str, str]](), set[tuple[str, str]](), set[str]()
        for batch in self.state.batches.values():
            if batch.step == "refused" and batch.said.get("again"):
                continue
            for pair in self.state.pairs(batch.number):
                sent.update(pair.settles())
                if batch.open:
                    underway.update(pair.settles())
                    contents.add(pair.content)
        return sent, underway, contents

    def _known(self, item: ToJudge, metric: str, settled: Settled) -> bool:
        """Write down what needs no call."""
        judge_id = self.judge.identity.judge_id
        if item.answer.strip():
            found = self.cache.get(judge_id, metric, item)
        else:
            found = Judgement(item.response_id, judge_id, metric, None, "empty", "", None, None, None)
        if found is None:
            return False
        self.write(found)
        settled.add((item.response_id, metric))
        return True


class _File:
    """One input file in the making."""

    def __init__(self, planner: Planner, number: int) -> None:
        self.planner, self.state, self.number = planner, planner.state, number
        self.pairs: dict[str, Pair] = {}
        self.n_bytes = 0
        self.path = self.state.input_path(number).with_suffix(".new")
        try:
            self.state.folder.mkdir(parents=True, exist_ok=True)
            self.out = self.path.open("wb")
        except OSError as error:
            raise WorkFailed(f"{self.path}: cannot be written ({error.strerror})", "free disk space, and call again") from error

    def joined(self, content: str, response_id: str) -> bool:
        """Whether the same content is asked for here already; then this answer shares the score."""
        if content not in self.pairs:
            return False
        self.pairs[content].same.append(response_id)
        return True

    def full(self, body: dict[str, object]) -> bool:
        """Whether this request needs another file."""
        size = len(request_line("x" * 43, body))
        return bool(self.pairs) and (len(self.pairs) >= self.planner.max_requests or self.n_bytes + size > self.planner.max_bytes)

    def add(self, response_id: str, metric: str, content: str, body: dict[str, object], most: tuple[int, int]) -> None:
        """Write one request."""
        name = request_id(self.planner.job, self.number, response_id, metric)
        line = request_line(name, body)
        try:
            self.out.write(line)
        except OSError as error:
            raise WorkFailed(f"{self.path}: cannot be written ({error.strerror})", "free disk space, and call again") from error
        self.n_bytes += len(line)
        self.pairs[content] = Pair(name, response_id, metric, content, *most)

    def close(self) -> set[str]:
        """Make it a planned batch, if there is anything in it; returns the contents."""
        self.out.close()
        if self.pairs:
            pairs = list(self.pairs.values())
            most = {"most_input": sum(p.most_input for p in pairs), "most_output": sum(p.most_output for p in pairs)}
            self.state.plan(self.number, pairs, self.path, bytes=self.n_bytes, **most)
        return set(self.pairs)

    def drop(self) -> None:
        """Leave nothing half-made."""
        self.out.close()
        self.path.unlink(missing_ok=True)


def share(judgement: Judgement, pair: Pair) -> list[Judgement]:
    """The judgements of all answers that one reply settles; only the first one paid."""
    return [judgement, *(shared(judgement, ToJudge(response_id, "", "")) for response_id in pair.same)]
